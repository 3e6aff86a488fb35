"""Reading values and documents: what is taken, what is refused, and that nothing read is repeated."""

from __future__ import annotations

import base64
import io
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd import limits
from secretd.cli import inputs
from secretd.errors import InvalidValueError, InvalidXmlError
from secretd.model import Attributes, SecretDocument, Usage, UsageType

DEADLINE_S = 30

ASK = "from secretd.cli.inputs import read_typed; print(ascii(read_typed('Say it: ').reveal()))"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param(b"c2VjcmV0", b"secret", id="as-it-is"),
        pytest.param(b"c2Vj\ncmV0\n", b"secret", id="lines"),
        pytest.param(b" \tc2Vj\t \r\n\r\n\tcmV0 ", b"secret", id="blanks-around-lines"),
        pytest.param(b"AA==", b"\0", id="padded"),
        pytest.param(base64.encodebytes(bytes(limits.VALUE_BYTES)), bytes(limits.VALUE_BYTES), id="longest"),
    ],
)
def test_base64_that_is_taken(text: bytes, value: bytes, file: Path) -> None:
    file.write_bytes(text)

    assert inputs.read_base64(file).reveal() == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(b"canary!!", "not base64", id="other-characters"),
        pytest.param(b"Correct horse", "say --plain", id="a-passphrase-of-two-words"),
        pytest.param(b"c2Vj\tcmV0", "not base64", id="a-tab-inside-a-line"),
        pytest.param(b"c2Vj\x0bcmV0", "not base64", id="no-end-of-a-line"),
        pytest.param(b"c2VjcmV", "not base64", id="padding-missing"),
        pytest.param(b"c2VjcmV0====", "not base64", id="padding-too-long"),
        pytest.param(b"AB==", "not base64", id="bits-left-over"),
        pytest.param(b"AA==AA==", "not base64", id="goes-on-after-its-end"),
        pytest.param(b"c2Vj-_==", "not base64", id="the-other-alphabet"),
        pytest.param("c2Vjcm\N{FULLWIDTH DIGIT ZERO}".encode(), "not base64", id="not-ascii"),
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"\n", "empty", id="only-white-space"),
        pytest.param(base64.b64encode(bytes(limits.VALUE_BYTES + 1)), "at most 65536", id="a-byte-too-many"),
        pytest.param(b"A" * 1_000_000, "longer than any value", id="far-too-long"),
    ],
)
def test_base64_that_is_refused(text: bytes, message: str, file: Path) -> None:
    file.write_bytes(text)

    with pytest.raises(InvalidValueError, match=message) as refused:
        inputs.read_base64(file)

    assert "canary" not in repr(refused.value)
    assert refused.value.__cause__ is None


@given(value=st.binary(min_size=1, max_size=300))
def test_what_base64_writes_is_read(value: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "any-value"
    file.write_bytes(base64.encodebytes(value))

    assert inputs.read_base64(file).reveal() == value


@pytest.mark.parametrize(
    "value", [b"secret\n", b"\0\xff\r\n", bytes(limits.VALUE_BYTES)], ids=["text", "any", "longest"]
)
def test_plain_is_every_byte(value: bytes, file: Path) -> None:
    file.write_bytes(value)

    assert inputs.read_plain(file).reveal() == value


@pytest.mark.parametrize("length", [0, limits.VALUE_BYTES + 1], ids=["empty", "a-byte-too-many"])
def test_plain_of_a_wrong_length_is_refused(length: int, file: Path) -> None:
    file.write_bytes(bytes(length))

    with pytest.raises(InvalidValueError):
        inputs.read_plain(file)


def test_of_an_endless_file_no_more_is_read_than_can_be_a_value() -> None:
    with pytest.raises(InvalidValueError):
        inputs.read_plain(Path("/dev/zero"))


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"secret\n")))

    assert inputs.read_plain(Path("-")).reveal() == b"secret\n"


@pytest.mark.parametrize(
    ("content", "password"),
    [
        pytest.param(b"correct horse ", b"correct horse ", id="no-line-end"),
        pytest.param(b"correct horse\n", b"correct horse", id="a-line"),
        pytest.param(b"correct horse\r\n", b"correct horse", id="a-line-of-another-system"),
        pytest.param(b"correct\nfor the archive\n", b"correct", id="what-follows-is-a-comment"),
    ],
)
def test_a_password_is_the_first_line(content: bytes, password: bytes, file: Path) -> None:
    file.write_bytes(content)

    assert inputs.read_password(file).reveal() == password


