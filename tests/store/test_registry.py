"""Stores by URL: what is opened, and how a wrong URL is answered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.asynchronous import run
from helpers.tree import unmeasured_environment
from secretd.errors import ConfigError
from secretd.store import registry
from secretd.store.base import Put
from secretd.store.registry import open_store


@pytest.mark.parametrize(
    ("name", "written"),
    [
        pytest.param("store", "store", id="plain"),
        pytest.param("a store", "a%20store", id="percent-encoded"),
        pytest.param("a store", "a store", id="as-it-is"),
        pytest.param("100%", "100%25", id="percent-sign"),
        pytest.param("käse", "käse", id="not-ascii"),
        pytest.param("missing/parents", "missing/parents", id="parents-are-made"),
    ],
)
def test_a_sqlite_url_names_the_directory(tmp_path: Path, name: str, written: str) -> None:
    async def body() -> None:
        store = await open_store(f"sqlite://{tmp_path}/{written}")
        await store.commit([Put(b"k", b"v")])
        await store.close()
        assert store.kind_name == "sqlite"

    run(body())
    assert (tmp_path / name / "store.db").is_file()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        pytest.param("", "named by a URL", id="empty"),
        pytest.param("/var/lib/secretd", "named by a URL", id="a-path"),
        pytest.param("sqlite:/var/lib/secretd", "named by a URL", id="no-slashes"),
        pytest.param("SQLITE:///x", "named by a URL", id="upper-case"),
        pytest.param("sqlite://", "absolute path", id="no-path"),
        pytest.param("sqlite:///", "absolute path", id="the-root"),
        pytest.param("sqlite://host/path", "absolute path", id="a-host"),
        pytest.param("sqlite://relative", "absolute path", id="relative"),
        pytest.param("sqlite:///a?mode=memory", "absolute path", id="query"),
        pytest.param("sqlite:///a#b", "absolute path", id="fragment"),
        pytest.param("sqlite:///a%00b", "absolute path", id="nul"),
        pytest.param("postgres://x/y", "known are: sqlite", id="unknown-scheme"),
    ],
)
def test_a_wrong_url_says_what_a_right_one_is(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        run(open_store(url))


def test_an_engine_is_loaded_when_it_is_used() -> None:
    program = "import sys, secretd.store.registry; sys.exit('sqlite3' in sys.modules)"
    environment = unmeasured_environment(PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    subprocess.run([sys.executable, "-P", "-c", program], check=True, env=environment)


def test_the_table_names_stores_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._ENGINES, "odd", "secretd.store.base:Put")
    with pytest.raises(RuntimeError, match="no store"):
        run(open_store("odd://x"))
