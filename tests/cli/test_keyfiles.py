"""The commands that bring the bytes of a key in and out, and where their passwords come from."""

from __future__ import annotations

import base64
import io
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.scripted_client import Answer, ScriptedClient
from secretd.cli import inputs, invocation
from secretd.cli.main import run
from secretd.errors import ExitStatus, WrongPasswordError
from secretd.keyrequests import KeyChanged, KeyExport, KeyExported, KeyImport
from secretd.keys import KeyDocument, KeyFormat, KeyId, KeyKdf, Tag
from secretd.model import Digest, SecretValue
from secretd.operations import Request

KEY = KeyId("nightly")
CHANGED = KeyChanged(KEY, Digest("0" * 32))
RAW = b"{" + bytes(31)
FILE = b'\n{"kdf": null, "data": "AAAA", "fingerprint": null}\n'
PASSWORD = SecretValue(b"correct horse")
EXPORTED = KeyExported(2, SecretValue(RAW), "ab:cd")
EXPORTED_FILE = KeyExported(2, SecretValue(FILE.strip()), "ab:cd")

Script = Callable[..., ScriptedClient]
Typed = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").write_bytes(RAW)
    (tmp_path / "file").write_bytes(FILE)
    (tmp_path / "password").write_bytes(b"correct horse\na comment\n")
    return tmp_path


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Script:
    def put(asked: type[Request[Any]], *answers: Answer) -> ScriptedClient:
        client = ScriptedClient({asked: answers})
        monkeypatch.setattr(invocation, "Client", client)
        return client

    return put


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Type these lines, and give what was asked; without lines there is no terminal."""

    def put(*lines: bytes) -> list[str]:
        asked, left = list[str](), list(lines)

        def read(prompt: str) -> SecretValue:
            if not lines:
                raise inputs.NoTerminalError
            asked.append(prompt)
            return SecretValue(left.pop(0))

        monkeypatch.setattr(inputs, "read_typed", read)
        return asked

    return put


def secretctl(*words: str) -> int:
    return run(["-c", "x", *words])


# In.


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        pytest.param(["raw"], KeyImport(KeyDocument(), SecretValue(RAW)), id="32-bytes-that-begin-like-a-file"),
        pytest.param(["file"], KeyImport(KeyDocument(), SecretValue(FILE), KeyFormat.PBS), id="a-file"),
        pytest.param(["file", "--format", "raw"], KeyImport(KeyDocument(), SecretValue(FILE)), id="as-it-is-said"),
        pytest.param(["password"], KeyImport(KeyDocument(), SecretValue(b"correct horse\na comment\n")), id="neither"),
        pytest.param(
            [
                *("file", "--id", "nightly", "--format", "pbs", "--password-file", "password", "--description", "d"),
                *("--tag", "env=prod", "--rotate-every", "9", "--exportable"),
            ],
            KeyImport(
                KeyDocument(KEY, description="d", tags=(Tag("env", "prod"),), exportable=True, rotation=9),
                SecretValue(FILE),
                KeyFormat.PBS,
                PASSWORD,
            ),
            id="all",
        ),
    ],
)
def test_a_key_is_imported(
    arguments: list[str], asked: KeyImport, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    client = scripted(KeyImport, CHANGED)

    assert secretctl("key-import", *arguments) == ExitStatus.OK
    assert client.requests == [asked]
    assert capsys.readouterr() == ("Key nightly imported\n", "")


def test_a_password_may_come_by_a_descriptor(here: Path, scripted: Script) -> None:
    client = scripted(KeyImport, CHANGED)

    with (here / "password").open("rb") as opened:
        assert secretctl("key-import", "file", "--password-fd", str(opened.fileno())) == ExitStatus.OK
    assert client.requests == [KeyImport(KeyDocument(), SecretValue(FILE), KeyFormat.PBS, PASSWORD)]


def test_a_password_is_asked_for_only_if_it_is_needed(scripted: Script, typed: Typed) -> None:
    asked = typed(b"correct horse")
    scripted(KeyImport, CHANGED)
    assert secretctl("key-import", "file") == ExitStatus.OK
    assert asked == []

    client = scripted(KeyImport, WrongPasswordError("the file is protected; its hint: usual\x1b[2J"), CHANGED)
    assert secretctl("key-import", "file") == ExitStatus.OK
    assert asked == ["the file is protected; its hint: usual\\x1b[2J\nPassword: "]
    assert [request.password for request in client.requests if isinstance(request, KeyImport)] == [None, PASSWORD]


@pytest.mark.parametrize("lines", [[], [b"wrong"]], ids=["no-terminal", "mistyped"])
def test_a_wrong_password_is_told_with_what_can_be_done(
    lines: list[bytes], scripted: Script, typed: Typed, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(*lines)
    scripted(KeyImport, *(WrongPasswordError("its hint: usual") for _ in range(2)))

    assert secretctl("key-import", "file") == ExitStatus.DENIED
    said = capsys.readouterr().err
    assert said.startswith("error: its hint: usual\n")
    assert "--password-file" in said


def test_one_that_was_given_is_not_asked_for_again(scripted: Script, typed: Typed) -> None:
    asked = typed(b"another")
    client = scripted(KeyImport, WrongPasswordError("its hint: usual"))

    assert secretctl("key-import", "file", "--password-file", "password") == ExitStatus.DENIED
    assert len(client.requests) == 1
    assert asked == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["-", "--password-file", "-"], "cannot be the key and its password", id="one-pipe"),
        pytest.param(["-", "--password-fd", "0"], "cannot be the key and its password", id="one-descriptor"),
        pytest.param(["file", "--password-file", "password", "--password-fd", "3"], "and not both", id="two-sources"),
        pytest.param(["file", "--password-fd", "-1"], "x>=0", id="no-descriptor"),
        pytest.param(["file", "--password", "canary"], "No such option", id="on-the-command-line"),
        pytest.param(["missing"], "cannot read missing", id="no-file"),
        pytest.param(["file", "--password-file", "missing"], "cannot read missing", id="no-password-file"),
    ],
)
def test_what_cannot_be_meant_is_asked_of_nobody(
    arguments: list[str], said: str, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    client = scripted(KeyImport)

    assert secretctl("key-import", *arguments) == ExitStatus.USAGE
    shown = capsys.readouterr().err
    assert said in shown
    assert "canary" not in shown
    assert client.requests == []


def test_in_a_shell_standard_input_has_no_password(
    scripted: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = scripted(KeyImport)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"key-import file --password-fd 0\n")))

    assert secretctl() == ExitStatus.USAGE
    assert "standard input is the shell's own" in capsys.readouterr().err
    assert client.requests == []


# Out.


@pytest.mark.parametrize(
    ("options", "asked", "reply", "shown"),
    [
        pytest.param([], KeyExport(KEY), EXPORTED, base64.b64encode(RAW).decode(), id="raw-is-text-too"),
        pytest.param(["--output", "-"], KeyExport(KEY), EXPORTED, base64.b64encode(RAW).decode(), id="to-a-pipe"),
        pytest.param(
            ["--format", "pbs", "--version", "2"],
            KeyExport(KEY, 2, KeyFormat.PBS),
            EXPORTED_FILE,
            FILE.decode().strip(),
            id="a-file-is-text",
        ),
        pytest.param(
            ["--format", "pbs", "--kdf", "scrypt", "--password-file", "password", "--hint", "usual"],
            KeyExport(KEY, None, KeyFormat.PBS, KeyKdf.SCRYPT, PASSWORD, "usual"),
            EXPORTED_FILE,
            FILE.decode().strip(),
            id="a-protected-file",
        ),
    ],
)
def test_a_key_is_exported_as_text(  # one case a line
    options: list[str],
    asked: KeyExport,
    reply: KeyExported,
    shown: str,
    scripted: Script,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = scripted(KeyExport, reply)

    assert secretctl("key-export", "nightly", *options) == ExitStatus.OK
    assert client.requests == [asked]
    assert capsys.readouterr() == (f"{shown}\n", "")


def test_a_key_is_exported_to_a_new_file(here: Path, scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    scripted(KeyExport, EXPORTED, EXPORTED_FILE)

    assert secretctl("key-export", "nightly", "--output", "out") == ExitStatus.OK
    assert capsys.readouterr().out == "Key nightly is in out\n"
    assert (here / "out").read_bytes() == RAW
    assert stat.S_IMODE((here / "out").stat().st_mode) == 0o600

    assert secretctl("key-export", "nightly", "--output", "out") == ExitStatus.USAGE
    assert "it is there already" in capsys.readouterr().err

    assert secretctl("--json", "key-export", "nightly", "--format", "pbs", "--output", "more") == ExitStatus.OK
    told = {"version": 2, "value": None, "fingerprint": "ab:cd", "file": "more", "bytes": len(FILE.strip())}
    assert json.loads(capsys.readouterr().out) == told
    assert (here / "more").read_bytes() == FILE.strip()


def test_a_new_password_is_asked_for_twice(scripted: Script, typed: Typed) -> None:
    asked = typed(b"correct horse", b"correct horse")
    client = scripted(KeyExport, EXPORTED_FILE)

    assert secretctl("key-export", "nightly", "--format", "pbs", "--kdf", "pbkdf2") == ExitStatus.OK
    assert client.requests == [KeyExport(KEY, None, KeyFormat.PBS, KeyKdf.PBKDF2, PASSWORD)]
    assert asked == ["New password: ", "The same once more: "]


@pytest.mark.parametrize(
    ("lines", "status", "said"),
    [
        pytest.param([b"one", b"two"], ExitStatus.INVALID, "not the same twice", id="mistyped"),
        pytest.param([], ExitStatus.USAGE, "--kdf needs a password", id="no-terminal"),
    ],
)
def test_without_a_password_nothing_is_exported(
    lines: list[bytes],
    status: ExitStatus,
    said: str,
    scripted: Script,
    typed: Typed,
    capsys: pytest.CaptureFixture[str],
) -> None:
    typed(*lines)
    client = scripted(KeyExport)

    assert secretctl("key-export", "nightly", "--format", "pbs", "--kdf", "scrypt") == status
    assert said in capsys.readouterr().err
    assert client.requests == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--format", "pbs", "--hint", "usual"], "that --kdf scrypt or", id="a-hint-of-nothing"),
        pytest.param(["--password-file", "password"], "that --kdf scrypt or", id="a-password-for-nothing"),
        pytest.param(["--kdf", "scrypt", "--password-file", "password"], "--kdf is of --format pbs", id="raw"),
    ],
)
def test_what_protects_nothing_is_refused(
    options: list[str], said: str, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    client = scripted(KeyExport)

    assert secretctl("key-export", "nightly", *options) == ExitStatus.USAGE
    assert said in capsys.readouterr().err
    assert client.requests == []
