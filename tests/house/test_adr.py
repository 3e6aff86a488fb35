"""The decision records: numbered without a gap, whole, and linked to what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.tree import ROOT

RECORDS = sorted((ROOT / "docs" / "adr").glob("*.md"))

STATUSES = ("proposed", "accepted", r"superseded by \d{4}")

SECTIONS = ["Context", "Options", "Outcome", "Bad consequences", "What would change our mind"]


def test_numbers_run_from_one_without_a_gap() -> None:
    numbers = [int(record.name[:4]) for record in RECORDS]

    assert numbers
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_is_whole(record: Path) -> None:
    text = record.read_text()

    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", record.name)
    assert text.startswith(f"# {record.name[:4]}: ")
    assert re.search(rf"^Status: ({'|'.join(STATUSES)})$", text, re.MULTILINE)
    assert re.search(r"^Date: \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_record_that_replaces_another_exists(record: Path) -> None:
    superseded = re.search(r"^Status: superseded by (\d{4})$", record.read_text(), re.MULTILINE)

    assert superseded is None or any(other.name.startswith(superseded[1]) for other in RECORDS)
