"""The plaintext of a grant: one spelling for one meaning, and everything else refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from helpers.grants import GRANTS
from helpers.tree import ROOT
from secretd import limits
from secretd.core.grantform import from_bytes, to_bytes
from secretd.crypto import canonical
from secretd.documents.grant import write_grant
from secretd.errors import StoreCorruptError
from secretd.grants import Grant

CORPUS: dict[str, Any] = json.loads((ROOT / "tests" / "vectors" / "grants.json").read_text(encoding="ascii"))


def vectors(*, good: bool) -> list[Any]:
    return [
        pytest.param(vector, id=vector["id"])
        for vector in CORPUS["vectors"]
        if (vector["outcome"] == "success") is good
    ]


def test_the_corpus_holds_both_outcomes() -> None:
    assert len(vectors(good=True)) >= 8
    assert len(vectors(good=False)) >= 40


@pytest.mark.parametrize("vector", vectors(good=True))
def test_what_a_record_says(vector: dict[str, Any]) -> None:
    plaintext = vector["plaintext"].encode("ascii")
    grant = from_bytes(plaintext)
    assert write_grant(grant) == vector["document"]
    assert to_bytes(grant) == plaintext


@pytest.mark.parametrize("vector", vectors(good=False))
def test_what_is_refused(vector: dict[str, Any]) -> None:
    assert vector["outcome"] == StoreCorruptError.code
    with pytest.raises(StoreCorruptError) as raised:
        from_bytes(vector["plaintext"].encode())
    assert vector["says"] in raised.value.message
    assert raised.value.__context__ is None, "the parser's error would carry the plaintext"


@given(grant=GRANTS)
def test_what_is_written_is_read_again(grant: Grant) -> None:
    written = to_bytes(grant)
    assert from_bytes(written) == grant
    assert written == canonical.dump(json.loads(written))
    assert len(written) < limits.STORE_VALUE_BYTES
