"""Completion: what the shells themselves offer, and what they are answered."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.programs import with_secretctl
from helpers.scripted_client import ScriptedClient
from helpers.terminal import TAB, Terminal, need
from secretd.cli import invocation
from secretd.cli.completion import SHELLS
from secretd.cli.main import run, secretctl
from secretd.errors import ExitStatus, SealError, UnreachableError
from secretd.grantrequests import GrantList, GrantsListed
from secretd.grants import EverySecret, Grant, Principal, PrincipalKind
from secretd.keyrequests import KeyEntry, KeyList, KeysListed
from secretd.keys import KeyBackend, KeyId, KeyState
from secretd.model import Digest, Permission, Usage, UsageType
from secretd.operations import Entry, List, Listed, Request

ID = "6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40"
OTHER = "6c2d0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40"
THIRD = "b7d2e8c4-91a6-4e5d-8f02-3c4d5e6f7a81"
GRANT = Grant("web", None, Principal(PrincipalKind.ANYONE), frozenset({Permission.READ}), (EverySecret(),))
PROMPT = "ready> "

START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], f"PS1='{PROMPT}'; source <(secretctl completion bash)\n"),
    "zsh": (
        ["zsh", "-f", "-i"],
        f"PS1='{PROMPT}'; autoload -U compinit; compinit -u -D; source <(secretctl completion zsh)\n",
    ),
}
"""How each shell is started, and what is typed first."""

Answered = Callable[..., list[str]]


def entry(secret: str, usage: Usage | None = None) -> Entry:
    digest = Digest("0" * 32)
    return Entry(secret=UUID(secret), digest=digest, ephemeral=False, private=False, has_value=False, usage=usage)


# The shells themselves.


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A daemon with two secrets, which no test changes."""
    directory = tmp_path_factory.mktemp("completion")
    with RunningDaemon(directory / "daemon") as daemon:
        environment = with_secretctl(directory / "programs", {**daemon.environment, "TERM": "xterm"})
        for secret, usage in ((ID, "iqn.2026-11.org.example:one"), (THIRD, "two words")):
            document = f"<secret><uuid>{secret}</uuid><usage type='iscsi'><target>{usage}</target></usage></secret>"
            subprocess.run(
                ["secretctl", "--session", "secret-define", "-"],
                input=document.encode(),
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
                timeout=DEADLINE_S,
            )
        yield environment


@pytest.fixture(params=START)
def shell(request: pytest.FixtureRequest, environment: dict[str, str], tmp_path: Path) -> Iterator[Terminal]:
    (program, *options), first = START[request.param]
    (tmp_path / "document of mine.xml").write_text("<secret/>")
    with Terminal([need(program), *options], environment, tmp_path) as terminal:
        terminal.press(first)
        # The prompt itself, not the line that sets it.
        terminal.expect(f"(?<!'){PROMPT}")
        yield terminal


@pytest.mark.parametrize(
    ("typed", "done"),
    [
        pytest.param(f"secretctl --sess{TAB} sta{TAB}\n", r"state +open", id="an-option-and-a-command"),
        pytest.param(f"secretctl --session secret-dumpxml 6{TAB}\n", rf"<uuid>{ID}</uuid>", id="an-id"),
        pytest.param(f"secretctl --session secret-info b{TAB}\n", rf"UUID: +{THIRD}", id="an-id-for-its-info"),
        pytest.param(f"secretctl --session secret-lookup isc{TAB} iqn{TAB}\n", rf"\n{ID}", id="a-choice-and-a-usage"),
        pytest.param(
            f"secretctl --session secret-lookup iscsi iqn.2026-11.org.example:o{TAB}\n", rf"\n{ID}", id="after-a-colon"
        ),
        pytest.param(f"secretctl --session secret-lookup iscsi tw{TAB}\n", rf"\n{THIRD}", id="two-words"),
        pytest.param(f"secretctl --session secret-define doc{TAB}\n", r"\nSecret [0-9a-f-]{36} created", id="a-file"),
        pytest.param(f"secretctl help secret-dum{TAB}\n", "Usage: secretctl secret-dumpxml", id="help-for-a-command"),
    ],
)
def test_bash_and_zsh_complete(typed: str, done: str, shell: Terminal) -> None:
    shell.press(typed)

    shell.expect(done)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        pytest.param("secretctl --sess", "--session", id="an-option"),
        pytest.param("secretctl stat", "status", id="a-command"),
        pytest.param("secretctl --session secret-dumpxml 6", ID, id="an-id"),
        pytest.param("secretctl --session secret-lookup isc", "iscsi", id="a-choice"),
        pytest.param("secretctl --session secret-lookup iscsi iqn", "iqn.2026-11.org.example:one", id="a-usage"),
        pytest.param("secretctl --session secret-lookup iscsi tw", "two words", id="two-words"),
        pytest.param("secretctl --session secret-define doc", "document of mine.xml", id="a-file"),
    ],
)
def test_fish_completes(line: str, offered: str, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "document of mine.xml").write_text("<secret/>")
    done = subprocess.run(
        [need("fish"), "--no-config", "-c", f"secretctl completion fish | source; complete --do-complete '{line}'"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )

    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [offered]


@pytest.mark.parametrize("name", SHELLS)
def test_the_code_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", name]) == ExitStatus.OK
    assert capsys.readouterr() == (SHELLS[name], "")


def test_the_code_for_bash_has_no_known_fault() -> None:
    command = [need("shellcheck"), "--shell=bash", "-"]
    done = subprocess.run(command, input=SHELLS["bash"], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (0, "")


def test_another_shell_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "tcsh"]) == ExitStatus.USAGE
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err


