"""The manual: made from the programs' own tables, whole, and faultless to those who render it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.terminal import need
from helpers.tree import ROOT, unmeasured_environment
from secretd.cli.invocation import SHARED
from secretd.cli.main import secretctl
from secretd.daemon import main as daemon
from secretd.daemon.config import SETTINGS
from secretd.errors import ExitStatus

PAGES = sorted((ROOT / "docs" / "man").iterdir())


def rendered(page: str) -> str:
    done = subprocess.run(
        [need("mandoc"), "-T", "ascii", "-O", "width=200", ROOT / "docs" / "man" / page],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return re.sub(".\b", "", done.stdout)


def make(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", root / "contrib" / "man", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=unmeasured_environment(),
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy what the manual is made from, but for secretd itself, which is the one that is installed."""
    for part in ("contrib", "docs"):
        shutil.copytree(ROOT / part, tmp_path / part)
    return tmp_path


def test_there_are_four_pages() -> None:
    assert [page.name for page in PAGES] == ["secretctl.1", "secretd-grants.7", "secretd.8", "secretd.toml.5"]


def test_it_is_current() -> None:
    checked = make(ROOT, "--check")

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_has_nothing_to_say(page: Path) -> None:
    done = subprocess.run(
        [need("mandoc"), "-T", "lint", "-W", "warning", page], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_man_shows_it_without_a_warning(page: Path) -> None:
    need("groff")
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANROFFSEQ": "", "MAN_KEEP_FORMATTING": ""}
    done = subprocess.run(
        [need("man"), "--warnings", "--local-file", page],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stderr == ""
    assert re.search(r"^NAME$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_of_markdown_is_left(page: Path) -> None:
    assert re.findall(r"```|\*\*\w|\]\(|\| ?---|^#", rendered(page.name), re.MULTILINE) == []


@pytest.mark.parametrize("name", secretctl.commands)
def test_a_command_is_there_with_its_options(name: str) -> None:
    found = re.search(rf"^   {name} \[OPTIONS\].*?(?=^   \w|^\w)", rendered("secretctl.1"), re.MULTILINE | re.DOTALL)

    assert found
    for param in secretctl.commands[name].params:
        shown = param.param_type_name == "option" and not getattr(param, "hidden", False) and param.name not in SHARED
        assert not shown or re.search(rf"^       {param.opts[0]}\b", found[0], re.MULTILINE)


def test_what_help_says_of_stars_is_no_emphasis() -> None:
    found = re.search(r"^       --pattern TEXT\n(.*?)\n\n", rendered("secretctl.1"), re.MULTILINE | re.DOTALL)

    assert found
    assert "* is anything but /, ** is anything" in " ".join(found[1].split())


def test_what_all_commands_share_is_there() -> None:
    page = rendered("secretctl.1")

    for param in secretctl.params:
        assert f"\n       {', '.join(param.opts)}" in page
    assert all(re.search(rf"^       {int(status)} +name: {status.name}$", page, re.MULTILINE) for status in ExitStatus)


def test_every_option_of_the_daemon_is_there() -> None:
    page = rendered("secretd.8")

    for action in daemon._parser()._actions:
        assert f"\n       {', '.join(action.option_strings)}" in page


def test_every_setting_is_there_and_no_other() -> None:
    assert tuple(re.findall(r"^       ([a-z]+\.[a-z-]+)$", rendered("secretd.toml.5"), re.MULTILINE)) == SETTINGS


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("| `store.url` |", "| `store.uri` |", id="misspelt"),
        pytest.param("| `quota.bytes` |", "| `quota.bytes`, once |", id="missing"),
    ],
)
def test_a_setting_that_only_one_side_knows_is_an_error(before: str, after: str, copy: Path) -> None:
    page = copy / "docs" / "configuration.md"
    page.write_text(page.read_text().replace(before, after))

    done = make(copy)

    assert done.returncode != 0
    assert "has not the settings of the daemon" in done.stderr


def test_a_page_that_is_stale_is_named_and_made_anew(copy: Path) -> None:
    page = copy / "docs" / "secretd.md"
    page.write_text(page.read_text().replace("It stays in the foreground", "It goes into the background"))

    checked, made, checked_again = make(copy, "--check"), make(copy), make(copy, "--check")

    assert (checked.returncode, checked.stderr) == (1, "docs/man/secretd.8 is not as contrib/man writes it\n")
    assert (made.returncode, made.stdout) == (0, "wrote docs/man/secretd.8\n")
    assert checked_again.returncode == 0


def test_another_argument_is_refused(copy: Path) -> None:
    assert (make(copy, "--nonsense").returncode, make(copy, "--nonsense").stderr) == (
        2,
        "usage: contrib/man [--check]\n",
    )
