"""Where a daemon and its clients meet: the sockets' names, and the directories they are in by default.

Both sides read the same lines here, so neither can look where the other is not.  Nothing is opened or made.

Source: docs/protocol.md, "Where the daemon listens"; the XDG Base Directory Specification for sessions; libvirt's
own daemons (9.0 and 12.8) as they run, for their sockets and directories.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from xdg import BaseDirectory

from secretd.model import Mode


@dataclass(frozen=True, slots=True)
class SocketKind:
    """One of the daemon's sockets.

    Attributes:
        name: of its file, and by which systemd hands it over.
        read_only: whether its connections may neither write nor reveal.
    """

    name: str
    read_only: bool


NATIVE = SocketKind("secretd-sock", read_only=False)
NATIVE_READ_ONLY = SocketKind("secretd-sock-ro", read_only=True)
NATIVE_SOCKETS = (NATIVE, NATIVE_READ_ONLY)

LIBVIRT = SocketKind("virtsecretd-sock", read_only=False)
LIBVIRT_READ_ONLY = SocketKind("virtsecretd-sock-ro", read_only=True)
LIBVIRT_SOCKETS = (LIBVIRT, LIBVIRT_READ_ONLY)

_SYSTEM_RUNTIME = Path("/run")


class LibvirtPlace(Enum):
    """Where the libvirt sockets are: beside the native ones, where libvirt's clients look, or nowhere."""

    OWN = "own"
    LIBVIRT = "libvirt"
    OFF = "off"


def default_mode() -> Mode:
    """Say which daemon is meant when nobody says: root's is the system's, anyone else's the session's."""
    return Mode.SYSTEM if os.geteuid() == 0 else Mode.SESSION


def runtime_directory(mode: Mode) -> Path | None:
    """Say where the sockets of a daemon of this mode are, by the environment as it is now.

    Returns:
        The directory; None for a session where XDG_RUNTIME_DIR is not set to an absolute path.
    """
    return _below_runtime(mode, "secretd")


def libvirt_directory(mode: Mode) -> Path | None:
    """Say where libvirt's own daemons of this mode have their sockets and their token, in the same way."""
    return _below_runtime(mode, "libvirt")


def _below_runtime(mode: Mode, name: str) -> Path | None:
    runtime = _SYSTEM_RUNTIME if mode is Mode.SYSTEM else _session_runtime()
    return None if runtime is None else runtime / name


def _session_runtime() -> Path | None:
    try:
        runtime = Path(BaseDirectory.get_runtime_dir(strict=True))
    except KeyError:
        return None
    # The specification: what is not absolute (and so an empty one) is as good as unset.
    return runtime if runtime.is_absolute() else None
