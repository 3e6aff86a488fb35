"""The pages of lists at the libvirt door: the very same page is not written again, and any other is."""

from __future__ import annotations

from uuid import UUID

import pytest

from secretd import limits
from secretd.doors.libvirt_pages import WrittenPages
from secretd.model import Digest
from secretd.operations import Entry, Listed


def page(*numbers: int) -> Listed:
    digest = Digest("0" * 32)
    entries = tuple(Entry(UUID(int=n), digest, ephemeral=False, private=False, has_value=True) for n in numbers)
    return Listed(entries, truncated=False)


def name(entry: Entry) -> bytes:
    return b"%d," % entry.secret.int


def double(entry: Entry) -> bytes:
    return name(entry) * 2


def test_a_page_is_written_once_by_each_writer() -> None:
    pages, listed = WrittenPages(), page(1, 2)
    written = pages.write(listed, name)
    assert written == b"1,2,"
    assert pages.write(listed, name) is written
    assert pages.write(listed, double) == b"1,1,2,2,"
    assert pages.write(page(1, 2), name) == written
    assert pages.write(page(3), name) == b"3,"


def test_a_page_that_nobody_else_has_is_kept_from_being_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEPT_PAGES", 2)
    pages = WrittenPages()
    # Each is gone when the next is made, and would leave it its place in memory.
    assert [pages.write(page(number), name) for number in range(9)] == [b"%d," % number for number in range(9)]
    assert len(pages._written) == 2
