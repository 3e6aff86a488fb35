"""The head of the store: which records it has, kept up in every commit.

It stands for all records but itself and the seal file, which may change while the keyring is closed and whose copies
prove each other.

Its methods run where the store commits, one at a time: in the store's thread or on the event loop.  They share nothing
with what else runs there but a key that only ``wipe`` changes.

Source: docs/storage-format.md, "The set-hash and the head"; docs/adr/0011.
"""

from __future__ import annotations

from collections.abc import Iterable

from secretd.core.kinds import HEAD, KEYRING
from secretd.crypto.keyring import Keyring
from secretd.crypto.sethash import Head, SetHash
from secretd.errors import StoreCorruptError
from secretd.store.reading import Reading
from secretd.store.summary import Replacement, Summary

_LEFT_OUT = frozenset({HEAD, KEYRING})


class HeadKeeper(Summary):
    """Keeps the head of one store, by the key of its shared keyring."""

    key = HEAD

    def __init__(self, keyring: Keyring) -> None:
        self._set_hash = SetHash(keyring)
        self._of_nothing = False
        self._newest: tuple[bytes, int] = (b"", 0)

    def begin_with_nothing(self) -> None:
        """Take it that the store has no record yet that counts, so that the next commit makes its first head."""
        self._of_nothing = True

    def of(self, records: Iterable[tuple[bytes, bytes]], revision: int) -> bytes:
        """Make the head of a store that has these records."""
        total = 0
        for key, value in records:
            total = self.added(total, key, value)
        return self._set_hash.seal(Head(revision, total))

    def after(self, before: bytes | None, replacements: Iterable[Replacement], revision: int) -> bytes:
        """Make the head that follows from the one before.

        Raises:
            StoreCorruptError: that one is gone, or does not open.
        """
        counted = [replacement for replacement in replacements if replacement.key not in _LEFT_OUT]
        if not counted and not self._opens(before):
            # The keyring must be able to change, also where the head cannot: to accept a loss rotates it.
            return before or b""
        total = self._total(before)
        for replacement in counted:
            if replacement.before is not None:
                total = self._set_hash.removed(total, replacement.key, replacement.before)
            if replacement.after is not None:
                total = self._set_hash.added(total, replacement.key, replacement.after)
        sealed = self._set_hash.seal(Head(revision, total))
        self._newest = sealed, total
        return sealed

    def _opens(self, sealed: bytes | None) -> bool:
        try:
            self._total(sealed)
        except StoreCorruptError:
            return False
        return True

    def _total(self, sealed: bytes | None) -> int:
        if sealed is not None:
            self._of_nothing = False
            # Nearly always the head is the one that was sealed last, and says what was sealed: the same bytes.
            newest, total = self._newest
            return total if sealed == newest else self._set_hash.open(sealed).total
        if not self._of_nothing:
            raise StoreCorruptError("the store's head is gone; accept the store as it is with store-accept")
        return 0

    def added(self, total: int, key: bytes, value: bytes) -> int:
        """Give a set-hash with one record more, if it is one that counts."""
        return total if key in _LEFT_OUT else self._set_hash.added(total, key, value)

    async def read(self, reading: Reading) -> Head | None:
        """Give the head of a store or of a snapshot; None if there is none.

        Raises:
            StoreCorruptError: it does not open.
            StoreError: what Reading.get raises.
        """
        record = await reading.get(HEAD)
        return self._set_hash.open(record.value) if record is not None else None

    def wipe(self) -> None:
        """Overwrite the key; commits are refused from now on."""
        self._newest = b"", 0
        self._set_hash.wipe()
