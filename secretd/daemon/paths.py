"""Where a daemon keeps its things: FHS directories in system mode, the XDG ones in session mode.

Session mode follows $XDG_CONFIG_HOME, $XDG_DATA_HOME and $XDG_RUNTIME_DIR, so a throw-away daemon is a few
environment variables away.  Where its sockets are its clients know too: addresses.py says it for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xdg import BaseDirectory

from secretd.addresses import runtime_directory
from secretd.model import Mode


@dataclass(frozen=True, slots=True)
class Directories:
    """The three directories of one daemon; ``runtime`` is None where none is set."""

    config: Path
    data: Path
    runtime: Path | None


def directories(mode: Mode) -> Directories:
    """Say where a daemon of this mode keeps its things."""
    config, data = _SYSTEM if mode is Mode.SYSTEM else _session()
    return Directories(config, data, runtime_directory(mode))


_SYSTEM = (Path("/etc/secretd"), Path("/var/lib/secretd"))


def _session() -> tuple[Path, Path]:
    return Path(BaseDirectory.xdg_config_home) / "secretd", Path(BaseDirectory.xdg_data_home) / "secretd"
