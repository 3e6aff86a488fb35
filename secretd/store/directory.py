"""The directory that a local store lives in: ours alone, and held by one process at a time.

It is made with mode 0700 if it is missing.  One that others may write to is refused, as whoever can put a file
there can put another store there.  The lock is the kernel's (flock): it ends with the process however that ends,
so a lock file that is left behind locks nobody out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path
from typing import Self

from secretd.errors import ConfigError, StoreUnavailableError
from secretd.store.durable import sync_directory

_LOCK = "lock"


class HeldDirectory:
    """A directory that this process holds until close."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def hold(cls, path: Path) -> Self:
        """Take the directory, and make it if it is missing.

        Raises:
            ConfigError: another process holds it, or it is no place for a store.
            StoreUnavailableError: it cannot be made or locked.
        """
        try:
            _make(path)
            _check(path)
            return cls(path, _locked(path / _LOCK))
        except OSError:
            raise StoreUnavailableError("the store's directory cannot be made or opened") from None

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._lock)


def _make(path: Path) -> None:
    missing = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700)
        sync_directory(folder.parent)


def _check(path: Path) -> None:
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"the store's place is not a directory: {path}")
    if status.st_uid != os.geteuid():
        raise ConfigError(f"the store's directory belongs to another user: {path}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(f"others may write to the store's directory; run: chmod go-w {path}")


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"another daemon uses this store: {path.parent}") from None
        undo.pop_all()
        return descriptor
