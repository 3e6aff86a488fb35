"""secretctl as a program on the PATH, for tests that run it as people do."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def with_secretctl(directory: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Put secretctl into a directory of its own, and that first on the PATH of an environment."""
    directory.mkdir()
    program = directory / "secretctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -c "from secretd.cli.main import main; main()" "$@"\n')
    program.chmod(0o755)
    return {**environment, "PATH": f"{directory}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
