"""The commands that use keys: what is read, what is written where, and what becomes of many files."""

from __future__ import annotations

import base64
import io
import json
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.scripted_client import Answer, ScriptedClient
from secretd.cli import invocation
from secretd.cli.main import run
from secretd.errors import DecryptionError, ExitStatus, InvalidRequestError, UnreachableError, WrongStateError
from secretd.keyrequests import DataKey, Decrypt, Decrypted, Encrypt, Encrypted, GenerateDataKey, Rewrap
from secretd.keys import Blob, ContextPair, DataKeySpec, KeyId
from secretd.model import SecretValue
from secretd.operations import Request

KEY = KeyId("nightly")
BLOB, NEWER = Blob(b"sdb\x01\xff\n"), Blob(b"sdb\x01\xfe\n")
SPELT, NEWER_SPELT = (base64.b64encode(blob.data) + b"\n" for blob in (BLOB, NEWER))
CLEAR = SecretValue(b"\xff\n\x00")
MADE, WRAPPED = DataKey(KEY, 2, BLOB, CLEAR), DataKey(KEY, 2, BLOB)
ENCRYPTED, DECRYPTED = Encrypted(KEY, 2, NEWER), Decrypted(KEY, 2, CLEAR)
CONTEXT = ["--context", "datastore=tank", "--context", "a=b=c"]
PAIRS = (ContextPair("datastore", "tank"), ContextPair("a", "b=c"))

Script = Callable[..., ScriptedClient]
Typed = Callable[[bytes], None]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Script:
    def put(asked: type[Request[Any]], *answers: Answer) -> ScriptedClient:
        client = ScriptedClient({asked: answers})
        monkeypatch.setattr(invocation, "Client", client)
        return client

    return put


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Typed:
    return lambda content: monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def secretctl(*words: str) -> int:
    return run(["-c", "x", *words])


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


# Data keys.


