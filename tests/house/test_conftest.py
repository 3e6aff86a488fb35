"""In CI a test that drops out is a failure; elsewhere it is a skip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.tree import ROOT

IN_A_TEST = "import pytest\n\ndef test_it():\n    pytest.skip('no socat')\n"
BY_A_MARK = "import pytest\n\n@pytest.mark.skipif(True, reason='no socat')\ndef test_it():\n    pass\n"
A_WHOLE_MODULE = "import pytest\n\npytest.skip('no socat', allow_module_level=True)\n"
EXPECTED_TO_FAIL = "import pytest\n\n@pytest.mark.xfail(reason='no socat')\ndef test_it():\n    assert False\n"


def run_pytest(directory: Path, source: str, ci: str) -> tuple[int, str]:
    shutil.copy(ROOT / "tests" / "conftest.py", directory)
    (directory / "test_skipping.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={directory}", directory],
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("source", [IN_A_TEST, BY_A_MARK, A_WHOLE_MODULE], ids=["test", "mark", "module"])
def test_a_skip_fails_in_ci_and_says_why(source: str, tmp_path: Path) -> None:
    status, said = run_pytest(tmp_path, source, "true")

    assert status != 0
    assert "skipped in CI: " in said
    assert "no socat" in said


@pytest.mark.parametrize("source", [IN_A_TEST, BY_A_MARK], ids=["test", "mark"])
def test_a_skip_is_a_skip_elsewhere(source: str, tmp_path: Path) -> None:
    status, said = run_pytest(tmp_path, source, "")

    assert status == 0
    assert "1 skipped" in said


def test_what_is_expected_to_fail_may_do_so_in_ci(tmp_path: Path) -> None:
    status, said = run_pytest(tmp_path, EXPECTED_TO_FAIL, "true")

    assert status == 0
    assert "1 xfailed" in said
