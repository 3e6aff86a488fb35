"""The listening sockets: made with their right modes from the first instant, and never taken from a living daemon.

The mode of a socket's file is what bind makes it, through the umask, so there is no moment at which a wider
one could be used.  A socket that nobody answers on was left by a daemon that died; it is replaced, under a lock
that two starting daemons cannot both hold.  Not every program takes that lock: in libvirt's directory its own daemons
make sockets of the same names.  So what is in the way is moved aside before it is removed, and is put back if somebody
answers on it after all; and at the end only that is removed which was made here.
"""

from __future__ import annotations

import os
import secrets
import socket
import stat
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from secretd import limits
from secretd.addresses import LIBVIRT_SOCKETS, NATIVE_SOCKETS, LibvirtPlace, SocketKind, libvirt_directory
from secretd.daemon.config import Config
from secretd.errors import ConfigError
from secretd.model import Mode
from secretd.store.directory import HeldDirectory

DIRECTORY_MODES = {Mode.SYSTEM: 0o755, Mode.SESSION: 0o700}
_SOCKET_MODES = {Mode.SYSTEM: 0o666, Mode.SESSION: 0o600}


def places(settings: Config) -> dict[SocketKind, Path | None]:
    """Say which sockets a daemon has, and in which directory each is made; None where none is set."""
    native: dict[SocketKind, Path | None] = dict.fromkeys(NATIVE_SOCKETS, settings.runtime)
    match settings.libvirt_sockets:
        case LibvirtPlace.OWN:
            return native | dict.fromkeys(LIBVIRT_SOCKETS, settings.runtime)
        case LibvirtPlace.LIBVIRT:
            return native | dict.fromkeys(LIBVIRT_SOCKETS, libvirt_directory(settings.mode))
        case LibvirtPlace.OFF:
            return native


def check_places(directories: Mapping[SocketKind, Path | None]) -> None:
    """Refuse a directory whose sockets nobody could connect to.

    Raises:
        ConfigError: a socket's path would be too long.
    """
    for kind, directory in directories.items():
        if directory is not None and len(os.fsencode(directory / kind.name)) > limits.SOCKET_PATH_BYTES:
            path = directory / kind.name
            raise ConfigError(f"the path of a socket has at most {limits.SOCKET_PATH_BYTES} bytes: {path} has more")


class OwnSockets:
    """The sockets that the daemon makes itself, and their directories; a context manager that removes them."""

    def __init__(self, directories: Mapping[SocketKind, Path | None], mode: Mode) -> None:
        """Hold every directory, and make it if it is missing.

        Raises:
            ConfigError: one is not set, is another user's, may be written by others, or is held by another daemon.
        """
        wanted = {kind: _required(kind, directory) for kind, directory in directories.items()}
        with ExitStack() as stack:
            held = {path: stack.enter_context(RuntimeDirectory(path, mode)) for path in dict.fromkeys(wanted.values())}
            self._held = stack.pop_all()
        self._directories = {kind: held[path] for kind, path in wanted.items()}

    def listen(self, kind: SocketKind) -> socket.socket | None:
        """Make a listening socket, not blocking; None if it is not wanted.

        Raises:
            ConfigError: something else lives at its path.
        """
        directory = self._directories.get(kind)
        return None if directory is None else directory.listen(kind)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()


class RuntimeDirectory:
    """The directory of the sockets, held by one daemon at a time."""

    def __init__(self, path: Path, mode: Mode) -> None:
        """Make the directory if it is missing, and hold it.

        Raises:
            ConfigError: it is another user's, others may write it, or another daemon holds it.
        """
        self._path = path
        self._mode = mode
        self._made: dict[Path, int] = {}
        self._held = HeldDirectory.hold(path, lock="secretd.lock", mode=DIRECTORY_MODES[mode])

    def listen(self, kind: SocketKind) -> socket.socket:
        """Make one listening socket, not blocking.

        Raises:
            ConfigError: something else lives at its path.
        """
        path = self._path / kind.name
        _clear(path, kind)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        old_umask = os.umask(0o777 & ~_SOCKET_MODES[self._mode])
        try:
            listener.bind(os.fspath(path))
            self._made[path] = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            listener.close()
            raise ConfigError(f"{path} cannot be made: {error.strerror}") from None
        finally:
            os.umask(old_umask)
        listener.listen(limits.LISTEN_BACKLOG)
        return listener

    def close(self) -> None:
        """Remove the sockets that were made and are still there, and let the directory go."""
        for path, made in self._made.items():
            # As it was open all the time, no other file can have been given its number.
            if _is_at(path, made):
                path.unlink(missing_ok=True)
            os.close(made)
        self._made.clear()
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _required(kind: SocketKind, directory: Path | None) -> Path:
    if directory is not None:
        return directory
    unset = "XDG_RUNTIME_DIR is not set to an absolute path: set it, or"
    if kind in NATIVE_SOCKETS:
        raise ConfigError(f"{unset} name a directory with --runtime-dir")
    raise ConfigError(f"{unset} libvirt.sockets to 'own' or 'off'")


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _clear(path: Path, kind: SocketKind) -> None:
    """Remove a socket that nobody answers on.

    Raises:
        ConfigError: somebody does, or it is something else.
    """
    # No longer than any socket's own name, so that it has room in an address too.
    aside = path.with_name(f".{secrets.token_hex(5)}")
    try:
        _require_stale(path, path, kind)
        path.rename(aside)
    except FileNotFoundError:
        return
    try:
        # Looked at again, now that nobody can put another there: a daemon that starts may have done so since.
        _require_stale(aside, path, kind)
    except ConfigError:
        with suppress(FileExistsError):
            path.hardlink_to(aside)
        raise
    finally:
        aside.unlink()


def _require_stale(at: Path, path: Path, kind: SocketKind) -> None:
    """Insist on a socket that nobody answers on.

    Args:
        at: where it is now.
        path: where it belongs.
        kind: which it is.

    Raises:
        ConfigError: somebody does, or it is something else.
        FileNotFoundError: nothing is there.
    """
    if not stat.S_ISSOCK(at.lstat().st_mode):
        raise ConfigError(f"{path} is there and is no socket: remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(os.fspath(at))
        except ConnectionRefusedError:
            return
        except FileNotFoundError:
            raise
        except BlockingIOError:
            # So many wait to be accepted that there is no room for another: somebody listens, who may be stuck.
            pass
        except OSError as error:
            raise ConfigError(f"{path} is there and cannot be judged: {error.strerror}") from None
    setting = "daemon.runtime-directory" if kind in NATIVE_SOCKETS else "libvirt.sockets"
    raise ConfigError(f"another daemon answers on {path}: end it, or put the socket elsewhere with {setting}")
