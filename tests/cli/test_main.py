"""The options all commands share, the border where errors end, and the page that describes it all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from helpers.scripted_client import ScriptedClient
from helpers.tree import ROOT
from secretd.cli import invocation
from secretd.cli.attributes import DOCUMENT
from secretd.cli.invocation import SHARED, OperationCommand
from secretd.cli.keyoptions import DOCUMENT as DOCUMENT_OF_A_KEY
from secretd.cli.main import COMMANDS, run, secretctl
from secretd.cli.naming import MEANT
from secretd.cli.parameters import USAGE_TYPES
from secretd.client import read_key, read_secret, write_secret
from secretd.errors import WIRE_ERRORS, ExitStatus, SecretdError
from secretd.fields import Field, fields_of
from secretd.keys import KeyDocument, Tag, key_id_of
from secretd.model import Mode, SealState, UsageType
from secretd.operations import BY_NAME, OPERATIONS, Bound, DaemonStatus, Status

PAGE = (ROOT / "docs" / "secretctl.md").read_text()
_SECTION = re.compile(r"^### `(\S+) ([^`]*)`\n(.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = {name: (usage, text) for name, usage, text in _SECTION.findall(PAGE)}
WELL = DaemonStatus(version="1.2.3", mode=Mode.SESSION, state=SealState.OPEN)

Script = Callable[[dict[Any, Any]], ScriptedClient]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Script:
    def put(script: dict[Any, Any]) -> ScriptedClient:
        client = ScriptedClient(script)
        monkeypatch.setattr(invocation, "Client", client)
        return client

    return put


def options_of(command: click.Command) -> set[str]:
    """List the options of a command that not all commands share."""
    options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    return {name for option in options for name in option.opts if option.name not in SHARED}


def options_of_fields() -> Iterator[Any]:
    """List the options that are a field each; a pair like --private and --no-private is one field's, and left out."""
    for command in COMMANDS:
        fields = {f"--{field.xml_name}": field for field in fields_of(BY_NAME[command.operation].request)}
        options = options_of(command)
        for option in sorted(options & fields.keys()):
            if f"--no-{option.removeprefix('--')}" not in options:
                yield pytest.param(command, option, fields[option], id=f"{command.name}{option}")


OPTIONS_OF_FIELDS = list(options_of_fields())


WITHOUT_A_COMMAND = {"unsubscribe"}
"""A subscription ends with its connection, and a command has one connection."""


def test_every_operation_has_a_command() -> None:
    names = {row.name for row in OPERATIONS} - WITHOUT_A_COMMAND
    assert sorted(command.operation for command in COMMANDS) == sorted(names)


def test_every_command_is_on_the_page() -> None:
    assert set(SECTIONS) == set(secretctl.commands)


@pytest.mark.parametrize("command", secretctl.commands.values(), ids=lambda command: command.name)
def test_the_page_says_how_a_command_is_called(command: click.Command) -> None:
    usage, text = SECTIONS[str(command.name)]
    context = secretctl.make_context("secretctl", [str(command.name)])
    named = re.findall(r"^- `(--[a-z0-9-]+)", text, re.MULTILINE)

    assert usage == " ".join(command.collect_usage_pieces(click.Context(command, parent=context)))
    assert sorted(named) == sorted(options_of(command))


SHARED_OPTIONS = [spelling for spellings, _ in SHARED.values() for spelling in spellings]


@pytest.mark.parametrize("option", [*SHARED_OPTIONS, *sorted(options_of(secretctl) - {"--version"})])
def test_the_page_has_every_shared_option(option: str) -> None:
    assert re.search(rf"`{option}\b", PAGE)


def test_the_page_has_every_exit_status() -> None:
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", PAGE, re.MULTILINE)

    assert rows == [(str(int(status)), status.name) for status in ExitStatus]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_helps(command: OperationCommand, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([str(command.name), "-h"]) == ExitStatus.OK

    shown = capsys.readouterr()
    assert shown.out.startswith(f"Usage: secretctl {command.name} ")
    assert told_of(command) in " ".join(shown.out.split())
    assert all(f" {option} " in shown.out.replace(",", " ") for option in SHARED_OPTIONS)
    assert shown.err == ""


OF_ITS_OWN = {
    "key-update": "Change what is said of a key.",
    "secret-event": "Wait for changes to the secrets that you may see, or to one of them.",
    "secret-set-value": "Set the value of a secret.",
}
"""What help says of a command that is told of otherwise than its operation: who has no connection, makes no id, or
reads before it writes."""


def told_of(command: OperationCommand) -> str:
    return OF_ITS_OWN.get(str(command.name), BY_NAME[command.operation].help)


@pytest.mark.parametrize("command", secretctl.commands.values(), ids=lambda command: command.name)
def test_the_list_of_commands_says_what_each_is_for_on_its_line(command: click.Command) -> None:
    said = command.get_short_help_str()

    assert len(said) <= 50  # what 80 columns leave beside the longest name
    assert said.endswith(".")
    assert not said.endswith("...")


def test_names_that_mean_a_command_are_none_themselves() -> None:
    assert not MEANT.keys() & secretctl.commands.keys()
    assert {command for meant in MEANT.values() for command in meant} <= secretctl.commands.keys()


@pytest.mark.parametrize("arguments", [[], ["secret-list"]], ids=["all", "one"])
def test_help_says_what_the_option_says(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "--help"]) == ExitStatus.OK
    by_option = capsys.readouterr()

    assert run(["help", *arguments]) == ExitStatus.OK
    assert capsys.readouterr() == by_option


