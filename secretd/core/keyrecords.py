"""The records of keys, as they are read: what opens each, and that it belongs where it was found.

Source: docs/storage-format.md, "What stands in the store" and "Keys".
"""

from __future__ import annotations

import struct

from secretd import limits
from secretd.core import keyform as form
from secretd.core.keyform import Key, Tombstone, Version
from secretd.core.kinds import KEY
from secretd.core.sealing import Seal
from secretd.crypto import envelope
from secretd.crypto.envelope import Domain
from secretd.errors import StoreCorruptError
from secretd.keys import KeyId, key_id_of
from secretd.store.reading import Record

_NAME_LABEL = b"secretd key"
_COUNT = struct.Struct(">Q")


class KeyRecords:
    """Opens the records of keys, and seals them."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def name_of(self, key: KeyId) -> bytes:
        """Give what the names of a key's records have in common, 32 bytes that tell nothing."""
        return self._seal.keyrings[Domain.SHARED].mac(_NAME_LABEL, key.encode())

    def sealed(self, name: bytes, counter: int, plaintext: bytes) -> bytes:
        """Seal a record."""
        return envelope.seal(self._seal.keyrings[Domain.SHARED], name, counter, plaintext)

    def sealed_count(self, name: bytes, count: int) -> bytes:
        """Seal the count of a version's uses."""
        return self.sealed(name, envelope.first_counter(), _COUNT.pack(count))

    def key_in(self, record: Record) -> Key | Tombstone:
        """Open the record of a key.

        Raises:
            StoreCorruptError: it does not open, or is not the one of this name.
        """
        read = form.from_bytes(self._open(record.key, record.value).plaintext)
        if KEY + self.name_of(read.id) != record.key:
            raise StoreCorruptError("a key is kept under another key's name")
        return read

    def default_in(self, record: Record) -> KeyId:
        """Open the record that says which key is the default.

        Raises:
            StoreCorruptError: it does not open, or names no key.
        """
        text = self._open(record.key, record.value).plaintext.decode("latin-1")
        key = key_id_of(text)
        if key is None or key != text:
            raise StoreCorruptError("the default key is in a form this version does not know")
        return key

    def count_in(self, record: Record) -> int:
        """Open the count of a version's uses.

        Raises:
            StoreCorruptError: it does not open.
        """
        plaintext = self._open(record.key, record.value).plaintext
        if len(plaintext) != _COUNT.size:
            raise StoreCorruptError("the count of a key's uses is in a form this version does not know")
        (count,) = _COUNT.unpack(plaintext)
        return int(count)

    def material_in(self, name: bytes, sealed: bytes, version: Version) -> bytes:
        """Open the bytes of a version.

        Raises:
            StoreCorruptError: they do not open, or are not those that the key's record speaks of.
        """
        opened = self._open(name, sealed)
        if (
            opened.counter != version.material
            or opened.domain is not Domain.SHARED
            or len(opened.plaintext) != limits.KEY_BYTES
        ):
            raise StoreCorruptError("the bytes of a key are not those that its record speaks of")
        return opened.plaintext

    def _open(self, name: bytes, sealed: bytes) -> envelope.Opened:
        return envelope.open_record(self._seal.keyrings, name, sealed)
