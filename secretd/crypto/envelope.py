"""Sealed records: what the store keeps of attributes and values.

A record is sealed for one name and one change counter.  One that was moved, relabelled, swapped, flipped or cut
does not open, and says which: no byte of it is given out.  That it is the *newest* state of its object is not
proved here; the core compares counters.

Source: docs/storage-format.md, "A sealed record".
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from secretd import limits
from secretd.crypto.box import OVERHEAD_BYTES, open_box, seal_box
from secretd.crypto.keyring import Domain, Keyring
from secretd.errors import SealError, StoreCorruptError

__all__ = ["HEADER_BYTES", "Domain", "Header", "Opened", "first_counter", "open_record", "peek", "reseal", "seal"]

_FORMAT: Final = 1
_HEADER: Final = struct.Struct(">BBIQ")
_NAME_LENGTH: Final = struct.Struct(">H")
_LABEL: Final = b"secretd record\x00"
_DOMAINS: Final = {domain.value: domain for domain in Domain}
_FIRST_COUNTERS: Final = 2**62
_COUNTER_MOST: Final = 2**64 - 1

HEADER_BYTES: Final = _HEADER.size


@dataclass(frozen=True, slots=True)
class Header:
    """What a record says of itself in the clear; true only once the record has opened."""

    domain: Domain
    version: int
    counter: int


@dataclass(slots=True, eq=False)
class Opened:
    """A record that opened: its header, proved, and its plaintext, which the repr hides.

    Not frozen, as to make one that is takes three times as long, and each read of a value makes one.
    """

    counter: int
    domain: Domain
    version: int
    plaintext: bytes = field(repr=False)


def first_counter() -> int:
    """Choose the change counter of a new object: random, from 1 to 2^62 - 1; each change adds one.

    An object that is deleted and made again so never meets a counter, nor a digest, that it had before.
    """
    return secrets.randbelow(_FIRST_COUNTERS - 1) + 1


def seal(keyring: Keyring, name: bytes, counter: int, plaintext: bytes) -> bytes:
    """Seal a record under the keyring's current version.

    Args:
        keyring: the keyring of the domain the record belongs to.
        name: the record's key in the store, 1 to limits.STORE_KEY_BYTES bytes.
        counter: the object's change counter, 1 to 2^64 - 1.
        plaintext: what to seal.

    Raises:
        SealError: the keyring was wiped.
    """
    if not 0 < counter <= _COUNTER_MOST:
        raise RuntimeError("a change counter has 64 bits and is not 0")
    version = keyring.current
    header = _HEADER.pack(_FORMAT, keyring.domain.value, version, counter)
    return header + seal_box(keyring.cipher(version), plaintext, _associated(header, name))


def peek(sealed: bytes) -> Header:
    """Read a record's header without opening it: nothing of it is proved.

    Raises:
        StoreCorruptError: the record is cut short, or its header is none of this format.
    """
    return Header(*_read_header(sealed))


def _read_header(sealed: bytes) -> tuple[Domain, int, int]:
    if len(sealed) < HEADER_BYTES + OVERHEAD_BYTES:
        raise StoreCorruptError("the record is cut short")
    record_format, number, version, counter = _HEADER.unpack_from(sealed)
    if record_format != _FORMAT:
        raise StoreCorruptError("the record has a format that is not known")
    domain = _DOMAINS.get(number)
    if domain is None:
        raise StoreCorruptError("the record names a sealing domain that is not known")
    if not version or not counter:
        raise StoreCorruptError("the record's header has a zero where none may be")
    return domain, version, counter


def open_record(keyrings: Mapping[Domain, Keyring], name: bytes, sealed: bytes) -> Opened:
    """Open a record that was read under ``name``.

    Args:
        keyrings: the open keyring of each sealing domain.
        name: the key in the store that the record was read under.
        sealed: the record.

    Raises:
        StoreCorruptError: the record is not what was sealed for this name; says in which way.
        SealError: the keyring of the record's sealing domain is not among ``keyrings``, or was wiped.
    """
    domain, version, counter = _read_header(sealed)
    keyring = keyrings.get(domain)
    if keyring is None:
        raise SealError("the keyring that sealed the record is not open here")
    associated = _associated(sealed[:HEADER_BYTES], name)
    plaintext = open_box(keyring.cipher(version), sealed[HEADER_BYTES:], associated)
    if plaintext is None:
        raise StoreCorruptError("the record does not open: it was changed, moved or relabelled")
    return Opened(counter, domain, version, plaintext)


def reseal(keyrings: Mapping[Domain, Keyring], name: bytes, sealed: bytes) -> bytes:
    """Seal a record again as it is, under the current version of the keyring that it was sealed by.

    Args:
        keyrings, name, sealed: as for open_record.

    Raises:
        StoreCorruptError, SealError: as for open_record.
    """
    opened = open_record(keyrings, name, sealed)
    return seal(keyrings[opened.domain], name, opened.counter, opened.plaintext)


def _associated(header: bytes, name: bytes) -> bytes:
    if not 0 < len(name) <= limits.STORE_KEY_BYTES:
        raise RuntimeError("the name of a record is empty or too long")
    return b"".join((_LABEL, header, _NAME_LENGTH.pack(len(name)), name))
