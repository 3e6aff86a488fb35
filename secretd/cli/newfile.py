"""A file that has its name only once it is whole: written beside it, brought to disk, read again and compared."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import signal
import stat
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import BinaryIO

import click

_READ_BYTES = 1 << 20


class NewFile:
    """What was written to a file that has no name yet."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Write on."""
        self._file.write(data)
        self._sha256.update(data)
        self.size += len(data)

    def finish(self) -> None:
        """Bring the file to disk, and read it back from there.

        Raises:
            click.ClickException: what was read is not what was written.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        # Else the kernel would give back what it was given, whatever the disk has.
        os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self._file.seek(0)
        found = hashlib.sha256()
        while piece := self._file.read(_READ_BYTES):
            found.update(piece)
        if found.digest() != self._sha256.digest():
            raise click.ClickException("the file cannot be read back as it was written; nothing was kept of it")


class WhatIsThere(Enum):
    """What becomes of a file that has the new one's name already."""

    REPLACED = "replaced"
    REPLACED_ALIKE = "replaced-alike"
    """Replaced by one of its owner, group and mode; it has to be there."""
    KEPT = "kept"
    """It stays, and no new one is written."""


@contextlib.contextmanager
def new_file(path: Path, there: WhatIsThere = WhatIsThere.REPLACED) -> Iterator[NewFile]:
    """Give a file to be written, mode 0600, which has its name once the block has ended well.

    Args:
        path: its name.
        there: what becomes of what has that name already.

    Raises:
        click.BadParameter: it cannot be made there.
        click.ClickException: it cannot be written or read back. Nothing is left of it then.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        with _ended_in_order(), os.fdopen(_made(path, beside, there), "w+b") as file:
            try:
                if there is WhatIsThere.REPLACED_ALIKE:
                    _make_alike(path, file.fileno())
                written = NewFile(file)
                yield written
                written.finish()
                _name(path, beside, there)
            finally:
                beside.unlink(missing_ok=True)
        _sync(path.parent)
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from None


def _made(path: Path, beside: Path, there: WhatIsThere) -> int:
    """Open a new file beside one that may be there already."""
    if there is WhatIsThere.KEPT and os.path.lexists(path):
        raise click.BadParameter(f"cannot write {path}: it is there already.")
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        raise click.BadParameter(f"cannot write {path}: it is no plain file, which alone would be replaced.")
    try:
        return os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise click.BadParameter(f"cannot write {path}: {error.strerror}.") from None


def _make_alike(path: Path, descriptor: int) -> None:
    """Give a new file the owner, the group and the mode of one that is there."""
    before, now = path.lstat(), os.fstat(descriptor)
    if (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _name(path: Path, beside: Path, there: WhatIsThere) -> None:
    """Give a whole file its name."""
    if there is WhatIsThere.KEPT:
        # Unlike a rename, this fails if the name was taken meanwhile; and unlike a link, a memory stick can do it too.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    beside.replace(path)


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let the signals that end a program run what cleans up after it, as Ctrl-C does."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
