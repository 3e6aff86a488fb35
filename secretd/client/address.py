"""Where the client looks for the daemon."""

from __future__ import annotations

from pathlib import Path

from secretd.addresses import NATIVE, NATIVE_READ_ONLY, runtime_directory
from secretd.errors import ConfigError
from secretd.model import Mode


def socket_path(mode: Mode, *, read_only: bool = False) -> Path:
    """Say where a daemon of this mode listens, by the environment as it is now.

    Args:
        mode: whom the daemon serves.
        read_only: whether the socket that neither writes nor reveals is meant.

    Raises:
        ConfigError: the session has no runtime directory.
    """
    directory = runtime_directory(mode)
    if directory is None:
        raise ConfigError("XDG_RUNTIME_DIR is not set to an absolute path, so there is no place for a session's socket")
    return directory / (NATIVE_READ_ONLY if read_only else NATIVE).name
