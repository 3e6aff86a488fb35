"""The targets of contrib/fuzz, over what was found once, over what it starts from, and over what hypothesis thinks of.

corpus/TARGET/ holds inputs that once broke the target, or that guard a promise of it; contrib/fuzz adds to them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.fuzz_targets import TARGETS, BrokenPromiseError
from helpers.tree import ROOT

CORPUS = ROOT / "tests" / "fuzz" / "corpus"
KEPT = sorted(path for path in CORPUS.rglob("*") if path.is_file())
LONG_BYTES = 4_096
"""What hypothesis mangles is no longer: its inputs are many, and seeds that are longer are run as they are."""


def name_of(path: Path) -> str:
    return str(path.relative_to(CORPUS))


@pytest.mark.parametrize("name", TARGETS)
def test_each_target_has_a_corpus(name: str) -> None:
    # pytest turns an empty list into a skip: this turns it into a failure.
    assert any(path.parent == CORPUS / name for path in KEPT)


def test_the_corpus_has_no_other_target() -> None:
    assert {path.parent.name for path in KEPT} == set(TARGETS)


@pytest.mark.parametrize("path", KEPT, ids=name_of)
def test_what_was_found_once(path: Path) -> None:
    TARGETS[path.parent.name].run(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_starts_from(name: str) -> None:
    seeds = list(TARGETS[name].seeds())
    assert len(seeds) >= 3
    for seed in seeds:
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=200))
def test_any_bytes(name: str, data: bytes) -> None:
    TARGETS[name].run(data)


SEEDS = {name: [seed for seed in target.seeds() if len(seed) <= LONG_BYTES] for name, target in TARGETS.items()}


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_mangled_seeds(name: str, data: st.DataObject) -> None:
    mangled = data.draw(st.sampled_from(SEEDS[name]))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(mangled)))
        end = data.draw(st.integers(start, min(len(mangled), start + 8)))
        piece = data.draw(st.binary(max_size=4) | st.sampled_from([mangled[start:end] * 3, mangled[end : end + 20]]))
        mangled = mangled[:start] + piece + mangled[end:]
    TARGETS[name].run(mangled)


def test_a_target_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    record = TARGETS["record"]
    monkeypatch.setattr("helpers.fuzz_targets._SEALED", frozenset())
    with pytest.raises(BrokenPromiseError, match="nothing opens"):
        record.run(next(record.seeds()))
