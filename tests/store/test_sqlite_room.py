"""Room that is taken beforehand. What it is good for on a full disk: tests/durability/test_full_disk.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from secretd import limits
from secretd.errors import StoreFullError
from secretd.store.sqlite_room import Growth, Reserve

MORE_THAN_ANY_DISK = 2**62


def room(path: Path) -> int:
    return path.stat().st_blocks * 512


def set_reserve(monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
    limit = limits.Limit(size_bytes, "bytes", source="this test", seen="never")
    monkeypatch.setattr(limits, "STORE_RESERVE_BYTES", limit)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(None, id="none"),
        pytest.param(0, id="cut-short"),
        pytest.param(int(limits.STORE_RESERVE_BYTES), id="a-copy-with-a-hole"),
    ],
)
def test_the_reserve_is_made_whole(tmp_path: Path, found: int | None) -> None:
    path = tmp_path / "reserve"
    if found is not None:
        with path.open("wb") as file:
            file.truncate(found)
    Reserve(path).keep()
    assert room(path) >= limits.STORE_RESERVE_BYTES
    assert Reserve(path).held


def test_a_reserve_that_cannot_be_had_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = Reserve(tmp_path / "reserve")
    set_reserve(monkeypatch, MORE_THAN_ANY_DISK)
    reserve.keep()
    assert not reserve.held
    assert list(tmp_path.iterdir()) == []


def test_a_reserve_is_given_up_and_kept_again(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve")
    reserve.keep()
    reserve.give_up_if_short()
    assert reserve.held
    for _ in range(2):
        reserve.give_up()
        assert list(tmp_path.iterdir()) == []
    reserve.keep()
    assert reserve.held


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "database"
    path.write_bytes(b"content")
    return path


@pytest.fixture
def growth(database: Path) -> Iterator[Growth]:
    growth = Growth(database)
    yield growth
    growth.close()


def test_room_is_taken_ahead_and_the_content_stays(database: Path, growth: Growth) -> None:
    growth.take(8_192)
    assert database.stat().st_size == limits.STORE_GROWTH_BYTES
    assert room(database) >= limits.STORE_GROWTH_BYTES
    assert database.read_bytes().rstrip(b"\0") == b"content"
    growth.take(limits.STORE_GROWTH_BYTES)
    assert database.stat().st_size == limits.STORE_GROWTH_BYTES


def test_room_that_is_not_there_is_missing(growth: Growth) -> None:
    growth.take(8_192)
    growth.require(limits.STORE_GROWTH_BYTES)
    with pytest.raises(StoreFullError, match="nothing was changed"):
        growth.require(limits.STORE_GROWTH_BYTES + 1)
