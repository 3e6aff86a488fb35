"""The set-hash: one number that says which records a store has, and the head, which keeps it.

Each record gives a number by a keyed hash, and the set-hash is their sum modulo 2^256: a commit adds what it puts,
subtracts what it replaces, and never reads the others.  It is only ever shown sealed, with the revision it is true
of: whoever knew many summands could look for another set of old records with the same sum.  The head has a second one,
of the grants and the keys alone, as those are read whole at a start, and can be compared before one is in force.

It refuses a head that was not sealed by this keyring.  That a head is the newest is not proved here; the high-water
mark does that.

Source: docs/storage-format.md, "The set-hash and the head"; Clarke et al., "Incremental Multiset Hash Functions"
(ASIACRYPT 2003), MSet-Add-Hash.
"""

from __future__ import annotations

import hmac
import os
import struct
from dataclasses import dataclass, field
from typing import Final

from secretd.crypto.box import OVERHEAD_BYTES, TAG_BYTES, Cipher, open_box, seal_box
from secretd.crypto.envelope import HEADER_BYTES
from secretd.crypto.keyring import Keyring
from secretd.errors import SealError, StoreCorruptError

_KEY_LABEL: Final = b"secretd set-hash"
_MEMBER_LABEL: Final = b"member\x00"
_SALT_LABEL: Final = b"head\x00"
_HEAD_LABEL: Final = b"secretd head\x00"
_SUM_BYTES: Final = 32
_SUM_MODULUS: Final = 1 << (8 * _SUM_BYTES)
_SALT_BYTES: Final = 32
_REVISION: Final = struct.Struct(">Q")
_HEAD_BYTES: Final = _SALT_BYTES + OVERHEAD_BYTES + _REVISION.size + 2 * _SUM_BYTES


@dataclass(frozen=True, slots=True)
class Head:
    """Which records a store has at a revision.

    Attributes:
        revision: of the commit it was written in.
        total: the set-hash, 0 to 2^256 - 1; 0 is that of no record.
        standing: the set-hash of what is read whole at a start alone.
    """

    revision: int
    total: int = field(repr=False)
    standing: int = field(repr=False)


class SetHash:
    """Makes and opens set-hashes by a key of its own: one that other threads may use while the keyring is replaced."""

    __slots__ = ("_key",)

    def __init__(self, keyring: Keyring) -> None:
        """Derive the key. A rotation does not change it.

        Raises:
            SealError: the keyring was wiped.
        """
        self._key = bytearray(keyring.mac(_KEY_LABEL, b""))

    def added(self, total: int, name: bytes, record: bytes) -> int:
        """Give the set-hash with one record more.

        Args:
            total: the set-hash without it.
            name: the record's key in the store.
            record: its bytes; of whatever form, as what is damaged counts too.
        """
        return (total + self._member(name, record)) % _SUM_MODULUS

    def removed(self, total: int, name: bytes, record: bytes) -> int:
        """Give the set-hash without a record that it has; arguments as for added."""
        return (total - self._member(name, record)) % _SUM_MODULUS

    def seal(self, head: Head) -> bytes:
        """Write a head.

        Raises:
            SealError: the key was wiped.
        """
        salt = os.urandom(_SALT_BYTES)
        sums = (each.to_bytes(_SUM_BYTES, "big") for each in (head.total, head.standing))
        plaintext = b"".join((_REVISION.pack(head.revision), *sums))
        return salt + seal_box(self._cipher(salt), plaintext, _HEAD_LABEL)

    def open(self, sealed: bytes) -> Head:
        """Read a head.

        Raises:
            StoreCorruptError: it is none, or another keyring's.
            SealError: the key was wiped.
        """
        salt, box = sealed[:_SALT_BYTES], sealed[_SALT_BYTES:]
        plaintext = open_box(self._cipher(salt), box, _HEAD_LABEL) if len(sealed) == _HEAD_BYTES else None
        if plaintext is None:
            raise StoreCorruptError("the store's head does not open: it was changed, or is another store's")
        (revision,) = _REVISION.unpack_from(plaintext)
        sums = plaintext[_REVISION.size :]
        return Head(revision, *(int.from_bytes(each, "big") for each in (sums[:_SUM_BYTES], sums[_SUM_BYTES:])))

    def wipe(self) -> None:
        """Overwrite the key; every use from now on raises SealError."""
        self._key[:] = bytes(len(self._key))
        self._key.clear()

    def _member(self, name: bytes, record: bytes) -> int:
        parts = (_MEMBER_LABEL, struct.pack(">H", len(name)), name, record[:HEADER_BYTES], record[-TAG_BYTES:])
        return int.from_bytes(self._mac(b"".join(parts)), "big")

    def _cipher(self, salt: bytes) -> Cipher:
        # A key for each head, as commits have no number that the uses of a single one would be safe with.
        return Cipher(self._mac(_SALT_LABEL + salt))

    def _mac(self, message: bytes) -> bytes:
        # A copy, not the buffer: OpenSSL works on it while other threads run, and one of them may wipe the key then.
        key = bytes(self._key)
        if not any(key):
            raise SealError("the keyring is closed; the root key must open it again")
        return hmac.digest(key, message, "sha256")
