"""Reading what a command is given: a document or a blob, or a value from a file, standard input or the keyboard.

Neither a value nor a password is ever taken from the command line, where every user of the machine can read it.  No
more is read than can be a value or a document, and no error repeats what was read.
"""

from __future__ import annotations

import base64
import binascii
import os
import sys
import termios
from enum import Enum
from pathlib import Path

import click

from secretd import limits
from secretd.client import read_grant, read_key, read_secret
from secretd.errors import InvalidDocumentError, InvalidRequestError, InvalidValueError
from secretd.grants import Grant
from secretd.keys import Blob, KeyDocument
from secretd.model import SecretDocument, SecretValue

STDIN = Path("-")


def _base64_file_bytes(most_bytes: int) -> int:
    """Say how long a file may be: twice the base64 of the longest content, room for any way of breaking its lines."""
    return 2 * 4 * -(-most_bytes // 3)


_BASE64_FILE_BYTES = _base64_file_bytes(limits.VALUE_BYTES)
_BLOB_FILE_BYTES = _base64_file_bytes(limits.BLOB_BYTES)

# Source: docs/storage-format.md, "Blobs".
_BLOB_BEGINS = b"sdb"

# The kernel keeps a typed line to 4,095 bytes, and drops without a word what is beyond. Source: n_tty.c.
_TYPED_BYTES = 4_094


def read_document(file: Path) -> SecretDocument:
    """Read a secret's document.

    Args:
        file: where it stands; ``-`` is standard input.

    Raises:
        InvalidXmlError, InvalidDocumentError: it is not a secret's document, or longer than DOCUMENT_BYTES.
        click.BadParameter: the file cannot be read.
    """
    return read_secret(_read_document(file))


def read_grant_document(file: Path) -> Grant:
    """Read a grant.

    Args:
        file: where it stands; ``-`` is standard input.

    Raises:
        InvalidXmlError, InvalidDocumentError: it is not a grant, or longer than DOCUMENT_BYTES.
        click.BadParameter: the file cannot be read.
    """
    return read_grant(_read_document(file))


def read_key_document(file: Path) -> KeyDocument:
    """Read a key's document.

    Args:
        file: where it stands; ``-`` is standard input.

    Raises:
        InvalidXmlError, InvalidDocumentError: it is not a key's document, or longer than KEY_DOCUMENT_BYTES.
        click.BadParameter: the file cannot be read.
    """
    return read_key(_read_document(file, limits.KEY_DOCUMENT_BYTES))


def read_plain(file: Path) -> SecretValue:
    """Read a value that is exactly the bytes of the file; ``-`` is standard input.

    Raises:
        InvalidValueError: the file is empty, or longer than a value.
        click.BadParameter: the file cannot be read.
    """
    return SecretValue(_read(file, limits.VALUE_BYTES))


def read_base64(file: Path) -> SecretValue:
    """Read a value in base64, its lines broken and indented anyhow; ``-`` is standard input.

    A blank inside a line is refused: a passphrase of several words could else pass for base64.

    Raises:
        InvalidValueError: it is not base64, or what it stands for is empty or longer than a value.
        click.BadParameter: the file cannot be read.
    """
    text = _read(file, _BASE64_FILE_BYTES)
    if len(text) > _BASE64_FILE_BYTES:
        raise InvalidValueError("the file is longer than any value in base64")
    value = _decoded(text)
    if value is None:
        raise InvalidValueError("the file is not base64; if its bytes are the value itself, say --plain")
    return SecretValue(value)


class Spelling(Enum):
    """How a blob stands in a file."""

    BYTES = "bytes"
    BASE64 = "base64"


def read_blob(file: Path) -> tuple[Blob, Spelling]:
    """Read a blob that stands in a file as its bytes or in base64; ``-`` is standard input.

    Raises:
        InvalidRequestError: there is no blob in the file, or one that is longer than any.
        click.BadParameter: the file cannot be read.
    """
    content = _read(file, _BLOB_FILE_BYTES)
    if content.startswith(_BLOB_BEGINS):
        return Blob(content), Spelling.BYTES
    decoded = _decoded(content) or b""
    if not decoded.startswith(_BLOB_BEGINS):
        raise InvalidRequestError("there is no blob in the file, neither its bytes nor base64 of them")
    return Blob(decoded), Spelling.BASE64


def spell_blob(blob: Blob, spelling: Spelling) -> bytes:
    """Spell a blob as it stands in a file; base64 is a line of text."""
    return blob.data if spelling is Spelling.BYTES else base64.b64encode(blob.data) + b"\n"


def read_password(source: Path | int) -> SecretValue:
    """Read a password: the first line of a file, without its end, as Proxmox Backup Server's tools do.

    Args:
        source: the file, ``-`` for standard input; or a descriptor, which is left open.

    Raises:
        InvalidValueError: the line is empty, or longer than a value.
        click.BadParameter: the file or the descriptor cannot be read.
    """
    content = _read(source, limits.VALUE_BYTES)
    return SecretValue(content.split(b"\n", maxsplit=1)[0].removesuffix(b"\r"))


def _decoded(text: bytes) -> bytes | None:
    """Decode base64 whose lines are broken and indented anyhow; None if it is none."""
    compact = b"".join(line.strip(b" \t") for line in text.splitlines())
    try:
        decoded = base64.b64decode(compact, validate=True)
    except binascii.Error:
        return None
    # Encoding again refuses what two spellings would mean the same by.
    return decoded if base64.b64encode(decoded) == compact else None


class NoTerminalError(Exception):
    """There is no terminal to ask at."""


def read_typed(prompt: str) -> SecretValue:
    """Ask at the terminal, and take the bytes of the line typed, which is not shown.

    Raises:
        InvalidValueError: nothing was typed, or more than a terminal gives whole.
        NoTerminalError: there is no terminal.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        raise NoTerminalError from None
    try:
        line = _read_unseen(terminal, prompt.encode())
    finally:
        os.close(terminal)
    if len(line) > _TYPED_BYTES:
        raise InvalidValueError(f"a line of more than {_TYPED_BYTES} bytes cannot be typed whole; use --file")
    return SecretValue(line)


def _read_unseen(terminal: int, prompt: bytes) -> bytes:
    """Read a line without its end, with the terminal's echo off meanwhile."""
    before = termios.tcgetattr(terminal)
    unseen = termios.tcgetattr(terminal)
    unseen[3] &= ~termios.ECHO
    # TCSAFLUSH drops what was typed before it could be hidden.
    termios.tcsetattr(terminal, termios.TCSAFLUSH, unseen)
    try:
        os.write(terminal, prompt)
        line = os.read(terminal, _TYPED_BYTES + 2)
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        os.write(terminal, b"\n")
    return line.removesuffix(b"\n")


def _read_document(file: Path, most_bytes: int = limits.DOCUMENT_BYTES) -> bytes:
    """Read a document, of which a parser would say that it ends too early if there is none."""
    document = _read(file, most_bytes)
    if len(document) <= most_bytes and not document.strip():
        raise InvalidDocumentError("there is no document: the file is empty")
    return document


def _read(source: Path | int, most_bytes: int) -> bytes:
    """Read at most one byte more than ``most_bytes``, for the judge of the content to see that it is too long."""
    try:
        if source == STDIN:
            return sys.stdin.buffer.read(most_bytes + 1)
        # A descriptor is whoever's who gave it.
        with open(source, "rb", closefd=not isinstance(source, int)) as opened:
            return opened.read(most_bytes + 1)
    except OSError as error:
        what = f"descriptor {source}" if isinstance(source, int) else source
        raise click.BadParameter(f"cannot read {what}: {error.strerror}.") from None
