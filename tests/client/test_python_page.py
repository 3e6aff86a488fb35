"""docs/python.md held against the client: its examples, and the README's, run against a real daemon."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from helpers.daemon import RunningDaemon
from helpers.transcripts import Examples
from helpers.tree import ROOT
from secretd import client, errors

PAGE = (ROOT / "docs" / "python.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", PAGE, re.MULTILINE | re.DOTALL)


def test_there_are_examples_and_each_shows_something() -> None:
    assert len(EXAMPLES) > 4
    assert all(shown for _, shown in EXAMPLES)


def test_the_examples_do_what_they_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    ids = Examples()
    with RunningDaemon(tmp_path) as daemon:
        monkeypatch.setenv("XDG_RUNTIME_DIR", daemon.environment["XDG_RUNTIME_DIR"])
        for source, shown in EXAMPLES:
            exec(compile(source, "docs/python.md", "exec"), names)  # noqa: S102  # the page is ours
            assert ids.explain(shown, capsys.readouterr().out) == shown


def test_the_readme_shows_a_program_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = re.findall(r"^```python\n(.*?)^```\n", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    with RunningDaemon(tmp_path) as daemon:
        monkeypatch.setenv("XDG_RUNTIME_DIR", daemon.environment["XDG_RUNTIME_DIR"])
        # Twice, as who tries it out does.
        exec(compile(source, "README.md", "exec"), names)  # noqa: S102  # the page is ours
        exec(compile(source, "README.md", "exec"), names)  # noqa: S102

    assert names["passphrase"] == b"correct horse battery staple"


def test_the_page_speaks_of_all_that_the_client_offers() -> None:
    assert {name for name in client.__all__ if not re.search(rf"\b{name}\b", PAGE)} == set()


def test_the_errors_on_the_page_exist() -> None:
    named = set(re.findall(r"`(\w+Error)`", PAGE))

    assert named
    assert {name for name in named if not hasattr(errors, name)} == set()
    assert {"ConfigError", "UnreachableError", "UntrustedDaemonError"} <= named