@pytest.mark.parametrize(("command", "option", "field"), OPTIONS_OF_FIELDS)
def test_an_option_that_is_a_field_is_explained_as_the_table_does(
    command: OperationCommand, option: str, field: Field, capsys: pytest.CaptureFixture[str]
) -> None:
    run([str(command.name), "-h"])

    _, shown = " ".join(capsys.readouterr().out.split()).split(f" {option} ", maxsplit=1)
    assert f"{field.help.text[1:]}." in shown


READ_FROM_WORDS = {("explain", name) for name in ("secret", "usage", "uid", "gid", "groups", "unit", "read_only")}
"""What OBJECT, --as and --as-readonly say."""

READ_FROM_FLAGS = {("key-attach", "kind"), ("secret-attach", "kind"), ("generate-data-key", "clear")}
"""What --associated and --wrapped-only say."""


def test_every_field_of_an_operation_can_be_given() -> None:
    given = {(command.operation, param.name) for command in COMMANDS for param in command.params}
    fields = {(row.name, field.name) for row in OPERATIONS for field in fields_of(row.request)}
    fields = {(row, name) for row, name in fields if row not in WITHOUT_A_COMMAND} - READ_FROM_WORDS - READ_FROM_FLAGS

    # A usage is two arguments; lists and backups come whole.
    from_files = {"document", "grant", "value", "blob", "password"}
    whole = {"limit", "marker", "backup", "restore", "last"}
    assert {name for _, name in fields - given} == {"usage", *from_files, *whole}


def test_the_help_shows_a_document_that_is_one() -> None:
    found = re.search("<secret.*</secret>", DOCUMENT, re.DOTALL)

    assert found
    shown = textwrap.dedent(f"  {found[0]}")
    assert write_secret(read_secret(shown.encode())) == f"{shown}\n"
    assert all(word in DOCUMENT for word in USAGE_TYPES)


def test_the_help_of_keys_shows_a_document_that_is_one() -> None:
    found = re.search("<key.*</key>", DOCUMENT_OF_A_KEY, re.DOTALL)

    assert found
    assert read_key(found[0].encode()) == KeyDocument(
        key_id_of("nightly"), description="nightly backups", tags=(Tag("env", "prod"),), rotation=90
    )
    assert found[0] in textwrap.indent(PAGE, "  ")


@pytest.mark.parametrize("usage_type", USAGE_TYPES.values(), ids=USAGE_TYPES)
def test_the_page_shows_a_usage_of_every_type(usage_type: UsageType) -> None:
    (shown,) = re.findall(rf"^\| {usage_type.value} \|.*`(<usage.*>)` \|$", PAGE, re.MULTILINE)
    usage = read_secret(f"<secret>{shown}</secret>".encode()).attributes.usage

    assert usage is not None
    assert usage.type is usage_type