def test_a_password_may_come_by_a_descriptor_which_stays_open(file: Path) -> None:
    file.write_bytes(b"correct horse\n")
    with file.open("rb") as opened:
        assert inputs.read_password(opened.fileno()).reveal() == b"correct horse"
        assert os.fstat(opened.fileno())


def test_no_password_is_none(file: Path) -> None:
    file.write_bytes(b"\ncorrect horse\n")

    with pytest.raises(InvalidValueError, match="empty"):
        inputs.read_password(file)


def test_a_descriptor_that_is_not_open_is_named() -> None:
    with pytest.raises(click.BadParameter, match=f"cannot read descriptor {2**20}: Bad file descriptor"):
        inputs.read_password(2**20)


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    with pytest.raises(click.BadParameter, match=f"cannot read {file}: No such file"):
        inputs.read_plain(file)


def test_a_document_is_read(file: Path) -> None:
    file.write_text("<secret><volume>/disk</volume></secret>")

    assert inputs.read_document(file) == SecretDocument(Attributes(usage=Usage(UsageType.VOLUME, "/disk")))


def test_a_document_that_is_too_long_is_refused(file: Path) -> None:
    file.write_text(f"<secret>{' ' * limits.DOCUMENT_BYTES}</secret>")

    with pytest.raises(InvalidXmlError):
        inputs.read_document(file)


class Terminal:
    """A program at a terminal of its own, and the keyboard and screen before it."""

    def __init__(self, source: str) -> None:
        self.keyboard, inside = pty.openpty()
        # setsid --ctty makes its standard input the terminal that /dev/tty is.
        command = ["setsid", "--ctty", "--wait", sys.executable, "-P", "-c", source]
        self.program = subprocess.Popen(command, stdin=inside, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.close(inside)
        self.screen = b""

    def wait_for(self, text: bytes) -> None:
        while text not in self.screen:
            ready, _, _ = select.select([self.keyboard], [], [], DEADLINE_S)
            if not ready:
                raise AssertionError(f"not on the screen: {text!r}, but: {self.screen!r}")
            self.screen += os.read(self.keyboard, 4096)

    def finish(self) -> bytes:
        said, _ = self.program.communicate(timeout=DEADLINE_S)
        os.close(self.keyboard)
        return said


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        pytest.param(b"correct horse \n", b"b'correct horse '\n", id="text"),
        pytest.param(b"\xff\xfe\n", b"b'\\xff\\xfe'\n", id="bytes-of-no-encoding"),
        pytest.param(b"x" * 4_094 + b"\n", b"b'" + b"x" * 4_094 + b"'\n", id="longest"),
    ],
)
def test_what_is_typed_is_the_value_and_is_not_shown(typed: bytes, said: bytes) -> None:
    terminal = Terminal(ASK)
    terminal.wait_for(b"Say it: ")
    os.write(terminal.keyboard, typed)
    terminal.wait_for(b"\r\n")

    assert terminal.finish() == said
    assert terminal.screen == b"Say it: \r\n"


def test_without_a_terminal_nobody_is_asked() -> None:
    source = "from secretd.cli.inputs import *\ntry: read_typed('?')\nexcept NoTerminalError: exit(3)"
    done = subprocess.run([sys.executable, "-P", "-c", source], start_new_session=True, timeout=DEADLINE_S, check=False)

    assert done.returncode == 3


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        pytest.param(b"\n", b"a value may not be empty", id="nothing"),
        pytest.param(b"x" * 4_095 + b"\n", b"cannot be typed whole", id="more-than-a-terminal-keeps"),
        pytest.param(b"x" * 5_000 + b"\n", b"cannot be typed whole", id="far-more"),
    ],
)
def test_what_cannot_be_typed_is_refused(typed: bytes, message: bytes) -> None:
    terminal = Terminal(ASK)
    terminal.wait_for(b"Say it: ")
    os.write(terminal.keyboard, typed)

    assert message in terminal.finish()
