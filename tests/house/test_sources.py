"""A docstring that names a page of ours as its source, or a section of one, names what is there."""

from __future__ import annotations

import re
from pathlib import Path

from helpers.tree import ROOT

_SECTION = r'"[^"]+"'
_SOURCE = re.compile(rf"\bdocs/([\w/-]+\.md)((?:(?:, and|,| and) {_SECTION})*)")


def sources(module: Path) -> list[tuple[str, str | None]]:
    """List the pages that a module names, each with a section if it names one."""
    text = " ".join(module.read_text().split())
    found: list[tuple[str, str | None]] = []
    for page, sections in _SOURCE.findall(text):
        found.extend((page, section) for section in re.findall(r'"([^"]+)"', sections) or [None])
    return found


def is_there(page: str, section: str | None) -> bool:
    path = ROOT / "docs" / page
    if not path.exists():
        return False
    return section is None or section in re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)


def test_sources_are_there() -> None:
    modules = sorted((ROOT / "secretd").rglob("*.py"))
    named = [(module.name, *source) for module in modules for source in sources(module)]

    assert ("keyring.py", "storage-format.md", "The digest") in named
    assert [source for source in named if not is_there(*source[1:])] == []
