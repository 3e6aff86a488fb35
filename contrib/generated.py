"""Files that follow from others: written, or checked to be as they would be written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_or_check(program: str, files: Mapping[str, Callable[[], str]], arguments: list[str]) -> int:
    """Write the files that are not as they should be, or with ``--check`` name them and fail.

    Args:
        program: what is called, below the root.
        files: what makes each, by its name below the root.
        arguments: of the program.

    Returns:
        The exit status.
    """
    if arguments not in ([], ["--check"]):
        print(f"usage: {program} [--check]", file=sys.stderr)
        return 2
    stale = {name: made for name, make in files.items() if _current(ROOT / name) != (made := make())}
    if arguments:
        for name in stale:
            print(f"{name} is not as {program} writes it", file=sys.stderr)
        return 1 if stale else 0
    for name, made in stale.items():
        (ROOT / name).parent.mkdir(exist_ok=True)
        (ROOT / name).write_text(made, encoding="utf-8")
        print(f"wrote {name}")
    return 0


def _current(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
