"""How secret-event says what it was told, and when it ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from uuid import UUID

import pytest

from helpers.scripted_client import ScriptedClient
from secretd.cli import invocation
from secretd.cli.main import run
from secretd.errors import ExitStatus, SecretdError, UnreachableError
from secretd.model import Digest, Usage, UsageType
from secretd.operations import (
    EVENTS,
    Event,
    EventsLost,
    SecretChanged,
    SecretDefined,
    SecretDeleted,
    Subscribe,
    Subscribed,
    ValueChanged,
)

ID = UUID("6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40")
USAGE = Usage(UsageType.CEPH, "client.one")
DIGEST = Digest("0" * 32)
DEFINED = SecretDefined(ID, DIGEST, ephemeral=False, private=True, has_value=True, usage=USAGE)
DELETED = SecretDeleted(ID, USAGE)
ALL: dict[Event, str] = {
    DEFINED: f"event 'lifecycle' for secret {ID}: Defined",
    SecretChanged(ID, DIGEST, ephemeral=False, private=False, has_value=False): (
        f"event 'lifecycle' for secret {ID}: Changed"
    ),
    DELETED: f"event 'lifecycle' for secret {ID}: Undefined",
    ValueChanged(ID, DIGEST, ephemeral=True, private=False, has_value=True): f"event 'value-changed' for secret {ID}",
    EventsLost(): "event 'lost': only secret-list says how things are",
}


def listen(
    monkeypatch: pytest.MonkeyPatch, events: Sequence[Event | SecretdError], *arguments: str
) -> tuple[int, ScriptedClient]:
    client = ScriptedClient({Subscribe: [Subscribed()]}, events)
    monkeypatch.setattr(invocation, "Client", client)
    return run(["-c", "/s", "secret-event", *arguments]), client


def test_every_kind_has_its_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert {type(event) for event in ALL} == set(EVENTS.values())
    status, client = listen(monkeypatch, list(ALL), "--loop", "--all")

    assert status == ExitStatus.OK
    assert client.requests == [Subscribe()]
    assert client.timeouts == [None]
    assert capsys.readouterr().out.splitlines() == [*ALL.values(), "event loop timed out", "events received: 5"]


def test_the_first_is_enough_unless_it_loops(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, client = listen(monkeypatch, [DEFINED, DELETED], str(ID), "--timeout", "5")

    assert status == ExitStatus.OK
    assert client.requests == [Subscribe(ID)]
    assert client.timeouts == [5]
    assert capsys.readouterr().out.splitlines() == [ALL[DEFINED], "events received: 1"]


def test_json_is_an_object_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status, _ = listen(monkeypatch, list(ALL), "--loop", "--json")

    assert status == ExitStatus.OK
    spelt = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in spelt] == ["defined", "changed", "deleted", "value-changed", "lost"]
    assert spelt[0] == {
        "event": "defined",
        "secret": str(ID),
        "digest": DIGEST,
        "ephemeral": False,
        "private": True,
        "has_value": True,
        "usage": {"type": "ceph", "id": "client.one"},
        "out_of_use": None,
    }
    assert spelt[-1] == {"event": "lost"}


def test_none_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status, _ = listen(monkeypatch, [], "--timeout", "1")

    assert status == ExitStatus.FAILED
    shown = capsys.readouterr()
    assert shown.out == "event loop timed out\nevents received: 0\n"
    assert shown.err == ""


def test_a_daemon_that_goes_away_is_said_after_what_it_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _ = listen(monkeypatch, [DEFINED, UnreachableError("the daemon went away")], "--loop")

    assert status == ExitStatus.UNREACHABLE
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [ALL[DEFINED]]
    assert shown.err.startswith("error: the daemon went away\n")


@pytest.mark.parametrize("timeout", ["0", "-1", "x"])
def test_a_time_is_a_number_of_seconds(monkeypatch: pytest.MonkeyPatch, timeout: str) -> None:
    status, client = listen(monkeypatch, [DEFINED], "--timeout", timeout)

    assert status == ExitStatus.USAGE
    assert client.requests == []
