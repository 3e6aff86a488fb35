"""Where the tests find the project's own files, and how they run another copy of them."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The top of the work tree."""


def unmeasured_environment(**changes: str) -> dict[str, str]:
    """Make an environment in which coverage does not measure what runs: another copy, or what is imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return {**kept, **changes}
