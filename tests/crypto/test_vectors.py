"""The corpora in tests/vectors/, each vector with its declared outcome."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from helpers import storage_vectors
from helpers.tree import ROOT
from secretd.crypto.envelope import open_record
from secretd.crypto.keyring import Domain, Keyring
from secretd.crypto.padding import pad, unpad
from secretd.crypto.sealfile import SealFile
from secretd.errors import ERRORS_BY_CODE
from secretd.model import SecretValue, SlotKind, Usage, UsageType

VECTORS = ROOT / "tests" / "vectors"
LEAST = {"records.json": 40, "seal-files.json": 40, "padding.json": 20, "derived.json": 2, "grants.json": 40}


def corpus(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((VECTORS / name).read_text(encoding="ascii"))
    return loaded


def cases(name: str, member: str = "vectors") -> list[Any]:
    # pytest turns an empty list into a skip; test_no_corpus_is_empty turns it into a failure.
    return [
        pytest.param(vector, id=vector.get("id", str(number))) for number, vector in enumerate(corpus(name)[member])
    ]


def judge(vector: dict[str, Any], attempt: Callable[[], None]) -> None:
    """Run ``attempt``, which checks a success by itself, and hold a failure to what the vector declares."""
    if vector["outcome"] == "success":
        attempt()
        return
    expected = ERRORS_BY_CODE[vector["outcome"]]
    with pytest.raises(expected) as caught:
        attempt()
    assert type(caught.value) is expected
    assert vector["says"] in caught.value.message


@pytest.mark.parametrize("name", storage_vectors.CORPORA)
def test_corpus_is_what_its_source_makes(name: str) -> None:
    assert (VECTORS / name).read_text(encoding="ascii") == storage_vectors.text_of(storage_vectors.CORPORA[name]())


@pytest.mark.parametrize("name", storage_vectors.CORPORA)
def test_no_corpus_is_empty(name: str) -> None:
    content = corpus(name)
    assert content["source"]
    lists = [content[member] for member in ("vectors", "usages", "digests") if member in content]
    assert lists
    assert all(len(vectors) >= LEAST[name] for vectors in lists)


@pytest.mark.parametrize("name", ["records.json", "seal-files.json", "padding.json", "grants.json"])
def test_vectors_are_told_apart_and_hold_both_outcomes(name: str) -> None:
    vectors = corpus(name)["vectors"]
    assert len({vector["id"] for vector in vectors}) == len(vectors)
    successes = [vector for vector in vectors if vector["outcome"] == "success"]
    assert 0 < len(successes) < len(vectors)


@pytest.fixture(scope="module")
def keyrings() -> dict[Domain, Keyring]:
    opened = {}
    for domain in Domain:
        rows = [row for row in corpus("records.json")["keys"] if row["domain"] == domain.label]
        keys = {row["version"]: bytes.fromhex(row["key"]) for row in rows}
        opened[domain] = Keyring(domain, UUID(int=0), keys, bytes(32), bytes(32))
    return opened


@pytest.mark.parametrize("vector", cases("records.json"))
def test_record(vector: dict[str, Any], keyrings: dict[Domain, Keyring]) -> None:
    def attempt() -> None:
        opened = open_record(keyrings, bytes.fromhex(vector["name"]), bytes.fromhex(vector["sealed"]))
        seen = (opened.domain.label, opened.version, opened.counter, opened.plaintext.hex())
        assert seen == tuple(vector[member] for member in ("domain", "version", "counter", "plaintext"))

    judge(vector, attempt)


@pytest.mark.parametrize("vector", cases("seal-files.json"))
def test_seal_file(vector: dict[str, Any]) -> None:
    text = "".join(part * times for part, times in vector["text"]).encode()

    def attempt() -> None:
        seal_file = SealFile.parse(text)
        root_key = seal_file.open_root(SlotKind(vector["kind"]), bytes.fromhex(vector["slot-key"]))
        keyring = seal_file.open_keyring(root_key)
        assert root_key.hex() == vector["root-key"]
        assert keyring.to_payload().decode() == vector["payload"]
        assert seal_file.to_bytes() == text

    judge(vector, attempt)


@pytest.mark.parametrize("vector", cases("padding.json"))
def test_padding(vector: dict[str, Any]) -> None:
    plaintext = b"".join(bytes.fromhex(part) * times for part, times in vector["plaintext"])

    def attempt() -> None:
        value = unpad(plaintext).reveal()
        assert value == b"".join(bytes.fromhex(part) * times for part, times in vector["value"])
        assert pad(SecretValue(value)) == plaintext

    judge(vector, attempt)


@pytest.fixture(scope="module")
def deriving() -> Keyring:
    content = corpus("derived.json")
    index, digest = (bytes.fromhex(content[member]) for member in ("index-key", "digest-key"))
    return Keyring(Domain.SHARED, UUID(int=0), {1: bytes(32)}, index, digest)


@pytest.mark.parametrize("vector", cases("derived.json", "usages"))
def test_usage_key(vector: dict[str, Any], deriving: Keyring) -> None:
    usage = Usage(UsageType(vector["type"]), vector["usage-id"])
    assert deriving.usage_key(usage).hex() == vector["key"]


@pytest.mark.parametrize("vector", cases("derived.json", "digests"))
def test_digest(vector: dict[str, Any], deriving: Keyring) -> None:
    digest = deriving.digest(UUID(vector["secret"]), vector["attributes"], vector["value"])
    assert digest == vector["digest"]