@pytest.mark.parametrize("name", ["secret-define", "secret-set-xml"])
def test_a_command_that_reads_a_document_shows_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run([name, "-h"])

    assert "\n    <secret ephemeral='no' private='no'>\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("uid", "arguments", "socket"),
    [
        pytest.param(1000, [], "/run/user/7/secretd/secretd-sock", id="user"),
        pytest.param(0, [], "/run/secretd/secretd-sock", id="root"),
        pytest.param(0, ["--session"], "/run/user/7/secretd/secretd-sock", id="root-in-its-session"),
        pytest.param(1000, ["--system"], "/run/secretd/secretd-sock", id="user-of-the-system"),
        pytest.param(1000, ["--system", "-r"], "/run/secretd/secretd-sock-ro", id="read-only"),
        pytest.param(1000, ["--readonly"], "/run/user/7/secretd/secretd-sock-ro", id="read-only-session"),
        pytest.param(0, ["-c", "/elsewhere"], "/elsewhere", id="socket"),
        pytest.param(0, ["--connect", "/elsewhere"], "/elsewhere", id="socket-long"),
    ],
)
@pytest.mark.parametrize("after", [False, True], ids=["before-the-command", "after-it"])
def test_which_daemon_is_asked(
    uid: int, arguments: list[str], socket: str, after: bool, scripted: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setattr("os.geteuid", lambda: uid)
    client = scripted({Status: [WELL]})

    assert run(["status", *arguments] if after else [*arguments, "status"]) == ExitStatus.OK
    assert client.paths == [Path(socket)]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--session", "--system", "status"], id="two-modes"),
        pytest.param(["-c", "x", "--session", "status"], id="socket-and-mode"),
        pytest.param(["-c", "x", "-r", "status"], id="socket-and-read-only"),
        pytest.param(["--session", "status", "--system"], id="a-mode-before-and-another-after"),
        pytest.param(["-r", "status", "-c", "x"], id="read-only-before-and-socket-after"),
        pytest.param(["-c", "qemu:///system", "status"], id="a-uri-as-virsh-takes-it"),
        pytest.param(["help", "nonsense"], id="help-for-no-command"),
        pytest.param(["nonsense"], id="no-such-command"),
        pytest.param(["status", "--nonsense"], id="no-such-option"),
        pytest.param(["status", "nonsense"], id="too-many-arguments"),
        pytest.param(["secret-dumpxml"], id="argument-missing"),
        pytest.param(["secret-dumpxml", "{6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40}"], id="braces-around-a-uuid"),
        pytest.param(["secret-dumpxml", "6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e4"], id="short-uuid"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_a_hint(
    arguments: list[str], scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    client = scripted({})

    assert run(arguments) == ExitStatus.USAGE

    shown = capsys.readouterr()
    first, hint = shown.err.splitlines()
    assert first.startswith("error: ")
    assert hint.endswith("--help says more.")
    assert shown.out == ""
    assert client.paths == []


@pytest.mark.parametrize("error", WIRE_ERRORS.values(), ids=lambda error: error.code)
def test_an_error_of_the_daemon_is_told_with_its_status(
    error: type[SecretdError], scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted({Status: [error("what is wrong")]})

    assert run(["-c", "x", "status"]) == error.exit_status

    shown = capsys.readouterr()
    assert shown.err.splitlines()[0] == "error: what is wrong"
    assert shown.out == ""


def test_what_a_daemon_says_cannot_steer_the_terminal(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    scripted({Status: [SecretdError("a\x1b[2Jb\nc\x9bd")]})

    run(["-c", "x", "status"])

    assert capsys.readouterr().err == "error: a\\x1b[2Jb\\nc\\x9bd\n"


def test_an_error_of_the_system_is_told(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    scripted({Status: [OSError(24, "text of somebody's", "canary")]})

    assert run(["-c", "x", "status"]) == ExitStatus.FAILED
    assert capsys.readouterr().err == "error: Too many open files\n"


def test_who_reads_no_more_is_told_no_more() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = [sys.executable, "-P", "-c", "from secretd.cli.main import main; main()", "help"]
    with os.fdopen(writing, "wb") as closed:
        ended = subprocess.run(program, stdout=closed, stderr=subprocess.PIPE, timeout=60, check=False)

    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("module", ["asyncio", "click.shell_completion", "readline", "rich"])
def test_what_few_need_is_not_imported_by_all(module: str) -> None:
    source = f"import sys, secretd.cli.main; sys.exit({module!r} in sys.modules)"

    assert subprocess.run([sys.executable, "-P", "-c", source], timeout=60, check=False).returncode == 0


def test_ctrl_c_ends_it_as_a_shell_says(scripted: Script) -> None:
    scripted({Status: [KeyboardInterrupt()]})

    assert run(["-c", "x", "status"]) == 130


@pytest.mark.parametrize(
    "arguments", [["--json", "-c", "x", "status"], ["-c", "x", "status", "--json"]], ids=["before", "after"]
)
def test_json_may_be_asked_for_before_and_after_the_command(
    arguments: list[str], scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted({Status: [WELL]})

    run(arguments)

    assert capsys.readouterr().out.startswith('{\n  "version": "1.2.3",\n')


@pytest.mark.parametrize(
    ("told", "ended", "said"),
    [
        pytest.param({}, ExitStatus.OK, "", id="well"),
        pytest.param({"bounds": (Bound("connections", 8, 10),)}, ExitStatus.OK, "", id="not-near"),
        pytest.param({"bounds": (Bound("connections", 9, 10),)}, ExitStatus.FAILED, "connections (9 of 10)", id="near"),
        pytest.param({"read_only": True}, ExitStatus.STORE, "store-accept", id="not-whole"),
        pytest.param({"state": SealState.SEALED, "reason": "why"}, ExitStatus.SEALED, "why", id="sealed"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["for-people", "for-programs"])
def test_status_ends_with_the_state(  # one case a line
    told: dict[str, Any],
    ended: ExitStatus,
    said: str,
    options: list[str],
    scripted: Script,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scripted({Status: [replace(WELL, **told)]})
    assert run(["-c", "x", *options, "status"]) == ended
    shown = capsys.readouterr()
    assert "1.2.3" in shown.out
    assert said in shown.err
    assert bool(said) == bool(shown.err)
