"""What holds for all tests: how hypothesis searches, and that nothing is skipped in CI.

With CI=true hypothesis tries the same examples each time, so that a run says something about the change and
not about luck, and half as many as elsewhere, where it searches anew and keeps what it found.  The long form is
``contrib/test --hypothesis-profile=long``, with tests or without.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

IN_CI = os.environ.get("CI") == "true"

# No deadline: a busy machine is no failure. Each example is bounded by what it does.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True, max_examples=50)
settings.register_profile("long", settings.get_profile("local"), max_examples=2_000)
settings.load_profile("ci" if IN_CI else "local")


ABOUT_PROCESSES = [Path(__file__).parent / "daemon", Path(__file__).parent / "systemd"]
"""The tests that are about what a daemon does as a process."""


@pytest.fixture(scope="module", autouse=True)
def _measure_processes_where_they_matter(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave the coverage of daemons and tools to the tests about them: measured, a process starts half as fast.

    What runs in the tests' own process is measured everywhere.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent not in ABOUT_PROCESSES:
            patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure in CI: there a test that drops out is a test that is lost."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report
