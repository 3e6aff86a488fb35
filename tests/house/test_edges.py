"""Which room may import which, as DESIGN says it; and that no module outgrows its subject."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.tree import ROOT

FOUNDATION = {
    "addresses",
    "keyrequests",
    "keys",
    "lifecycle",
    "lifecyclerequests",
    "moments",
    "errors",
    "fields",
    "grantrequests",
    "grants",
    "limits",
    "model",
    "operations",
    "requests",
    "storerequests",
}
"""What everything may import."""

EDGES = {
    "documents": set(),
    "wire": set(),
    "crypto": set(),
    "store": set(),
    "core": {"crypto", "store"},
    "doors": {"wire", "documents", "core"},
    "client": {"wire", "documents"},
    "cli": {"client"},
    "daemon": {"doors", "core", "store", "crypto"},
    # The foundation and the package itself know no room; python -m secretd is the daemon.
    "addresses": set(),
    "errors": set(),
    "fields": set(),
    "grantrequests": set(),
    "grants": set(),
    "keyrequests": set(),
    "keys": set(),
    "lifecycle": set(),
    "lifecyclerequests": set(),
    "limits": set(),
    "model": set(),
    "moments": set(),
    "operations": set(),
    "requests": set(),
    "storerequests": set(),
    "__init__": set(),
    "__main__": {"daemon"},
}

OWNERS = {
    "lxml": "documents",
    "xml": "documents",
    "cryptography": "crypto",
    "sqlite3": "store",
    "click": "cli",
    "rich": "cli",
}
"""The one room that may import each of these."""

MODULE_LINES = 600

MODULES = sorted((ROOT / "secretd").rglob("*.py"))


def room_of(module: Path) -> str:
    return module.relative_to(ROOT / "secretd").parts[0].removesuffix(".py")


def imported(module: Path, source: str) -> Iterator[str]:
    """Give the dotted name of everything that a module imports, in functions and under TYPE_CHECKING too."""
    package = module.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            prefix = ".".join((*base, *filter(None, [node.module])))
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def broken_edges(room: str, names: Iterator[str]) -> list[str]:
    allowed = FOUNDATION | {"__version__", room} | EDGES[room]
    return [
        name
        for name in names
        if (name.startswith("secretd.") and name.split(".")[1] not in allowed)
        or OWNERS.get(name.split(".")[0], room) != room
    ]


def test_there_are_modules_to_look_at() -> None:
    assert len(MODULES) > 10


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_a_room_imports_only_what_it_may(module: Path) -> None:
    assert broken_edges(room_of(module), imported(module, module.read_text())) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_a_module_has_one_subject_and_says_it(module: Path) -> None:
    text = module.read_text()

    assert len(text.splitlines()) <= MODULE_LINES
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize(
    ("room", "source", "broken"),
    [
        pytest.param("cli", "from secretd.client import Client", [], id="allowed"),
        pytest.param("cli", "from secretd import documents", ["secretd.documents"], id="from-the-package"),
        pytest.param("cli", "import secretd.core.service", ["secretd.core.service"], id="plain-import"),
        pytest.param("wire", "from ..store import base", ["secretd.store.base"], id="relative"),
        pytest.param("core", "def f():\n    import lxml.etree", ["lxml.etree"], id="inside-a-function"),
        pytest.param("store", "import sqlite3, json", [], id="the-owner-itself"),
        pytest.param("doors", "from secretd.errors import SecretdError", [], id="foundation"),
    ],
)
def test_the_check_itself_sees_a_wrong_edge(room: str, source: str, broken: list[str]) -> None:
    module = ROOT / "secretd" / room / "imagined.py"

    assert broken_edges(room, imported(module, source)) == broken
