"""The padding of values, so that a record's length tells only which of six sizes its value has.

Opening is strict: the size must be the least that holds the value, and every byte of padding zero, so that a value has
one padded form only.

Source: docs/storage-format.md, "A value".
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from typing import Final

from secretd.errors import StoreCorruptError
from secretd.model import SecretValue

SIZES: Final = (64, 256, 1_024, 4_096, 16_384, 65_536)
"""What a value is padded to, in bytes; the last is limits.VALUE_BYTES."""

_LENGTH: Final = struct.Struct(">I")


def pad(value: SecretValue) -> bytes:
    """Give the plaintext that is sealed for ``value``: 4 bytes of length, the value, and zero bytes."""
    return _LENGTH.pack(len(value)) + value.reveal().ljust(_size_for(len(value)), b"\x00")


def unpad(plaintext: bytes) -> SecretValue:
    """Give the value that pad() made ``plaintext`` of.

    Raises:
        StoreCorruptError: pad() makes no such plaintext.
    """
    size = len(plaintext) - _LENGTH.size
    if size not in SIZES:
        raise StoreCorruptError("the record's padded size is none that a value has")
    (length,) = _LENGTH.unpack_from(plaintext)
    if not 0 < length <= size or _size_for(length) != size:
        raise StoreCorruptError("the value's length does not fit its padded size")
    end = _LENGTH.size + length
    if plaintext.count(0, end) != size - length:
        raise StoreCorruptError("the value's padding is not zero")
    return SecretValue(memoryview(plaintext)[_LENGTH.size : end])


def _size_for(length: int) -> int:
    return SIZES[bisect_left(SIZES, length)]
