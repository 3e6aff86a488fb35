"""Reading what a command is given: a document, or a value from a file, standard input or the keyboard.

A value is never taken from the command line, where every user of the machine can read it.  No more is read
than can be a value or a document, and no error repeats what was read.
"""

from __future__ import annotations

import base64
import binascii
import os
import sys
import termios
from pathlib import Path

import click

from secretd import limits
from secretd.client import read_grant, read_secret
from secretd.errors import InvalidDocumentError, InvalidValueError
from secretd.grants import Grant
from secretd.model import SecretDocument, SecretValue

STDIN = Path("-")

# Twice the base64 of the longest value: room for any way of breaking its lines.
_BASE64_FILE_BYTES = 2 * 4 * -(-limits.VALUE_BYTES // 3)

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
    compact = b"".join(line.strip(b" \t") for line in text.splitlines())
    try:
        value = base64.b64decode(compact, validate=True)
    except binascii.Error:
        value = b""
    # Encoding again refuses what two spellings would mean the same by.
    if base64.b64encode(value) != compact:
        raise InvalidValueError("the file is not base64; if its bytes are the value itself, say --plain")
    return SecretValue(value)


def read_typed(prompt: str) -> SecretValue:
    """Ask at the terminal, and take the bytes of the line typed, which is not shown.

    Raises:
        InvalidValueError: nothing was typed, or more than a terminal gives whole.
        click.UsageError: there is no terminal.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        raise click.UsageError("--interactive needs a terminal; use --file - to give the value by a pipe.") from None
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


def _read_document(file: Path) -> bytes:
    """Read a document, of which a parser would say that it ends too early if there is none."""
    document = _read(file, limits.DOCUMENT_BYTES)
    if len(document) <= limits.DOCUMENT_BYTES and not document.strip():
        raise InvalidDocumentError("there is no document: the file is empty")
    return document


def _read(file: Path, most_bytes: int) -> bytes:
    """Read at most one byte more than ``most_bytes``, for the judge of the content to see that it is too long."""
    try:
        if file == STDIN:
            return sys.stdin.buffer.read(most_bytes + 1)
        with file.open("rb") as opened:
            return opened.read(most_bytes + 1)
    except OSError as error:
        raise click.BadParameter(f"cannot read {file}: {error.strerror}.") from None
