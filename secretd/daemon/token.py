"""libvirt's system token: by it libvirt's daemons on one host know each other, and by it a caller is elevated.

It stands in a file that whichever daemon comes first makes, and all others read.  The rules it keeps:

- The file is made as libvirt's daemons make it, under the lock that they take too: two that start at once have one
  token.
- A file that others may read, that is somebody else's or of another length is not used, and nobody is elevated: the
  log says why.
- A caller who cannot have read the file is not believed, whatever he shows.
- The token is a secret: it is compared in constant time, and is in no log and no repr.

Source: libvirt's daemons (9.0 and 12.8) as they run: the file, its directories, its lock.
"""

from __future__ import annotations

import fcntl
import hmac
import logging
import os
import stat
from pathlib import Path
from typing import NoReturn

from secretd.daemon.sockets import DIRECTORY_MODES
from secretd.errors import ConfigError
from secretd.model import Caller, Mode
from secretd.store.durable import make_directory

_RANDOM_BYTES = 16
_TOKEN_BYTES = 2 * _RANDOM_BYTES
"""Lower-case hex digits, and no newline."""

# O_NONBLOCK: the open of a FIFO would wait for its writer, for ever.
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_Look = tuple[int, int, int, int]

_log = logging.getLogger(__name__)


class SystemToken:
    """The token as its file has it; while that cannot be used, nobody is elevated."""

    __slots__ = ("_holders", "_path", "_seen", "_token")

    def __init__(self, directory: Path | None, mode: Mode) -> None:
        """Read the token, or make it if there is none yet; that it cannot be had is no reason not to start.

        Args:
            directory: libvirt's own, of its sockets; None where the session has none.
            mode: of the daemon.
        """
        # Root may read any file; in a session it is the user's who runs this.
        self._holders = frozenset((0, os.geteuid()))
        self._token = bytearray()
        self._seen: _Look | None = None
        self._path = None if directory is None else directory / "common" / "system.token"
        if self._path is None:
            self._warn("XDG_RUNTIME_DIR is not set to an absolute path")
            return
        try:
            if _is_missing(self._path):
                _make(self._path, mode)
        except OSError as error:
            self._warn(str(error.strerror))
        except ConfigError:
            # It is there and may not be used: that is said as soon as it is looked at.
            pass
        self._keep_up(self._path)

    def verify(self, offered: bytes, caller: Caller) -> bool:
        """Say whether a caller shows the token, and is one who may hold it: root, or the session's user.

        Args:
            offered: what he shows, of any length.
            caller: who he is, as the kernel has it.
        """
        if self._path is None or caller.uid not in self._holders:
            return False
        self._keep_up(self._path)
        return bool(self._token) and hmac.compare_digest(offered, self._token)

    def _keep_up(self, path: Path) -> None:
        """Read the file again if it is another than the one that was read."""
        try:
            look = _look_at(path)
        except OSError:
            # Gone, as when /run was emptied: the daemons that run keep the token that they have read, as this one does.
            return
        if look == self._seen:
            return
        self._token[:] = bytes(len(self._token))
        self._token, self._seen = bytearray(), look
        try:
            self._token = _read(path)
        except OSError as error:
            self._warn(str(error.strerror))
        except ConfigError as error:
            self._warn(error.message)

    def _warn(self, reason: str) -> None:
        path = None if self._path is None else str(self._path)
        _log.warning("the system token cannot be used: nobody is elevated", extra={"path": path, "reason": reason})

    def __repr__(self) -> str:
        return "SystemToken(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SystemToken is never pickled or copied")


def _is_missing(path: Path) -> bool:
    """Say whether there is no file, or one that a daemon was about to write."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return True
    return stat.S_ISREG(status.st_mode) and not status.st_size


def _look_at(path: Path) -> _Look:
    """Give what cannot stay the same when a file is written, replaced or given to others."""
    status = path.lstat()
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns


def _make(path: Path, mode: Mode) -> None:
    """Write a new token, unless another daemon has.

    Raises:
        OSError: it cannot be made.
        ConfigError: what is there may not be used.
    """
    make_directory(path.parent.parent, DIRECTORY_MODES[mode])
    make_directory(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
    try:
        # libvirt's daemons take the same lock, and only then look whether the file is empty.
        fcntl.lockf(descriptor, fcntl.LOCK_EX, 1)
        status = os.fstat(descriptor)
        _check(status)
        if not status.st_size:
            # Whatever the umask was.
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, os.urandom(_RANDOM_BYTES).hex().encode())
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytearray:
    """Read the token.

    Raises:
        OSError: it cannot be read.
        ConfigError: it may not be used.
    """
    descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        _check(os.fstat(descriptor))
        token = bytearray(_TOKEN_BYTES + 1)
        if os.readv(descriptor, [token]) != _TOKEN_BYTES:
            raise ConfigError(f"it does not have {_TOKEN_BYTES} bytes")
        token.pop()
        return token
    finally:
        os.close(descriptor)


def _check(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError("it is no regular file")
    if status.st_uid != os.geteuid():
        raise ConfigError("it belongs to another user")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError("others may read or write it")
