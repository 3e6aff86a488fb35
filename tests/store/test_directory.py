"""One process at a time, in a directory of its own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from helpers.asynchronous import run
from helpers.store_programs import start
from secretd.errors import ConfigError
from secretd.store.base import Put
from secretd.store.directory import HeldDirectory
from secretd.store.registry import open_store


def test_a_second_process_is_told_that_the_store_is_used(tmp_path: Path) -> None:
    with start("hold", tmp_path / "store") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match="another secretd is running") as caught:
            run(open_store(f"sqlite://{tmp_path}/store"))
        assert caught.value.__suppress_context__
        holder.communicate("")
    assert holder.returncode == 0


def test_a_second_store_in_this_process_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    async def body() -> None:
        url = f"sqlite://{tmp_path}/store"
        first = await open_store(url)
        with pytest.raises(ConfigError, match="another secretd"):
            await open_store(url)
        await first.commit([Put(b"k", b"v")])
        await first.close()
        second = await open_store(url)
        assert await second.count(b"k") == 1
        await second.close()

    run(body())


def test_a_lock_file_left_by_a_killed_process_locks_nobody_out(tmp_path: Path) -> None:
    with start("hold", tmp_path / "store") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    assert (tmp_path / "store" / "lock").exists()

    async def body() -> None:
        store = await open_store(f"sqlite://{tmp_path}/store")
        await store.close()

    run(body())


def test_missing_directories_are_made_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "secretd" / "store"
    HeldDirectory.hold(path).close()
    for folder in (path, path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((path / "lock").stat().st_mode) == 0o600


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "run" / "secretd"
    before = os.umask(umask)
    try:
        HeldDirectory.hold(path, mode=0o755).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700 & ~umask


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "store"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod go-w"):
        HeldDirectory.hold(path)
    assert list(path.iterdir()) == []


def test_of_one_that_is_for_everybody_nobody_is_told_to_change_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "tmp"
    path.mkdir()
    path.chmod(0o1777)
    with pytest.raises(ConfigError, match=r"for everybody.*name a directory of secretd's own") as caught:
        HeldDirectory.hold(path)
    assert "chmod" not in caught.value.message
    assert list(path.iterdir()) == []


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="belongs to another user"):
        HeldDirectory.hold(tmp_path)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.write_bytes(b"mine")
    with pytest.raises(ConfigError, match="not a directory"):
        HeldDirectory.hold(path)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("file/store", id="below-a-file"),
        pytest.param("x" * 300, id="name-too-long"),
    ],
)
def test_a_place_that_cannot_be_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be made or used") as caught:
        HeldDirectory.hold(tmp_path / place)
    assert str(tmp_path) in str(caught.value), "who starts a daemon has to know which place it is"


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.mkdir(mode=0o700)
    (path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError):
        HeldDirectory.hold(path)
    assert not (tmp_path / "elsewhere").exists()
