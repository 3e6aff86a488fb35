"""The history of the shell: which part of a line is kept, and the file it is kept in.

Neither a value nor what a secret is for is readable on disk, so neither may be in a file of what was typed.  Of a
line is kept what is known to be harmless by the table of commands, up to the first word that is not: the names of
commands and options, ids, numbers, digests, words to choose from, and files that exist.  A usage, a description, or
a value where none belongs ends what is kept, and a line that begins with no command leaves nothing.

The file is $XDG_STATE_HOME/secretd/secretctl-history, a line each, mode 0600.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from xdg import BaseDirectory

from secretd.cli.parameters import DigestType, KeyIdType, SocketType, UuidType

_MOST_LINES = 1_000

# A key of 128 bits in hex can pass for a UUID without its dashes.
_DASHED = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_DIGEST = re.compile("[0-9a-f]{32}")


def harmless_part(group: click.Group, words: Sequence[str]) -> str:
    """Give as much of a command, from its beginning, as may be kept."""
    command = group.commands.get(words[0]) if words else None
    if command is None:
        return ""
    return shlex.join([words[0], *_harmless_words(command, words[1:])])


def _harmless_words(command: click.Command, words: Sequence[str]) -> Iterator[str]:
    options = {name: param for param in command.params if isinstance(param, click.Option) for name in param.opts}
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    expected: click.Parameter | None = None
    for word in words:
        if expected is None and word in options:
            yield word
            expected = None if options[word].is_flag else options[word]
            continue
        if expected is None and arguments:
            expected = arguments.pop(0)
        if expected is None or not _is_harmless(expected.type, word):
            return
        yield word
        expected = None


def _is_harmless(kind: click.ParamType[Any], word: str) -> bool:
    return any(isinstance(kind, cls) and judge(kind, word) for cls, judge in _JUDGES.items())


_JUDGES: dict[type, Callable[[Any, str], object]] = {
    UuidType: lambda _, word: _DASHED.fullmatch(word),
    # The name of a key could be a password in the wrong place.
    KeyIdType: lambda _, word: _DASHED.fullmatch(word),
    DigestType: lambda _, word: _DIGEST.fullmatch(word),
    click.IntRange: lambda _, word: word.isdecimal(),
    click.Choice: lambda kind, word: word in kind.choices,
    # What is no file was perhaps meant as a value.
    click.Path: lambda _, word: word == "-" or os.path.lexists(word),
    SocketType: lambda _, word: os.path.lexists(word),
}
"""What a word must be, where something of this kind is expected, to be kept; of other kinds nothing is."""


class History:
    """The file.

    Raises:
        OSError: it cannot be had.
    """

    def __init__(self) -> None:
        directory = Path(BaseDirectory.xdg_state_home) / "secretd"
        # The specification: a relative path is invalid.
        if not directory.is_absolute():
            raise FileNotFoundError(errno.ENOENT, "XDG_STATE_HOME is not absolute")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = directory / "secretctl-history"
        self._forget_the_oldest()

    def lines(self) -> list[str]:
        """Give the lines, the oldest first."""
        with os.fdopen(self._open(os.O_RDONLY), encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()

    def add(self, line: str) -> None:
        """Add a line at the end; other shells may do so at the same time."""
        with os.fdopen(self._open(os.O_WRONLY | os.O_APPEND), "w", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def _forget_the_oldest(self) -> None:
        lines = self.lines()
        if len(lines) > 2 * _MOST_LINES:
            with os.fdopen(self._open(os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines[-_MOST_LINES:])

    def _open(self, flags: int) -> int:
        descriptor = os.open(self._path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)
        return descriptor
