"""Starts the daemon: ``python -m secretd``, and the installed command ``secretd``."""

import sys

from secretd.daemon import reexec


def start() -> int:
    """Run secretd with the command line's arguments, in a process that overwrites what it frees."""
    reexec.ensure_settings()
    # Only now: what was imported before a new start would be imported twice.
    from secretd.daemon.main import main  # noqa: PLC0415

    return main()


if __name__ == "__main__":
    sys.exit(start())
