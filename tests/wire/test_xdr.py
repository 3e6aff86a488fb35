"""XDR: what is read of which bytes, and what is refused."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd.wire import xdr
from secretd.wire.xdr import Decoder, XdrError

MANY = 2**32 - 1
Read = Callable[[Decoder], object]

READ = [
    pytest.param("00000007", Decoder.int32, 7, id="int32"),
    pytest.param("ffffffff", Decoder.int32, -1, id="int32-below-zero"),
    pytest.param("80000000", Decoder.int32, -(2**31), id="int32-least"),
    pytest.param("ffffffff", Decoder.uint32, MANY, id="uint32-most"),
    pytest.param("fffffffffffffffe", Decoder.int64, -2, id="int64-below-zero"),
    pytest.param("ffffffffffffffff", Decoder.uint64, 2**64 - 1, id="uint64-most"),
    pytest.param("3ff8000000000000", Decoder.double, 1.5, id="double"),
    pytest.param("0001020304050607", lambda decoder: decoder.fixed(8), bytes(range(8)), id="fixed"),
    pytest.param("00000000", lambda decoder: decoder.opaque(0), b"", id="opaque-of-nothing"),
    pytest.param("0000000161000000", lambda decoder: decoder.opaque(1), b"a", id="opaque-of-one"),
    pytest.param("0000000361620000", lambda decoder: decoder.opaque(3), b"ab\0", id="opaque-holds-a-nul"),
    pytest.param("0000000461626364", lambda decoder: decoder.opaque(4), b"abcd", id="opaque-without-padding"),
    pytest.param("0000000161ffffff", lambda decoder: decoder.opaque(1), b"a", id="padding-may-be-anything"),
    pytest.param("00000003fffe0000", lambda decoder: decoder.string(3), b"\xff\xfe", id="string-is-bytes"),
    pytest.param("0000000461006200", lambda decoder: decoder.string(4), b"a", id="string-ends-at-its-first-nul"),
    pytest.param("0000000100000000", lambda decoder: decoder.string(1), b"", id="string-begins-with-its-end"),
    pytest.param("00000000", Decoder.optional, False, id="not-there"),
    pytest.param("00000001", Decoder.optional, True, id="there"),
    pytest.param("ffffffff", Decoder.optional, True, id="there-for-any-other-number"),
    pytest.param("00000000", lambda decoder: decoder.count(0, 12), 0, id="count-of-none"),
]


@pytest.mark.parametrize(("data", "read", "expected"), READ)
def test_what_is_read(data: str, read: Read, expected: object) -> None:
    whole = bytes.fromhex(data)
    assert read(Decoder(whole)) == expected
    assert read(Decoder(b"before" + whole + b"behind", 6)) == expected
    for end in range(len(whole)):
        with pytest.raises(XdrError):
            read(Decoder(whole[:end]))


def test_one_thing_is_read_after_the_other() -> None:
    decoder = Decoder(xdr.string(b"a") + xdr.uint32(2) + xdr.uint64(3) + xdr.opaque(b"") + xdr.int32(-4))
    read = (decoder.string(9), decoder.count(2, 8), decoder.uint64(), decoder.opaque(0), decoder.int32())
    assert read == (b"a", 2, 3, b"", -4)
    with pytest.raises(XdrError):
        decoder.fixed(4)


def test_nothing_is_read_behind_the_end() -> None:
    for read in (Decoder.int32, lambda decoder: decoder.fixed(0)):
        with pytest.raises(XdrError, match="too early"):
            read(Decoder(b"abcd", 5))


REFUSED = [
    pytest.param("0000000261620000", lambda decoder: decoder.opaque(1), "length", id="opaque-over-its-bound"),
    pytest.param("0000000261000000", lambda decoder: decoder.string(1), "length", id="string-over-its-bound"),
    pytest.param("ffffffff61000000", lambda decoder: decoder.opaque(MANY), "too early", id="opaque-of-4-gib"),
    pytest.param("0000000000000000", lambda decoder: decoder.fixed(12), "too early", id="fixed-over-the-bytes"),
    pytest.param("00000003" + "00" * 12, lambda decoder: decoder.count(2, 4), "count", id="count-over-its-bound"),
    pytest.param("00000003" + "00" * 11, lambda decoder: decoder.count(3, 4), "count", id="count-over-the-bytes"),
    pytest.param("ffffffff" + "00" * 12, lambda decoder: decoder.count(MANY, 4), "count", id="count-of-4-gib"),
]


@pytest.mark.parametrize(("data", "read", "message"), REFUSED)
def test_what_is_refused_costs_nothing(data: str, read: Read, message: str) -> None:
    decoder = Decoder(bytes.fromhex(data))
    tracemalloc.start()
    try:
        with pytest.raises(XdrError, match=message):
            read(decoder)
        assert tracemalloc.get_traced_memory()[1] < 65_536
    finally:
        tracemalloc.stop()


def test_a_count_that_the_bytes_have_room_for() -> None:
    assert Decoder(xdr.uint32(3) + bytes(12)).count(3, 4) == 3


WRITTEN = [
    pytest.param(xdr.int32(-1), "ffffffff", id="int32"),
    pytest.param(xdr.uint32(MANY), "ffffffff", id="uint32"),
    pytest.param(xdr.int64(-2), "fffffffffffffffe", id="int64"),
    pytest.param(xdr.uint64(258), "0000000000000102", id="uint64"),
    pytest.param(xdr.opaque(b""), "00000000", id="opaque-of-nothing"),
    pytest.param(xdr.opaque(b"abc"), "0000000361626300", id="opaque-of-three"),
    pytest.param(xdr.opaque(b"abcd"), "0000000461626364", id="opaque-of-four"),
    pytest.param(xdr.opaque(b"abcde"), "000000056162636465000000", id="opaque-of-five"),
    pytest.param(xdr.string("é"), "00000002c3a90000", id="string"),
    pytest.param(xdr.string(b"\xff"), "00000001ff000000", id="string-of-bytes"),
    pytest.param(xdr.string("\udcff"), "00000001ff000000", id="string-that-was-no-text"),
    pytest.param(xdr.optional_string(None), "00000000", id="no-string"),
    pytest.param(xdr.optional_string("a"), "000000010000000161000000", id="a-string"),
]


@pytest.mark.parametrize(("written", "expected"), WRITTEN)
def test_what_is_written(written: bytes, expected: str) -> None:
    assert written.hex() == expected


# Properties.


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, MANY), st.integers(-(2**63), 2**63 - 1))
def test_numbers_come_back(small: int, word: int, large: int) -> None:
    decoder = Decoder(xdr.int32(small) + xdr.uint32(word) + xdr.int64(large) + xdr.uint64(large % 2**64))
    assert (decoder.int32(), decoder.uint32(), decoder.int64()) == (small, word, large)
    assert decoder.uint64() == large % 2**64


@given(st.binary(max_size=40), st.text().filter(lambda text: "\0" not in text) | st.none())
def test_bytes_and_texts_come_back(data: bytes, text: str | None) -> None:
    written = xdr.opaque(data) + xdr.optional_string(text)
    assert len(written) % 4 == 0
    decoder = Decoder(written)
    assert decoder.opaque(40) == data
    assert (decoder.string(len(written)).decode() if decoder.optional() else None) == text


READERS: dict[str, Read] = {
    "int32": Decoder.int32,
    "uint32": Decoder.uint32,
    "int64": Decoder.int64,
    "uint64": Decoder.uint64,
    "double": Decoder.double,
    "fixed": lambda decoder: decoder.fixed(16),
    "opaque": lambda decoder: decoder.opaque(MANY),
    "string": lambda decoder: decoder.string(MANY),
    "optional": Decoder.optional,
    "count": lambda decoder: decoder.count(MANY, 1),
}


def times_read(read: Read, data: bytes) -> int:
    """Read the same kind of thing until it is refused, and say how often that went well."""
    decoder = Decoder(data)
    for times in range(len(data) + 1):
        try:
            read(decoder)
        except XdrError:
            return times
    raise AssertionError("reading does not end")


@given(st.binary(max_size=60) | st.lists(st.integers(0, 20)).map(lambda words: b"".join(map(xdr.uint32, words))))
def test_any_bytes_are_read_or_refused_and_each_thing_read_takes_some(data: bytes) -> None:
    for read in READERS.values():
        assert times_read(read, data) <= len(data) / 4
