"""The shell: before a person at a terminal, and with a script on standard input."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.programs import with_secretctl
from helpers.scripted_client import ScriptedClient
from helpers.terminal import CTRL_C, CTRL_D, TAB, UP, Terminal
from secretd.cli import invocation
from secretd.cli.main import run
from secretd.errors import ExitStatus, NotFoundError, SealError, UnreachableError
from secretd.model import Mode, SealState
from secretd.operations import DaemonStatus, Delete, Deleted, GetXml, List, Listed, Status, Whoami

PROMPT = "secretctl> "
ID = "6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40"
OTHER = "b7d2e8c4-91a6-4e5d-8f02-3c4d5e6f7a81"
WELL = DaemonStatus(version="1.2.3", mode=Mode.SESSION, state=SealState.OPEN)

Script = Callable[..., ScriptedClient]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path / "daemon") as running:
        yield running


@pytest.fixture
def environment(daemon: RunningDaemon, tmp_path: Path) -> dict[str, str]:
    ours = {**daemon.environment, "XDG_STATE_HOME": str(tmp_path / "state"), "TERM": "xterm"}
    ours.pop("NO_COLOR", None)
    return with_secretctl(tmp_path / "programs", ours)


@pytest.fixture
def terminal(environment: dict[str, str], tmp_path: Path) -> Iterator[Terminal]:
    with Terminal(["secretctl", "--session"], environment, tmp_path) as opened:
        opened.expect(PROMPT)
        yield opened


def secretctl(environment: dict[str, str], *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["secretctl", "--session", *arguments],
        input=given,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def define(environment: dict[str, str], secret: str, usage: str) -> None:
    document = f"<secret><uuid>{secret}</uuid><usage type='iscsi'><target>{usage}</target></usage></secret>"
    assert secretctl(environment, "secret-define", "-", given=document).returncode == 0


def history(tmp_path: Path) -> Path:
    return tmp_path / "state" / "secretd" / "secretctl-history"


# Before a person.


def test_it_greets_does_what_it_is_told_and_leaves(terminal: Terminal) -> None:
    terminal.press("secret-allocate\n")
    terminal.expect(r"secret-allocate\n[0-9a-f-]{36}\n" + PROMPT)
    terminal.press("quit\n")

    assert terminal.finish() == 0
    assert "quit leaves" in terminal.shown


@pytest.mark.parametrize("keys", [CTRL_D, "exit\n", "quit\n"], ids=["ctrl-d", "exit", "quit"])
def test_there_are_three_ways_out(keys: str, terminal: Terminal) -> None:
    terminal.press(keys)

    assert terminal.finish() == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("secret-dumpxml canary", "error: Invalid value for 'ID'", id="wrong-words"),
        pytest.param(f"secret-dumpxml {ID}", "error: no secret has this id", id="refused"),
        pytest.param("xyzzy", "error: No such command", id="no-command"),
        pytest.param("secret-lookup tls 'x", "error: a quotation", id="a-quote-that-does-not-end"),
        pytest.param("--json", "error: Missing command.", id="no-command-but-options"),
        pytest.param("secret-define -", "standard input is the shell's own", id="standard-input"),
        pytest.param(f"secret-set-value {ID} --plain --file -", "standard input is the shell's own", id="for-a-value"),
    ],
)
def test_an_error_does_not_end_it(line: str, said: str, terminal: Terminal) -> None:
    terminal.press(f"{line}\n")
    terminal.expect(said)
    terminal.expect(PROMPT)
    terminal.press("status\n")
    terminal.expect(r"state +open")


def test_what_can_be_done_is_named_as_it_is_typed_there(terminal: Terminal) -> None:
    terminal.press(f"secret-dumpxml {ID}\n")

    terminal.expect(r"\nsecret-list shows the secrets")


def test_ctrl_c_gives_up_the_line_and_no_more(terminal: Terminal) -> None:
    terminal.press("nonsense")
    # readline notices a signal only while it waits for a key.
    terminal.expect("nonsense")
    terminal.expect_waiting()
    terminal.press(CTRL_C)
    terminal.expect(PROMPT)
    terminal.press("status\n")

    assert "error" not in terminal.expect(r"state +open")


def test_ctrl_c_gives_up_a_command_and_no_more(terminal: Terminal) -> None:
    terminal.press(f"secret-set-value {ID} --create --interactive\n")
    terminal.expect("Enter new value for secret: ")
    terminal.press(CTRL_C)
    terminal.expect(PROMPT)
    terminal.press("status\n")
    terminal.expect(r"persistent +0")


def test_a_command_and_an_option_are_completed(terminal: Terminal) -> None:
    terminal.press(f"stat{TAB}")
    terminal.expect("status ")
    terminal.press(f"--js{TAB}\n")
    terminal.expect(r"--json \n")
    terminal.expect('"state": "open"')


def test_an_id_is_completed_from_the_daemon(environment: dict[str, str], terminal: Terminal) -> None:
    define(environment, ID, "one")
    define(environment, OTHER, "two")

    terminal.press(f"secret-dumpxml {ID[:3].upper()}{TAB}\n")
    terminal.expect(rf"<uuid>{ID}</uuid>")
    terminal.expect(PROMPT)
    terminal.press(f"secret-undefine --secret {OTHER[:3]}{TAB}\n")
    terminal.expect(f"Secret {OTHER} deleted")


def test_a_usage_is_completed_from_the_daemon(environment: dict[str, str], terminal: Terminal) -> None:
    define(environment, ID, "iqn.2026-11.org.example:one disk")

    terminal.press(f"secret-lookup iscsi iq{TAB}\n")
    terminal.expect(f"\n{ID}")


def test_a_file_is_completed(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "one secret.xml").write_text("<secret/>")

    terminal.press(f"secret-define docu{TAB}{TAB}\n")
    terminal.expect(r"Secret [0-9a-f-]{36} created")


def test_what_is_quoted_is_completed_as_a_whole_or_not_at_all(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "one secret.xml").write_text("<secret/>")

    terminal.press(f"secret-define 'on{TAB}\n")
    terminal.expect(r"Secret [0-9a-f-]{36} created")
    terminal.expect(PROMPT)
    terminal.press(f"secret-define 'one s{TAB}ecret.xml'\n")
    terminal.expect(r"Secret [0-9a-f-]{36} created")


def test_a_history_that_cannot_be_written_any_more_ends_nothing(terminal: Terminal, tmp_path: Path) -> None:
    history(tmp_path).unlink()
    history(tmp_path).mkdir()

    for _ in range(2):
        terminal.press("status\n")
        terminal.expect(r"state +open")
        terminal.expect(PROMPT)


def test_nothing_secret_is_in_the_history(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "file.xml").write_text(f"<secret><uuid>{ID}</uuid></secret>")
    for line in (
        "secret-define file.xml",
        f"secret-set-value {ID} canary",
        f"secret-set-value {ID} --base64 canary",
        "secret-allocate --description canary --ephemeral",
        "secret-lookup volume canary",
        "canary",
    ):
        terminal.press(f"{line}\n")
        terminal.expect(PROMPT)
    terminal.press(f"secret-set-value {ID} --interactive\n")
    terminal.expect("Enter new value for secret: ")
    terminal.press("sanctuary\n")
    terminal.expect("Secret value set")
    terminal.expect(PROMPT)
    terminal.press(CTRL_D)

    assert terminal.finish() == 0
    assert "sanctuary" not in terminal.shown
    assert history(tmp_path).read_text().splitlines() == [
        "secret-define file.xml",
        f"secret-set-value {ID}",
        "secret-set-value " + ID + " --base64",
        "secret-allocate --description",
        "secret-lookup volume",
        f"secret-set-value {ID} --interactive",
    ]
    assert history(tmp_path).stat().st_mode & 0o777 == 0o600
    assert history(tmp_path).parent.stat().st_mode & 0o777 == 0o700


def test_the_next_shell_remembers(environment: dict[str, str], terminal: Terminal, tmp_path: Path) -> None:
    terminal.press("whoami\n")
    terminal.expect(PROMPT)
    terminal.press("quit\n")
    terminal.finish()

    with Terminal(["secretctl", "--session"], environment, tmp_path) as next_one:
        next_one.expect(PROMPT)
        next_one.press(f"{UP}{UP}\n")
        next_one.expect(r"uid +SO_PEERCRED +\d")


def test_without_a_place_for_it_the_history_is_not_kept(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no directory")

    with Terminal(["secretctl", "--session"], environment, tmp_path) as terminal:
        terminal.expect("error: the history of this shell is not kept: Not a directory")
        terminal.expect(PROMPT)
        terminal.press("status\n")
        terminal.expect(r"state +open")


def test_without_readline_it_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    program = "import sys; sys.modules['readline'] = None; from secretd.cli.main import main; main()"
    with Terminal([sys.executable, "-P", "-c", program], environment, tmp_path) as terminal:
        terminal.expect("error: this Python has no readline")

        assert terminal.finish() == 1


def test_a_daemon_that_was_started_anew_is_found(daemon: RunningDaemon, terminal: Terminal) -> None:
    terminal.press("status\n")
    terminal.expect(r"state +open")
    terminal.expect(PROMPT)
    daemon.stop()
    terminal.press("status\n")
    terminal.expect("error: no daemon answers")
    terminal.expect(PROMPT)

    with RunningDaemon(daemon.root):
        terminal.press("secret-allocate\n")
        terminal.expect(r"\n[0-9a-f-]{36}\n" + PROMPT)


@pytest.mark.parametrize(
    ("changes", "colours"),
    [
        pytest.param({}, True, id="a-terminal"),
        pytest.param({"NO_COLOR": "1"}, False, id="no-color"),
        pytest.param({"NO_COLOR": ""}, True, id="no-color-is-empty"),
        pytest.param({"TERM": "dumb"}, False, id="dumb"),
    ],
)
def test_colours_go_where_they_are_wanted(
    changes: dict[str, str], colours: bool, environment: dict[str, str], tmp_path: Path
) -> None:
    with Terminal(["secretctl", "--session", "--quiet"], {**environment, **changes}, tmp_path) as terminal:
        terminal.expect(PROMPT)
        terminal.press("secret-list\n")
        terminal.expect(PROMPT)
        terminal.press("xyzzy\n")
        terminal.expect("error: ")
        terminal.expect(PROMPT)
        terminal.press(CTRL_D)
        terminal.finish()

    assert ("\x1b[1;31merror:\x1b[0m" in terminal.shown) == colours
    assert ("\x1b[1m" in terminal.shown) == colours
    assert "leaves" not in terminal.shown


def test_a_pipe_gets_neither_colours_nor_progress(environment: dict[str, str]) -> None:
    done = secretctl({**environment, "TERM": "xterm"}, given="secret-list\ncheck\nxyzzy\n")

    assert done.returncode == ExitStatus.USAGE
    assert "\x1b" not in done.stdout + done.stderr
    assert "Checking" not in done.stderr


@pytest.mark.parametrize(
    ("options", "shown"), [([], True), (["--quiet"], False), (["--json"], True)], ids=["plain", "quiet", "json"]
)
def test_a_check_shows_that_it_is_at_work(
    options: list[str], shown: bool, environment: dict[str, str], tmp_path: Path
) -> None:
    with Terminal(["secretctl", "--session", *options, "check"], environment, tmp_path) as terminal:
        assert terminal.finish() == 0

    assert ("Checking every record" in terminal.shown) == shown
    assert "found" in terminal.shown


# With a script.


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Script:
    def put(lines: str | bytes, answers: dict[Any, Any]) -> ScriptedClient:
        content = lines if isinstance(lines, bytes) else lines.encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        client = ScriptedClient(answers)
        monkeypatch.setattr(invocation, "Client", client)
        return client

    return put


def test_a_script_runs_on_one_connection(scripted: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "readline", None)
    monkeypatch.delitem(sys.modules, "secretd.cli.editing", raising=False)
    page = Listed(entries=(), truncated=False)
    client = scripted(
        "# a comment\n\nsecret-list\n  status\nstatus",
        {List: [page], Status: [WELL, WELL], Whoami: [NotFoundError("a refusal is an answer"), SealError("too")]},
    )

    assert run(["-c", "x"]) == ExitStatus.OK
    assert [type(request) for request in client.requests] == [List, Whoami, Status, Whoami, Status]
    assert client.paths == [Path("x")]


def test_a_connection_is_made_anew_where_it_broke(scripted: Script) -> None:
    client = scripted("status\nstatus\n", {Status: [WELL, WELL], Whoami: [UnreachableError("went away")]})

    assert run(["-c", "x"]) == ExitStatus.OK
    assert client.paths == [Path("x"), Path("x")]


def test_a_line_may_ask_another_daemon(scripted: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    client = scripted("status --session\nstatus --system\n", {Status: [WELL, WELL]})

    assert run([]) == ExitStatus.OK
    assert client.paths == [Path("/run/user/7/secretd/secretd-sock"), Path("/run/secretd/secretd-sock")]


@pytest.mark.parametrize(
    ("options", "asked", "status"),
    [
        pytest.param([], [GetXml], ExitStatus.NOT_FOUND, id="ends-there"),
        pytest.param(["-k"], [GetXml, Whoami, Delete], ExitStatus.NOT_FOUND, id="goes-on"),
        pytest.param(["--keep-going"], [GetXml, Whoami, Delete], ExitStatus.NOT_FOUND, id="goes-on-long"),
    ],
)
def test_a_script_that_fails(
    options: list[str],
    asked: list[type],
    status: ExitStatus,
    scripted: Script,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = scripted(
        f"\nsecret-dumpxml {ID}\nsecret-undefine {ID}\nsecret-undefine nonsense\n",
        {GetXml: [NotFoundError("no such")], Delete: [Deleted()], Whoami: [NotFoundError("x")]},
    )

    assert run(["-c", "x", *options]) == status
    assert [type(request) for request in client.requests] == asked
    assert capsys.readouterr().err.startswith("error: line 2: no such\n")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        pytest.param(b"status \xff\n", "line 1: this is not UTF-8", id="not-utf-8"),
        pytest.param(b"\nstatus 'x\n", "line 2: a quotation", id="a-quote-that-does-not-end"),
        pytest.param(b"secret-define -\n", "line 1: Invalid value for 'FILE'", id="standard-input-is-the-script"),
    ],
)
def test_a_script_that_cannot_be_read(
    lines: bytes, said: str, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    client = scripted(lines, {})

    assert run(["-c", "x"]) == ExitStatus.USAGE
    assert said in capsys.readouterr().err
    assert client.paths == []


def test_quit_ends_a_script_with_what_came_of_it(scripted: Script) -> None:
    client = scripted("xyzzy\nquit\nstatus\n", {})

    assert run(["-c", "x", "-k"]) == ExitStatus.USAGE
    assert client.paths == []


@pytest.mark.parametrize("name", ["quit", "exit"])
def test_outside_a_shell_there_is_nothing_to_leave(name: str) -> None:
    assert run([name]) == ExitStatus.OK


def test_ctrl_c_ends_a_script_even_if_it_is_to_keep_going(scripted: Script) -> None:
    client = scripted("status\nstatus\n", {Status: [KeyboardInterrupt()]})

    assert run(["-c", "x", "-k"]) == 130
    assert len(client.requests) == 1


def test_quiet_leaves_out_what_only_says_that_all_went_well(
    scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Listed(entries=(), truncated=False)
    scripted(f"secret-undefine {ID}\nsecret-list\n", {Delete: [Deleted()], List: [page], Whoami: [WELL]})

    assert run(["-c", "x", "-q"]) == ExitStatus.OK
    assert capsys.readouterr().out == ""


def test_json_is_an_answer_even_where_it_is_quiet(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    client = scripted(f"secret-undefine {ID} --json\n", {Delete: [Deleted()]})

    assert run(["-c", "x", "-q"]) == ExitStatus.OK
    assert capsys.readouterr().out == "{}\n"
    assert len(client.requests) == 1
