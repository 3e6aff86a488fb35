"""Room on the disk, taken before it is needed: a full disk stops what makes the database larger, and nothing else.

    growth     a commit that makes the database larger takes the room in its file before it ends. So a checkpoint
               writes in place and needs none, and the log can always be emptied
    reserve    a file that holds room and nothing else. On a full disk the log gets it, for a commit that does not
               make the database larger. Then the log is emptied, and the reserve made again

A file system that writes every block anew (btrfs, ZFS) may want room even in place: there this is a help, no promise.

Source: SQLite, SQLITE_FCNTL_CHUNK_SIZE: a database may be shorter than its file.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from pathlib import Path

from secretd import limits
from secretd.errors import StoreFullError
from secretd.store.durable import sync_directory

_log = logging.getLogger(__name__)

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Reserve:
    """A file that holds limits.STORE_RESERVE_BYTES for bad times, or as many quarters of that as can be had."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = min(_room_of(path), limits.STORE_RESERVE_BYTES)

    @property
    def held(self) -> bool:
        """Whether there is something to give up."""
        return self._bytes > 0

    def give_up(self) -> None:
        """Let others have the room, if it is held."""
        if self.held:
            _log.info("the disk is full: the store's reserve of room is given up")
            self._remove()

    def give_up_if_short(self) -> None:
        """Give it up before a store is opened on a disk that is nearly full: to look into a log takes an index."""
        room = os.statvfs(self._path.parent)
        if room.f_bavail * room.f_frsize < limits.STORE_GROWTH_BYTES:
            self.give_up()

    def keep(self) -> None:
        """Hold the room, as far as it can be had; nothing is said if it cannot."""
        # Less than before, as the room may be in more pieces now, and their list takes some of it.
        for quarters in (4, 3, 2, 1):
            size_bytes = limits.STORE_RESERVE_BYTES * quarters // 4
            if self._bytes >= size_bytes or self._took(size_bytes):
                return
        self._remove()

    def _took(self, size_bytes: int) -> bool:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return False
        try:
            return self._extended(descriptor, size_bytes)
        finally:
            os.close(descriptor)

    def _extended(self, descriptor: int, size_bytes: int) -> bool:
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, self._bytes)
                # Journalling file systems give out what was freed, here and elsewhere, once that is on disk.
                os.fsync(descriptor)
            return False
        self._bytes = size_bytes
        return True

    def _remove(self) -> None:
        self._bytes = 0
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
            sync_directory(self._path.parent)  # for the reason above


class Growth:
    """The room that a database takes in its file beforehand."""

    def __init__(self, database: Path) -> None:
        """Open the file once more; close only after SQLite's connections are closed.

        POSIX locks end when any descriptor of a file is closed, and SQLite's are such locks.
        """
        self._descriptor = os.open(database, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def take(self, size_bytes: int) -> None:
        """Make sure that the file has room for ``size_bytes``; some more is taken if there is plenty.

        Raises:
            StoreFullError: there is no room.
        """
        have = self._size()
        if size_bytes <= have:
            return
        ahead = -(-size_bytes // limits.STORE_GROWTH_BYTES) * limits.STORE_GROWTH_BYTES
        if not _allocated(self._descriptor, have, ahead) and not _allocated(self._descriptor, have, size_bytes):
            raise _full()

    def require(self, size_bytes: int) -> None:
        """Insist that the file has room for ``size_bytes``.

        Raises:
            StoreFullError: it has not.
        """
        if size_bytes > self._size():
            raise _full()

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)

    def _size(self) -> int:
        return os.fstat(self._descriptor).st_size


def _allocated(descriptor: int, have: int, size_bytes: int) -> bool:
    """Take the room between two places of a file; False if there is none."""
    try:
        os.posix_fallocate(descriptor, have, size_bytes - have)
    except OSError as error:
        # Any other failure SQLite will meet itself, if it is one that lasts.
        return error.errno not in _NO_ROOM
    return True


def _room_of(path: Path) -> int:
    """Give the bytes that a file has on disk: one that was cut short or copied may have fewer than its size says."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _full() -> StoreFullError:
    return StoreFullError("the store has no room left; nothing was changed")
