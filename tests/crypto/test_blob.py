"""Blobs: what is sealed opens, and nothing else does."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import storage_format as page
from secretd import limits
from secretd.crypto.blob import open_blob, peek_blob, seal_blob
from secretd.crypto.context import spell_context
from secretd.keys import KeyId

MATERIAL = bytes(range(32))
NAMED, UUID_NAMED = KeyId("nightly"), KeyId("7b0c1f5e-3c5d-4b8e-9a57-2f6d1c0e8a41")
CONTEXT = {"datastore": "tank", "ä": '"\\\x00\x1f\x7f\u2028\U0001f511'}
PLAIN = b"open sesame"
MUTATIONS = int(os.environ.get("SECRETD_BLOB_MUTATIONS", "3000"))
"""How many are tried; the long form is 100,000."""

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CONTEXTS = st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=8)


def opened(blob: bytes, context: dict[str, str] | None = None, material: bytes = MATERIAL) -> bytes | None:
    sealer = peek_blob(blob)
    if sealer is None:
        return None
    return open_blob(material, sealer, spell_context(CONTEXT if context is None else context), blob)


def sealed(key: KeyId = NAMED, version: int = 7, plain: bytes = PLAIN) -> bytes:
    return seal_blob(MATERIAL, key, version, spell_context(CONTEXT), plain)


@given(CONTEXTS)
def test_a_context_is_spelt_as_the_page_says(context: dict[str, str]) -> None:
    assert spell_context(context) == page.context(context)


@given(CONTEXTS, CONTEXTS)
def test_no_two_contexts_are_spelt_alike(one: dict[str, str], other: dict[str, str]) -> None:
    assert (spell_context(one) == spell_context(other)) == (one == other)


@pytest.mark.parametrize("key", [NAMED, UUID_NAMED, KeyId("abc"), KeyId("a" * 32)])
@pytest.mark.parametrize("length", [1, 32, limits.VALUE_BYTES])
@pytest.mark.parametrize("version", [1, 2**32 - 1])
def test_what_is_sealed_opens(key: KeyId, length: int, version: int) -> None:
    blob = seal_blob(MATERIAL, key, version, spell_context(CONTEXT), bytes(length))
    sealer = peek_blob(blob)
    assert sealer is not None
    assert (sealer.key, sealer.version) == (key, version)
    assert len(blob) == 37 + len(key) + length <= limits.BLOB_BYTES
    assert opened(blob) == bytes(length)
    nonce = blob[sealer.end : sealer.end + 12]
    assert blob == page.blob(MATERIAL, key, version, nonce, CONTEXT, bytes(length))


def test_one_of_the_second_writer_opens() -> None:
    blob = page.blob(MATERIAL, NAMED, 7, b"n" * 12, CONTEXT, PLAIN)
    assert opened(blob) == PLAIN


@pytest.mark.parametrize(
    "context",
    [
        pytest.param({}, id="none"),
        pytest.param({"datastore": "tank"}, id="a pair missing"),
        pytest.param({**CONTEXT, "more": ""}, id="a pair more"),
        pytest.param({**CONTEXT, "datastore": "tanks"}, id="another text"),
        pytest.param({"tank": "datastore", "ä": CONTEXT["ä"]}, id="the other way round"),
    ],
)
def test_it_does_not_open_with_another_context(context: dict[str, str]) -> None:
    assert opened(sealed(), context) is None


def test_it_does_not_open_by_other_bytes() -> None:
    assert opened(sealed(), material=bytes(32)) is None


def test_two_of_one_text_have_nothing_in_common() -> None:
    one, other = sealed(), sealed()
    assert one[:16] == other[:16]
    assert one[16:28] != other[16:28]


def malformed() -> Iterator[tuple[str, bytes]]:
    blob = sealed()
    yield "empty", b""
    yield "nothing behind its magic", b"sdb\x01"
    yield "no magic", b"sdc" + blob[3:]
    yield "another format", b"sdb\x02" + blob[4:]
    yield "without a length", blob[:4] + b"\x00" + blob[5:]
    yield "an id that is too short", blob[:4] + b"\x02" + blob[5:7] + blob[12:]
    yield "an id that is none", blob.replace(b"nightly", b"night y")
    yield "an id that is not ASCII", blob.replace(b"nightly", b"nightl\xff")
    yield "a UUID in the other case", sealed(UUID_NAMED).replace(UUID_NAMED.encode(), UUID_NAMED.upper().encode())
    yield "no version", blob[:12] + bytes(4) + blob[16:]
    yield "nothing in it", blob[: 16 + 28]
    yield "more in it than may be", blob + bytes(limits.VALUE_BYTES)
    yield "cut within its id", blob[:8]


@pytest.mark.parametrize("blob", [pytest.param(blob, id=name) for name, blob in malformed()])
def test_what_is_no_blob_says_nothing(blob: bytes) -> None:
    assert peek_blob(blob) is None


@pytest.mark.parametrize("key", [NAMED, UUID_NAMED])
def test_no_bit_of_it_can_be_another(key: KeyId) -> None:
    blob = sealed(key)
    for place in range(8 * len(blob)):
        changed = bytearray(blob)
        changed[place // 8] ^= 1 << place % 8
        assert opened(bytes(changed)) is None


def mutated(chance: random.Random, blobs: list[bytes]) -> bytes:
    """Change a blob at random: bytes, its length, or parts of it for those of another."""
    blob = bytearray(chance.choice(blobs))
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(blob) + 1)
        match chance.randrange(5):
            case 0:
                blob[start : start + 1] = bytes([chance.randrange(256)])
            case 1:
                del blob[start : start + chance.randint(1, 8)]
            case 2:
                blob[start:start] = chance.randbytes(chance.randint(1, 8))
            case 3:
                other = chance.choice(blobs)
                blob[start : start + 8] = other[start : start + 8]
            case _:
                end = chance.randrange(len(blob) + 1)
                blob[start:end] = blob[start:end][::-1]
    return bytes(blob)


def test_no_random_change_of_one_opens() -> None:
    chance = random.Random(7)
    blobs = [sealed(key, version) for key in (NAMED, UUID_NAMED) for version in (7, 8) for _ in range(4)]
    done = 0
    while done < MUTATIONS:
        blob = mutated(chance, blobs)
        if blob in blobs:
            continue
        assert opened(blob) is None
        done += 1
    assert done
