"""Where the daemon's sockets are.

Source: docs/protocol.md, "Where the daemon listens"; the XDG Base Directory Specification for sessions.
"""

from __future__ import annotations

import os
from pathlib import Path

from xdg import BaseDirectory

from secretd.errors import ConfigError
from secretd.model import Mode

_SYSTEM_DIRECTORY = Path("/run/secretd")
_SOCKET = "secretd-sock"
_READ_ONLY_SOCKET = "secretd-sock-ro"


def default_mode() -> Mode:
    """Say which daemon is meant when nobody says: root's is the system's, anyone else's the session's."""
    return Mode.SYSTEM if os.geteuid() == 0 else Mode.SESSION


def socket_path(mode: Mode, *, read_only: bool = False) -> Path:
    """Say where a daemon of this mode listens, by the environment as it is now.

    Args:
        mode: whom the daemon serves.
        read_only: whether the socket that neither writes nor reveals is meant.

    Raises:
        ConfigError: the session has no runtime directory.
    """
    directory = _SYSTEM_DIRECTORY if mode is Mode.SYSTEM else _session_directory()
    return directory / (_READ_ONLY_SOCKET if read_only else _SOCKET)


def _session_directory() -> Path:
    try:
        runtime = Path(BaseDirectory.get_runtime_dir(strict=True))
    except KeyError:
        raise ConfigError("XDG_RUNTIME_DIR is not set, so there is no place for a session's socket") from None
    # The specification: a relative path (and so an empty one) is invalid.
    if not runtime.is_absolute():
        raise ConfigError("XDG_RUNTIME_DIR is not an absolute path, so there is no place for a session's socket")
    return runtime / "secretd"
