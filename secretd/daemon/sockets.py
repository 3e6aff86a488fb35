"""The listening sockets: made with their right modes from the first instant, and never taken from a living daemon.

The mode of a socket's file is what bind makes it, through the umask, so there is no moment at which a wider
one could be used.  A socket that nobody answers on was left by a daemon that died; it is replaced, under a lock
that two starting daemons cannot both hold.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from secretd import limits
from secretd.addresses import NATIVE_SOCKETS, SocketKind
from secretd.errors import ConfigError
from secretd.model import Mode
from secretd.store.directory import HeldDirectory

_DIRECTORY_MODES = {Mode.SYSTEM: 0o755, Mode.SESSION: 0o700}
_SOCKET_MODES = {Mode.SYSTEM: 0o666, Mode.SESSION: 0o600}


def check_socket_paths(directory: Path) -> None:
    """Refuse a directory whose sockets nobody could connect to.

    Raises:
        ConfigError: a socket's path would be too long.
    """
    for kind in NATIVE_SOCKETS:
        path = directory / kind.name
        if len(os.fsencode(path)) > limits.SOCKET_PATH_BYTES:
            raise ConfigError(f"the path of a socket has at most {limits.SOCKET_PATH_BYTES} bytes: {path} has more")


class RuntimeDirectory:
    """The directory of the sockets, held by one daemon at a time."""

    def __init__(self, path: Path, mode: Mode) -> None:
        """Make the directory if it is missing, and hold it.

        Raises:
            ConfigError: it is another user's, others may write it, or another daemon holds it.
        """
        self._path = path
        self._mode = mode
        self._made: list[Path] = []
        self._held = HeldDirectory.hold(path, lock="secretd.lock", mode=_DIRECTORY_MODES[mode])

    def listen(self, kind: SocketKind) -> socket.socket:
        """Make one listening socket, not blocking.

        Raises:
            ConfigError: something else lives at its path.
        """
        path = self._path / kind.name
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        old_umask = os.umask(0o777 & ~_SOCKET_MODES[self._mode])
        try:
            listener.bind(os.fspath(path))
        except OSError as error:
            listener.close()
            raise ConfigError(f"{path} cannot be made: {error.strerror}") from None
        finally:
            os.umask(old_umask)
        self._made.append(path)
        listener.listen(limits.LISTEN_BACKLOG)
        return listener

    def close(self) -> None:
        """Remove the sockets that were made, and let the directory go."""
        for path in self._made:
            path.unlink(missing_ok=True)
        self._made.clear()
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _remove_stale(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ConfigError(f"{path} is there and is no socket: remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
        except OSError as error:
            raise ConfigError(f"{path} is there and cannot be judged: {error.strerror}") from None
        else:
            raise ConfigError(f"another daemon answers on {path}")
