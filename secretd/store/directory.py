"""A directory that is ours alone, and held by one process at a time: a local store's, or that of the sockets.

It is made if it is missing.  One that others may write to is refused, as whoever can put a file there can put
another store, or another socket, there.  The lock is the kernel's (flock): it ends with the process however that
ends, so a lock file that is left behind locks nobody out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path
from typing import Self

from secretd.errors import ConfigError
from secretd.store.durable import make_directory


class HeldDirectory:
    """A directory that this process holds until close."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def hold(cls, path: Path, *, lock: str = "lock", mode: int = 0o700) -> Self:
        """Take the directory, and make it if it is missing.

        Args:
            path: the directory.
            lock: the name of the file in it that says who holds it.
            mode: what it is made with; its missing parents are made with 0700.

        Raises:
            ConfigError: another process holds it, others may write it, or it cannot be made or locked.
        """
        try:
            make_directory(path, mode)
            _check(path)
            return cls(path, _locked(path / lock))
        except OSError as error:
            raise ConfigError(f"{path} cannot be made or used: {error.strerror}") from None

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._lock)


def _check(path: Path) -> None:
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"{path} is not a directory")
    if status.st_uid != os.geteuid():
        raise ConfigError(f"{path} belongs to another user")
    if not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return
    if status.st_mode & stat.S_ISVTX:
        # As /tmp is: whoever took the others' right away would break the machine.
        raise ConfigError(f"{path} is for everybody to write to; name a directory of secretd's own, which may be in it")
    raise ConfigError(
        f"{path} can be written by others; name another, or if it is secretd's alone, run: chmod go-w {path}"
    )


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"another secretd is running in {path.parent}") from None
        undo.pop_all()
        return descriptor
