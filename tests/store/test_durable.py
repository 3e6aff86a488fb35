"""Files that survive a power cut: the order of the steps, and what a crash between any two of them leaves."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from secretd.errors import StoreCorruptError
from secretd.store.durable import create_durably, read_bounded, write_durably

Writer = Callable[[Path, bytes], None]

BOTH = pytest.mark.parametrize(
    "write", [pytest.param(write_durably, id="write"), pytest.param(create_durably, id="create")]
)


class PowerCutError(Exception):
    """The machine stops here."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what reaches the disk's order: synced files and directories, renames, links."""
    seen: list[str] = []
    fsync = os.fsync

    def synced(descriptor: int) -> None:
        seen.append("sync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def named(step: str, action: Callable[..., object]) -> Callable[..., object]:
        def recorded(*arguments: object) -> object:
            seen.append(step)
            return action(*arguments)

        return recorded

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", named("rename", Path.replace))
    monkeypatch.setattr(Path, "hardlink_to", named("link", Path.hardlink_to))
    return seen


@BOTH
def test_a_new_file_is_whole_private_and_alone(tmp_path: Path, write: Writer) -> None:
    path = tmp_path / "file"
    write(path, b"data" * 100_000)
    assert path.read_bytes() == b"data" * 100_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_nlink == 1
    assert list(tmp_path.iterdir()) == [path]


def test_writing_replaces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    path.chmod(0o644)
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("taken_by", ["file", "directory", "dangling link"])
def test_creating_leaves_what_is_there(tmp_path: Path, taken_by: str) -> None:
    path = tmp_path / "file"
    makers: dict[str, Callable[[], object]] = {
        "file": lambda: path.write_bytes(b"old"),
        "directory": path.mkdir,
        "dangling link": lambda: path.symlink_to("nowhere"),
    }
    makers[taken_by]()
    before = path.lstat()
    with pytest.raises(FileExistsError):
        create_durably(path, b"new")
    assert path.lstat() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("write", "published"),
    [pytest.param(write_durably, "rename", id="write"), pytest.param(create_durably, "link", id="create")],
)
def test_data_is_on_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, steps: list[str], write: Writer, published: str
) -> None:
    write(tmp_path / "file", b"data")
    assert steps == ["sync file", published, "sync directory"]


@pytest.mark.parametrize("step", [0, 1, 2], ids=["before-the-data-is-synced", "before-the-rename", "after-the-rename"])
def test_a_crash_leaves_the_old_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        _crash_at(patch, step)
        with pytest.raises(PowerCutError):
            write_durably(path, b"new")
    assert path.read_bytes() == (b"new" if step == 2 else b"old")
    left_over = [name for name in tmp_path.iterdir() if name != path]
    assert len(left_over) == (0 if step == 2 else 1)
    write_durably(path, b"newest")
    assert path.read_bytes() == b"newest"
    assert list(tmp_path.iterdir()) == [path]


def _crash_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """Stop before the step-th of fsync, rename, fsync; nothing that would tidy up runs either."""
    fsync, replace = os.fsync, Path.replace
    done = 0

    def stop_or(action: Callable[..., object]) -> Callable[..., object]:
        def acted(*arguments: object) -> object:
            nonlocal done
            if done == step:
                patch.setattr(Path, "unlink", lambda *_, **__: None)
                raise PowerCutError
            done += 1
            return action(*arguments)

        return acted

    patch.setattr(os, "fsync", stop_or(fsync))
    patch.setattr(Path, "replace", stop_or(replace))


def test_only_left_overs_of_the_same_name_are_removed(tmp_path: Path) -> None:
    mine = tmp_path / ".root.0123456789abcdef.new"
    others = [tmp_path / name for name in (".root.key.0123456789abcdef.new", ".root.new", "root.new", ".root.zz.new")]
    for path in (mine, *others):
        path.write_bytes(b"x")
    write_durably(tmp_path / "root", b"data")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "root", *others])


@BOTH
def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Writer) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("size", "most"), [pytest.param(0, 8, id="empty"), pytest.param(7, 8, id="less"), pytest.param(8, 8, id="most")]
)
def test_a_file_within_its_bound_is_read(tmp_path: Path, size: int, most: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert read_bounded(path, most) == b"x" * size


def test_no_file_is_none(tmp_path: Path) -> None:
    assert read_bounded(tmp_path / "file", 8) is None


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: path.write_bytes(b"x" * 9), id="one-byte-too-long"),
        pytest.param(os.mkfifo, id="fifo"),
        pytest.param(Path.mkdir, id="directory"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), id="endless-device"),
    ],
)
def test_what_is_no_small_file_is_refused(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "file"
    make(path)
    with pytest.raises(StoreCorruptError):
        read_bounded(path, 8)
