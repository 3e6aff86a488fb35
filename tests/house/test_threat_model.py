"""docs/threat-model.md held to its word: each claim names tests, and they exist."""

from __future__ import annotations

import re

import pytest

from helpers.tree import ROOT

PAGE = (ROOT / "docs" / "threat-model.md").read_text()
CLAIMS = [line.strip("| ").rsplit(" | ", 1) for line in PAGE.splitlines() if re.match(r"\| (?!---|claim )", line)]


def test_there_are_claims() -> None:
    assert len(CLAIMS) > 20


@pytest.mark.parametrize(("claim", "tests"), CLAIMS, ids=[claim for claim, _ in CLAIMS])
def test_a_claim_has_its_tests(claim: str, tests: str) -> None:
    named = re.findall(r"`([^`:]+)::([^`]+)`", tests)

    assert named, claim
    for file, name in named:
        assert re.search(rf"^ *def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE), name