# What they are answered.


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Answered:
    def ask(line: str, shell: str = "zsh") -> list[str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(line))
        assert run(["completion", "--answer", shell]) == ExitStatus.OK
        shown = capsys.readouterr()
        assert shown.err == ""
        return shown.out.splitlines()

    return ask


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ScriptedClient]:
    def put(
        *answers: Listed | GrantsListed | KeysListed | Exception, asked: type[Request[Any]] = List
    ) -> ScriptedClient:
        client = ScriptedClient({asked: answers})
        monkeypatch.setattr(invocation, "Client", client)
        return client

    return put


def test_every_command_is_offered(answered: Answered) -> None:
    assert [line.split("\t")[1] for line in answered("secretctl ", "bash")] == sorted(secretctl.commands)


@pytest.mark.parametrize("command", secretctl.commands.values(), ids=lambda command: command.name)
def test_every_option_is_offered(command: object, answered: Answered) -> None:
    name = getattr(command, "name", "")
    offered = {line.split("\t")[1] for line in answered(f"secretctl {name} --", "fish")}

    shown = {
        opt for param in getattr(command, "params", ()) if not getattr(param, "hidden", True) for opt in param.opts
    }
    assert {opt for opt in shown if opt.startswith("--")} | {"--help"} == offered


def test_ids_are_asked_for_up_to_where_they_begin_otherwise(
    answered: Answered, daemon: Callable[..., ScriptedClient]
) -> None:
    one, other, third = entry(ID, Usage(UsageType.CEPH, "a\tb\x9b")), entry(OTHER), entry(THIRD)
    first = entry("6bffffff-ffff-ffff-ffff-ffffffffffff")
    client = daemon(Listed((first, one, other, third), truncated=True, next_marker=UUID(THIRD)))

    assert answered("secretctl -c x secret-dumpxml 6C") == [f"plain\t{ID}\tceph a\\tb\\x9b", f"plain\t{OTHER}\tUnused"]
    assert client.paths == [Path("x")]
    assert client.requests == [List(archived=True)]


def key_entry(key: str, description: str | None = None) -> KeyEntry:
    return KeyEntry(KeyId(key), Digest("0" * 32), KeyState.ARCHIVED, 1, KeyBackend.LOCAL, False, description)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("key-restore ", id="of-what-is-out-of-use-too"),
        pytest.param("key-delete nightly --confirm ", id="a-second-time"),
        pytest.param("encrypt --context a=b --key ", id="an-option"),
        pytest.param("key-default ", id="one-that-may-be-left-out"),
    ],
)
def test_keys_are_asked_for(line: str, answered: Answered, daemon: Callable[..., ScriptedClient]) -> None:
    first = KeysListed((key_entry("nightly", "a\tb"), key_entry("nightly-2")), True, KeyId("weekly"))
    client = daemon(first, KeysListed((key_entry("weekly"),), truncated=False), asked=KeyList)

    assert answered(f"secretctl -c x {line}night") == ["plain\tnightly\ta\\tb", "plain\tnightly-2\t"]
    assert client.requests == [KeyList(archived=True), KeyList(archived=True, marker=KeyId("weekly"))]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        pytest.param("key-export nightly --format ", ["raw", "pbs"], id="formats"),
        pytest.param("key-export nightly --kdf s", ["scrypt"], id="derivations"),
        pytest.param("data-key-generate --spec ", ["AES_128", "AES_256"], id="specs"),
    ],
)
def test_what_there_is_to_choose_from_is_offered(line: str, offered: list[str], answered: Answered) -> None:
    assert [one.split("\t")[1] for one in answered(f"secretctl {line}")] == offered


@pytest.mark.parametrize("begun", ["x", "6c1f0a9e54", "6c1f0a9-", ID + "0", "é"])
def test_what_begins_no_id_is_not_asked_for(
    begun: str, answered: Answered, daemon: Callable[..., ScriptedClient]
) -> None:
    client = daemon()

    assert answered(f"secretctl -c x secret-dumpxml {begun}") == []
    assert client.paths == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(SealError("sealed"), id="sealed"),
        pytest.param(UnreachableError("gone"), id="gone"),
        pytest.param(TimeoutError(), id="slow"),
        pytest.param(Listed((entry(ID),) * 1_001, truncated=False), id="too-many"),
    ],
)
def test_where_not_all_are_known_none_is_offered(
    answer: Listed | Exception, answered: Answered, daemon: Callable[..., ScriptedClient]
) -> None:
    daemon(answer)

    assert answered("secretctl -c x secret-dumpxml ") == []


