"""Control groups of version 2 for tests that root runs: made where the system has them, and gone at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest


def _hierarchy() -> Path:
    """Find where the control groups of version 2 are."""
    found = re.search(r"^\S+ (\S+) cgroup2 ", Path("/proc/mounts").read_text(), re.MULTILINE)
    if found is None:
        pytest.skip("no control groups of version 2 are mounted")
    return Path(found[1])


@contextmanager
def control_group(*names: str) -> Iterator[Path]:
    """Make a control group, and what is missing above it, for the length of a with block."""
    made: list[Path] = []
    place = _hierarchy()
    try:
        for name in names:
            place /= name
            if not place.exists():
                try:
                    place.mkdir()
                except OSError as error:
                    pytest.skip(f"no control group can be made: {error.strerror}")
                made.append(place)
        yield place
    finally:
        for each in reversed(made):
            each.rmdir()


def inside(group: Path) -> Sequence[str]:
    """Give a command that runs another in a control group."""
    return ("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(group))
