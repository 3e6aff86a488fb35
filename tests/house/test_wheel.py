"""The wheel holds all of secretd and nothing else, and its schemas load once it is installed."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from helpers.tree import ROOT, unmeasured_environment
from secretd import __version__

PARTS = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "secretd", "schemas", "docs/man")

DATA = f"secretd-{__version__}.data/data"
"""What pip puts below the directory that it installs into."""

LOAD_ALL_SCHEMAS = """
import importlib.resources, lxml.etree, sys
with importlib.resources.as_file(importlib.resources.files("secretd.schemas")) as directory:
    for schema in sorted(directory.glob("*.rng")):
        lxml.etree.RelaxNG(file=str(schema))
        print(schema.name)
"""


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-P", "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, as a build leaves traces in the tree, and without a network."""
    copy = tmp_path_factory.mktemp("tree")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / part)
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", copy / "dist", copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


def files_of_the_tree() -> set[str]:
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "secretd").rglob("*.py")}
    schemas = {f"secretd/schemas/{path.name}" for path in (ROOT / "schemas").iterdir() if path.is_file()}
    manual = {f"{DATA}/share/man/man{path.suffix[1:]}/{path.name}" for path in (ROOT / "docs" / "man").iterdir()}
    return code | schemas | manual | {"secretd/py.typed"}


def test_the_wheel_holds_all_of_secretd_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert held == files_of_the_tree()


def test_the_wheel_brings_both_commands(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
        entries = configparser.ConfigParser()
        entries.read_string(archive.read(name).decode())

    assert set(entries["console_scripts"]) == {"secretd", "secretctl"}


def test_the_schemas_load_from_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    pip("install", "--no-deps", "--no-index", "--target", tmp_path, wheel)
    environment = unmeasured_environment(PYTHONPATH=str(tmp_path))

    loaded = subprocess.run(
        [sys.executable, "-P", "-c", LOAD_ALL_SCHEMAS],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )

    names = loaded.stdout.split()
    assert names
    assert names == sorted(path.name for path in (ROOT / "schemas").glob("*.rng"))