def test_nobody_waits_for_page_after_page(
    answered: Answered, daemon: Callable[..., ScriptedClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = daemon(Listed((entry(ID),), truncated=True, next_marker=UUID(THIRD)))
    moments = iter([0.0, 5.0])
    monkeypatch.setattr("secretd.cli.candidates.time.monotonic", lambda: next(moments))

    assert answered("secretctl -c x secret-dumpxml ") == []
    assert len(client.requests) == 1


def test_usages_are_those_of_the_type(answered: Answered, daemon: Callable[..., ScriptedClient]) -> None:
    entries = (entry(ID, Usage(UsageType.TLS, "one")), entry(OTHER, Usage(UsageType.TLS, "one\nline too many")))
    client = daemon(
        Listed(entries, truncated=True, next_marker=UUID(THIRD)),
        Listed((entry(THIRD, Usage(UsageType.TLS, "two")),), truncated=False),
    )

    assert answered("secretctl -c x secret-lookup tls o") == ["plain\tone\t"]
    assert client.requests == [
        List(usage_type=UsageType.TLS, archived=True),
        List(usage_type=UsageType.TLS, archived=True, marker=UUID(THIRD)),
    ]


def test_what_is_to_be_explained_is_offered(answered: Answered, daemon: Callable[..., ScriptedClient]) -> None:
    one = entry(ID, Usage(UsageType.CEPH, "client.one"))
    client = daemon(Listed((one,), truncated=False), Listed((one,), truncated=False))

    assert answered("secretctl -c x explain get-v") == ["plain\tget-value\t"]
    assert answered("secretctl -c x explain get-value ce") == ["plain\tceph\t"]
    assert client.requests == []
    assert answered("secretctl -c x explain get-value ceph cl") == ["plain\tclient.one\t"]
    assert answered("secretctl -c x explain get-value 6") == [f"plain\t{ID}\tceph client.one"]


@pytest.mark.parametrize("command", ["grant-show", "grant-remove"])
def test_grants_are_asked_for(command: str, answered: Answered, daemon: Callable[..., ScriptedClient]) -> None:
    web, archive = (replace(GRANT, name=name) for name in ("web", "archive"))
    first, last = GrantsListed((archive,), truncated=True, next_marker="web"), GrantsListed((web,), truncated=False)
    client = daemon(first, last, asked=GrantList)

    assert answered(f"secretctl -c x {command} we") == ["plain\tweb\tanyone"]
    assert client.requests == [GrantList(), GrantList(marker="web")]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        pytest.param("--group roo", ["root"], id="a-group"),
        pytest.param("--user roo", [], id="root-can-be-given-nothing"),
        pytest.param("--user nobo", ["nobody"], id="a-user"),
        pytest.param("--allow read-", ["read-only", "read-secure"], id="a-permission-or-a-set"),
        pytest.param("--allow read,get", ["read,getattr"], id="one-more-permission"),
        pytest.param("--allow read,rea", ["read,read-only", "read,read-secure"], id="none-twice"),
        pytest.param("--allow key-", ["key-user", "key-encrypter", "key-administrator", "key-admin"], id="of-keys"),
        pytest.param("--usage ce", ["ceph"], id="a-usage"),
    ],
)
def test_what_describes_a_grant_is_offered(line: str, offered: list[str], answered: Answered) -> None:
    assert [answer.split("\t")[1] for answer in answered(f"secretctl grant-add {line}")] == offered


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("secretctl -c x --session secret-dumpxml ", id="two-daemons"),
        pytest.param("secretctl secret-lookup nonsense ", id="no-such-usage-type"),
        pytest.param("secretctl xyzzy ", id="no-such-command"),
        pytest.param("secretctl 'secret-du", id="a-quote-that-does-not-end"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_line_that_is_wrong_is_not_complained_about(
    line: str, answered: Answered, daemon: Callable[..., ScriptedClient]
) -> None:
    daemon(Listed((), truncated=False))

    assert all(answer.startswith("plain\t") for answer in answered(line))


def test_bash_is_given_what_it_does_not_have_yet(answered: Answered, daemon: Callable[..., ScriptedClient]) -> None:
    usage = Usage(UsageType.ISCSI, "iqn:one two")
    daemon(Listed((entry(ID, usage),), truncated=False), Listed((entry(ID, usage),), truncated=False))

    assert answered("secretctl -c x secret-lookup iscsi iqn:o", "bash") == ["plain\t'one two'\t"]
    assert answered("secretctl -c x secret-lookup iscsi iq", "bash") == ["plain\t'iqn:one two'\t"]
