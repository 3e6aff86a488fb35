"""Other users, for tests that root runs: how to be one, and an interpreter that one can use."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

NOBODY = 65_534

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def as_user(uid: int) -> tuple[str, ...]:
    """Give the beginning of a command that runs the rest as this user, without groups or capabilities."""
    return ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--")


@contextmanager
def effective_user(uid: int) -> Iterator[None]:
    """Be another user for a moment: the kernel notes who connects when he does."""
    before = os.geteuid()
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(before)


@cache
def python_as(uid: int) -> tuple[str, ...]:
    """Give a command that runs an interpreter with secretd as this user.

    The one that runs the tests may stand where others cannot read; then the system's own, if it is of the
    same version, with the packages of this one.
    """
    for python in (sys.executable, "/usr/bin/python3"):
        # Started by env, which is that user already: setpriv itself can still start what only root can reach.
        command = (*as_user(uid), "env", f"PYTHONPATH={_packages()}", python)
        if _works(command):
            return command
    pytest.skip("no interpreter of this version that another user can run")


def _packages() -> str:
    return os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), sysconfig.get_path("purelib")]))


def _works(python: Sequence[str]) -> bool:
    probe = f"import sys, secretd.daemon.main; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    return subprocess.run([*python, "-P", "-c", probe], check=False, capture_output=True, cwd="/").returncode == 0


@contextmanager
def directory_of(uid: int) -> Iterator[Path]:
    """Make a directory of this user's that he can reach, which pytest's tmp_path is not."""
    with TemporaryDirectory(prefix="secretd-test-") as name:
        os.chown(name, uid, uid)
        yield Path(name)