def test_a_data_key_and_its_blob_are_shown(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    client = scripted(GenerateDataKey, MADE)

    assert secretctl("data-key-generate") == ExitStatus.OK
    assert client.requests == [GenerateDataKey()]
    assert capsys.readouterr().out == f" Data key:   /woA\n Blob:       {SPELT.decode()}"


@pytest.mark.parametrize("dash", [[], ["--blob", "-"]], ids=["nowhere", "standard-output"])
def test_a_blob_alone_is_a_line_of_base64(
    dash: list[str], scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    client = scripted(GenerateDataKey, WRAPPED)

    assert secretctl("data-key-generate", "nightly", "--spec", "AES_128", "--wrapped-only", *CONTEXT, *dash) == 0
    assert client.requests == [GenerateDataKey(KEY, DataKeySpec.AES_128, clear=False, context=PAIRS)]
    assert capsys.readouterr() == (SPELT.decode(), "")


@pytest.mark.parametrize(("options", "shown"), [([], b"/woA\n"), (["--plain"], b"\xff\n\x00")], ids=["text", "plain"])
def test_a_blob_goes_to_a_new_file_and_the_data_key_alone_is_shown(
    options: list[str], shown: bytes, here: Path, scripted: Script, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    scripted(GenerateDataKey, MADE)

    assert secretctl("data-key-generate", "--blob", "tank.key", *options) == ExitStatus.OK
    assert capfdbinary.readouterr().out == shown
    assert (here / "tank.key").read_bytes() == BLOB.data
    assert mode_of(here / "tank.key") == 0o600


def test_of_a_data_key_programs_read_base64(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    scripted(GenerateDataKey, MADE, MADE)

    assert secretctl("--json", "data-key-generate", "--blob", "tank.key") == ExitStatus.OK
    told = {"key": "nightly", "version": 2, "blob": None, "value": "/woA", "file": "tank.key", "bytes": 6}
    assert json.loads(capsys.readouterr().out) == told

    assert secretctl("--json", "data-key-generate") == ExitStatus.OK
    assert json.loads(capsys.readouterr().out)["blob"] == SPELT.decode().strip()


def test_a_data_key_that_was_not_given_is_the_daemons_fault(
    scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted(GenerateDataKey, WRAPPED)

    assert secretctl("data-key-generate") == ExitStatus.UNREACHABLE
    assert "gave no data key" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--plain"], id="two-things-plain"),
        pytest.param(["--plain", "--blob", "-"], id="two-things-plain-too"),
        pytest.param(["--plain", "--blob", "b", "--wrapped-only"], id="nothing-plain"),
        pytest.param(["--plain", "--blob", "b", "--json"], id="two-forms"),
    ],
)
def test_plain_is_the_data_key_alone(
    options: list[str], here: Path, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    client = scripted(GenerateDataKey)

    assert secretctl("data-key-generate", *options) == ExitStatus.USAGE
    assert "--plain writes the data key alone" in capsys.readouterr().err
    assert (client.requests, list(here.iterdir())) == ([], [])


# Sealing and opening.


def test_what_is_sealed_is_read_to_its_last_byte(
    given: Typed, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    given(b"secret\n")
    client = scripted(Encrypt, ENCRYPTED)

    assert secretctl("encrypt", "--key", "nightly", *CONTEXT) == ExitStatus.OK
    assert client.requests == [Encrypt(SecretValue(b"secret\n"), KEY, PAIRS)]
    assert capsys.readouterr() == (NEWER_SPELT.decode(), "")


def test_a_blob_goes_to_a_new_file(here: Path, scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "clear").write_bytes(b"secret")
    scripted(Encrypt, ENCRYPTED, ENCRYPTED)

    assert secretctl("encrypt", "clear", "--output", "sealed") == ExitStatus.OK
    assert capsys.readouterr().out == "The blob is in sealed\n"
    assert (here / "sealed").read_bytes() == NEWER.data
    assert mode_of(here / "sealed") == 0o600

    assert secretctl("--json", "encrypt", "clear", "--output", "more") == ExitStatus.OK
    told = {"key": "nightly", "version": 2, "blob": None, "file": "more", "bytes": 6}
    assert json.loads(capsys.readouterr().out) == told


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["encrypt", "clear", "--output", "taken"], id="encrypt"),
        pytest.param(["decrypt", "blob", "--output", "taken"], id="decrypt"),
        pytest.param(["rewrap", "blob", "--output", "taken"], id="rewrap"),
        pytest.param(["data-key-generate", "--blob", "taken"], id="data-key-generate"),
        pytest.param(["data-key-generate", "--blob", "taken", "--wrapped-only"], id="wrapped"),
    ],
)
def test_nothing_is_written_over_and_nobody_asked(
    arguments: list[str], here: Path, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "clear").write_bytes(b"secret")
    (here / "blob").write_bytes(BLOB.data)
    (here / "taken").write_bytes(b"another blob")
    client = scripted(Encrypt)

    assert secretctl(*arguments) == ExitStatus.USAGE
    assert "cannot write taken: it is there already" in capsys.readouterr().err
    assert (here / "taken").read_bytes() == b"another blob"
    assert client.requests == []


def test_of_what_fails_there_is_no_file(here: Path, scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "blob").write_bytes(BLOB.data)
    scripted(Decrypt, DecryptionError("it does not open"))

    assert secretctl("decrypt", "blob", "--output", "clear") == ExitStatus.INVALID
    assert capsys.readouterr().err.startswith("error: it does not open\nIt needs the same --context ")
    assert names_in(here) == ["blob"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(BLOB.data, id="bytes"),
        pytest.param(SPELT, id="base64"),
        pytest.param(SPELT.strip(), id="no-line-end"),
        pytest.param(b" \tc2Ri\r\n Af8K\n\n", id="base64-of-several-lines"),
    ],
)
def test_a_blob_is_read_as_bytes_or_base64(
    content: bytes, given: Typed, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    given(content)
    client = scripted(Decrypt, DECRYPTED)

    assert secretctl("decrypt", "--key", "nightly", *CONTEXT) == ExitStatus.OK
    assert client.requests == [Decrypt(BLOB, KEY, PAIRS)]
    assert capsys.readouterr() == ("/woA\n", "")


@pytest.mark.parametrize(
    "content",
    [b"", b"secret", b"c2Vj", b"sd", b"c2Ri Af8K", b"c2RiAf8"],
    ids=["nothing", "a-word", "base64-of-something", "too-short", "a-blank-inside", "cut"],
)
def test_what_is_no_blob_is_told_so_at_once(
    content: bytes, given: Typed, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    given(content)
    client = scripted(Decrypt)

    assert secretctl("decrypt") == ExitStatus.INVALID
    assert "there is no blob in the file" in capsys.readouterr().err
    assert client.requests == []


@pytest.mark.parametrize("command", ["encrypt", "decrypt", "rewrap -"])
def test_in_a_shell_standard_input_is_no_file(
    command: str, given: Typed, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    given(f"{command}\n".encode())
    client = scripted(Decrypt)

    assert secretctl() == ExitStatus.USAGE
    assert "standard input is the shell's own; name a file." in capsys.readouterr().err
    assert client.requests == []


@pytest.mark.parametrize("output", [[], ["--output", "-"]], ids=["nowhere", "standard-output"])
def test_what_was_sealed_comes_plain_if_that_is_wanted(
    output: list[str], given: Typed, scripted: Script, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    given(BLOB.data)
    scripted(Decrypt, DECRYPTED)

    assert secretctl("decrypt", "--plain", *output) == ExitStatus.OK
    assert capfdbinary.readouterr().out == b"\xff\n\x00"


def test_what_was_sealed_goes_to_a_new_file(here: Path, scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "blob").write_bytes(BLOB.data)
    scripted(Decrypt, DECRYPTED)

    assert secretctl("decrypt", "blob", "--plain", "--output", "clear") == ExitStatus.OK
    assert capsys.readouterr().out == "What was sealed is in clear\n"
    assert (here / "clear").read_bytes() == CLEAR.reveal()
    assert mode_of(here / "clear") == 0o600


def test_a_form_that_is_two_is_none(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    scripted(Decrypt)

    assert secretctl("--json", "decrypt", "--plain") == ExitStatus.USAGE
    assert "--plain and --json cannot go together" in capsys.readouterr().err


def test_who_names_no_key_is_told_of_the_default(
    given: Typed, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    given(b"secret")
    scripted(Encrypt, InvalidRequestError("no key is named, and there is no default key"))

    assert secretctl("encrypt") == ExitStatus.INVALID
    assert "secretctl key-default" in capsys.readouterr().err

    given(b"")
    assert secretctl("encrypt") == ExitStatus.INVALID
    assert capsys.readouterr().err == "error: a value may not be empty\n"


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        pytest.param(["a"], "it is a name and a text, as NAME=TEXT.", id="no-pair"),
        pytest.param(["a=b", "a=c"], "a name in the encryption context is empty, or there twice.", id="a-name-twice"),
        pytest.param(
            [f"{'x' * 129}=b"], "a name in an encryption context may have at most 128 bytes", id="a-long-name"
        ),
        pytest.param([f"a={'x' * 1025}"], "an encryption context may have at most 1024 bytes", id="a-long-text"),
        pytest.param([f"a{i}={'x' * 1000}" for i in range(9)], "at most 8192 bytes", id="long-altogether"),
        pytest.param(["a=\x01"], "holds a character that XML cannot carry", id="a-control-character"),
        pytest.param(["a=\udc80"], "holds a character that XML cannot carry", id="no-utf-8"),
    ],
)
@pytest.mark.parametrize("command", ["data-key-generate", "encrypt", "decrypt", "rewrap"])
def test_what_is_no_context_is_asked_of_nobody(  # one case a line
    command: str, pairs: list[str], said: str, here: Path, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    put_blobs(here, ["one"])
    client = scripted(Encrypt)
    files = [] if command == "data-key-generate" else ["one"]

    assert secretctl(command, *files, *(word for pair in pairs for word in ("--context", pair))) == ExitStatus.USAGE
    assert said in capsys.readouterr().err
    assert client.requests == []


# Rewrapping.


@pytest.mark.parametrize(("before", "after"), [(BLOB.data, NEWER.data), (SPELT, NEWER_SPELT)], ids=["bytes", "base64"])
def test_a_file_is_replaced_in_the_form_and_the_mode_that_it_had(
    before: bytes, after: bytes, here: Path, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    file = here / "tank.key"
    file.write_bytes(before)
    file.chmod(0o640)
    client = scripted(Rewrap, ENCRYPTED)

    assert secretctl("rewrap", "tank.key", "--key", "nightly", *CONTEXT) == ExitStatus.OK
    assert client.requests == [Rewrap(BLOB, KEY, PAIRS)]
    assert capsys.readouterr() == ("1 blob sealed anew\n", "")
    assert (file.read_bytes(), mode_of(file)) == (after, 0o640)
    assert names_in(here) == ["tank.key"]


def put_blobs(here: Path, names: Sequence[str]) -> None:
    for name in names:
        (here / name).write_bytes(BLOB.data)


def test_what_is_wrong_with_a_file_is_said_and_the_others_go_on(
    here: Path, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    put_blobs(here, ["one", "two", "three", "four", "six"])
    (here / "link").symlink_to("one")
    (here / "text").write_text("canary")
    refused = DecryptionError("it does not open")
    client = scripted(Rewrap, ENCRYPTED, refused, refused, WrongStateError("disabled"), ENCRYPTED, ENCRYPTED)

    files = ["one", "two", "three", "four", "five", "six", "link", "text"]
    assert secretctl("rewrap", *files) == ExitStatus.INVALID
    assert len(client.requests) == 6
    shown = capsys.readouterr()
    assert shown.out == "2 blobs sealed anew\n"
    errors = shown.err.splitlines()
    assert errors[0] == "error: two: it does not open"
    assert errors[1].startswith("It needs the same --context")
    assert errors[2:4] == ["error: three: it does not open", "error: four: disabled"]
    assert errors[5:] == [
        "error: cannot read five: No such file or directory.",
        "error: cannot write link: it is no plain file, which alone would be replaced.",
        "error: text: there is no blob in the file, neither its bytes nor base64 of them",
    ]
    assert [(here / name).read_bytes() for name in ("one", "two", "six")] == [NEWER.data, BLOB.data, NEWER.data]


def test_what_is_wrong_with_the_daemon_ends_it(
    here: Path, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    put_blobs(here, ["one", "two", "three"])
    client = scripted(Rewrap, ENCRYPTED, UnreachableError("it went away"))

    assert secretctl("rewrap", "one", "two", "three") == ExitStatus.UNREACHABLE
    assert len(client.requests) == 2
    assert capsys.readouterr().err.startswith("error: it went away\n")


def test_programs_read_what_was_done(here: Path, scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    put_blobs(here, ["one", "two"])
    scripted(Rewrap, DecryptionError("it does not open"), ENCRYPTED)

    assert secretctl("--json", "rewrap", "one", "two") == ExitStatus.INVALID
    assert json.loads(capsys.readouterr().out) == [{"file": "two", "key": "nightly", "version": 2}]


def test_one_blob_may_go_elsewhere(here: Path, scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    put_blobs(here, ["one"])
    scripted(Rewrap, ENCRYPTED, ENCRYPTED)

    assert secretctl("rewrap", "one", "--output", "two") == ExitStatus.OK
    assert capsys.readouterr().out == "The new blob is in two\n"
    assert [(here / name).read_bytes() for name in ("one", "two")] == [BLOB.data, NEWER.data]

    assert secretctl("rewrap", "one", "--output", "-") == ExitStatus.OK
    assert capsys.readouterr().out == NEWER_SPELT.decode()
    assert (here / "one").read_bytes() == BLOB.data


def test_a_blob_of_standard_input_goes_to_standard_output(
    given: Typed, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    given(SPELT)
    scripted(Rewrap, ENCRYPTED)

    assert secretctl("rewrap", "-") == ExitStatus.OK
    assert capsys.readouterr().out == NEWER_SPELT.decode()


@pytest.mark.parametrize("arguments", [["one", "two", "--output", "three"], ["-", "two"]], ids=["a-file", "a-pipe"])
def test_two_blobs_do_not_go_into_one_place(
    arguments: list[str], here: Path, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    put_blobs(here, ["one", "two"])
    scripted(Rewrap)

    assert secretctl("rewrap", *arguments) == ExitStatus.USAGE
    assert "are for one blob alone" in capsys.readouterr().err
