"""The commands about what befalls secrets: what each asks of the daemon, and how it tells a person what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from helpers.scripted_client import Answer, ScriptedClient
from secretd.cli import invocation
from secretd.cli.main import run
from secretd.errors import ExitStatus, ReferencedError, WrongStateError
from secretd.lifecycle import OutOfUse, Reference, ReferenceKind
from secretd.lifecyclerequests import (
    SecretArchive,
    SecretAttach,
    SecretCancelDeletion,
    SecretDeletionScheduled,
    SecretDetach,
    SecretGetLifecycle,
    SecretLifecycle,
    SecretProtect,
    SecretRestore,
    SecretScheduleDeletion,
    SecretUnprotect,
)
from secretd.model import Digest
from secretd.operations import Count, Counted, Entry, FoundEntry, List, Listed, LookupById, Reply, Request
from secretd.requests import Changed

ID = UUID("6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40")
DIGEST, NEWER = Digest("0123456789abcdef" * 2), Digest("fedcba9876543210" * 2)
CHANGED = Changed(ID, NEWER)
MOMENT = datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)
ENTRIES = tuple(
    Entry(UUID(int=n), DIGEST, ephemeral=False, private=False, has_value=True, out_of_use=why)
    for n, why in enumerate((None, *OutOfUse))
)

Script = Callable[[Mapping[type[Request[Any]], Sequence[Answer]]], ScriptedClient]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Script:
    def put(script: Mapping[type[Request[Any]], Sequence[Answer]]) -> ScriptedClient:
        client = ScriptedClient(script)
        monkeypatch.setattr(invocation, "Client", client)
        return client

    return put


@pytest.mark.parametrize(
    ("arguments", "asked", "reply", "printed"),
    [
        pytest.param(["secret-archive", str(ID)], SecretArchive(ID), CHANGED, f"Secret {ID} archived\n", id="archive"),
        pytest.param(
            ["secret-restore", "--secret", str(ID), "--digest", DIGEST],
            SecretRestore(ID, DIGEST),
            CHANGED,
            f"Secret {ID} restored\n",
            id="restore",
        ),
        pytest.param(
            ["secret-protect", str(ID), "--digest", DIGEST],
            SecretProtect(ID, DIGEST),
            CHANGED,
            f"Secret {ID} protected\n",
            id="protect",
        ),
        pytest.param(
            ["secret-unprotect", str(ID)], SecretUnprotect(ID), CHANGED, f"Secret {ID} unprotected\n", id="unprotect"
        ),
        pytest.param(
            ["secret-cancel-deletion", str(ID), "--digest", DIGEST],
            SecretCancelDeletion(ID, DIGEST),
            CHANGED,
            f"Secret {ID} will not be deleted\n",
            id="cancel-deletion",
        ),
        pytest.param(
            ["secret-attach", str(ID), "job"],
            SecretAttach(ID, "job", ReferenceKind.ACTIVE),
            CHANGED,
            f"Secret {ID} is needed by job\n",
            id="attach",
        ),
        pytest.param(
            ["secret-attach", str(ID), "--consumer", "job", "--associated", "--digest", DIGEST],
            SecretAttach(ID, "job", ReferenceKind.ASSOCIATED, DIGEST),
            CHANGED,
            f"Secret {ID} is needed by job\n",
            id="attach-all",
        ),
        pytest.param(
            ["secret-detach", str(ID), "job", "--digest", DIGEST],
            SecretDetach(ID, "job", DIGEST),
            CHANGED,
            f"Secret {ID} is not needed by job any more\n",
            id="detach",
        ),
        pytest.param(
            ["secret-schedule-deletion", str(ID)],
            SecretScheduleDeletion(ID, 30),
            SecretDeletionScheduled(ID, NEWER, MOMENT),
            f"Secret {ID} will be deleted on 2027-12-31T23:59:59Z\n",
            id="schedule-deletion",
        ),
        pytest.param(
            ["secret-schedule-deletion", str(ID), "--days", "7", "--digest", DIGEST],
            SecretScheduleDeletion(ID, 7, DIGEST),
            SecretDeletionScheduled(ID, NEWER, MOMENT),
            f"Secret {ID} will be deleted on 2027-12-31T23:59:59Z\n",
            id="schedule-deletion-all",
        ),
        pytest.param(
            ["secret-lifecycle", str(ID)],
            SecretGetLifecycle(ID),
            SecretLifecycle(DIGEST, protected=False),
            f" Protected:   no\n Digest:      {DIGEST}\n",
            id="lifecycle-of-nothing",
        ),
        pytest.param(
            ["secret-lifecycle", str(ID)],
            SecretGetLifecycle(ID),
            SecretLifecycle(
                DIGEST,
                protected=True,
                archived=MOMENT,
                due=MOMENT,
                references=(Reference("job", ReferenceKind.ACTIVE), Reference("old-job", ReferenceKind.ASSOCIATED)),
            ),
            " Protected:    yes\n Archived:     2027-12-31T23:59:59Z\n Deleted on:   2027-12-31T23:59:59Z\n"
            f" Digest:       {DIGEST}\n"
            " Consumer   Kind\n-----------------------\n job        active\n old-job    associated\n",
            id="lifecycle",
        ),
        pytest.param(
            ["secret-list", "--archived"],
            List(archived=True),
            Listed(ENTRIES, truncated=False),
            " UUID                                   State              Usage\n"
            "------------------------------------------------------------------\n"
            " 00000000-0000-0000-0000-000000000000   in-use             Unused\n"
            " 00000000-0000-0000-0000-000000000001   archived           Unused\n"
            " 00000000-0000-0000-0000-000000000002   pending-deletion   Unused\n",
            id="list",
        ),
        pytest.param(["secret-count", "--archived"], Count(archived=True), Counted(3), "3\n", id="count"),
        pytest.param(
            ["secret-info", str(ID)],
            LookupById(ID),
            FoundEntry(ID, DIGEST, False, False, True, out_of_use=OutOfUse.ARCHIVED),
            f" UUID:        {ID}\n Usage:       Unused\n Value:       yes\n Ephemeral:   no\n Private:     no\n"
            f" State:       archived\n Digest:      {DIGEST}\n",
            id="info",
        ),
    ],
)
def test_a_command_asks_and_tells(
    arguments: list[str],
    asked: Request[Any],
    reply: Reply,
    printed: str,
    scripted: Script,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = scripted({type(asked): [reply]})
    assert run(["-c", "x", *arguments]) == ExitStatus.OK
    assert client.requests == [asked]
    assert capsys.readouterr().out.replace("\n\n", "\n") == printed


@pytest.mark.parametrize("days", ["6", "31", "x"])
def test_a_window_has_bounds(days: str, scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    client = scripted({})
    assert run(["-c", "x", "secret-schedule-deletion", str(ID), "--days", days]) == ExitStatus.USAGE
    assert client.requests == []
    assert "--days" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a b", "\x01", "", "c" * 129])
@pytest.mark.parametrize("command", ["secret-attach", "secret-detach"])
def test_who_needs_a_secret_is_judged_on_the_command_line(
    command: str, name: str, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    client = scripted({})
    assert run(["-c", "x", command, str(ID), name]) == ExitStatus.USAGE
    assert client.requests == []
    assert "1 to 128 printable characters" in capsys.readouterr().err


@pytest.mark.parametrize("error", [WrongStateError("it is archived"), ReferencedError("it is needed by job")])
def test_a_refusal_is_told(
    error: WrongStateError | ReferencedError, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted({SecretArchive: [error]})
    assert run(["-c", "x", "secret-archive", str(ID)]) == error.exit_status
    assert capsys.readouterr().err.startswith(f"error: {error.message}\n")
