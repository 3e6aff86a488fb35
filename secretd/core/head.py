"""The head of the store: which records it has, and which grants and keys, kept up in every commit.

It stands for all records but itself and the seal file, which may change while the keyring is closed and whose copies
prove each other.

Its methods run where the store commits, one at a time: in the store's thread or on the event loop.  They share nothing
with what else runs there but a key that only ``wipe`` changes.

Source: docs/storage-format.md, "The set-hash and the head"; docs/adr/0011.
"""

from __future__ import annotations

from collections.abc import Iterable

from secretd.core.kinds import HEAD, KEYRING, STANDING
from secretd.crypto.keyring import Keyring
from secretd.crypto.sethash import Head, SetHash
from secretd.errors import StoreCorruptError
from secretd.store.reading import Reading
from secretd.store.summary import Replacement, Summary

_LEFT_OUT = frozenset({HEAD, KEYRING})
_OF_NOTHING = Head(0, 0, 0)


class HeadKeeper(Summary):
    """Keeps the head of one store, by the key of its shared keyring."""

    key = HEAD

    def __init__(self, keyring: Keyring) -> None:
        self._set_hash = SetHash(keyring)
        self._of_nothing = False
        self._newest = b"", _OF_NOTHING

    def begin_with_nothing(self) -> None:
        """Take it that the store has no record yet that counts, so that the next commit makes its first head."""
        self._of_nothing = True

    def of(self, records: Iterable[tuple[bytes, bytes]], revision: int) -> bytes:
        """Make the head of a store that has these records."""
        total = standing = 0
        for key, value in records:
            total = self.added(total, key, value)
            standing = self.added_standing(standing, key, value)
        return self._set_hash.seal(Head(revision, total, standing))

    def after(self, before: bytes | None, replacements: Iterable[Replacement], revision: int) -> bytes:
        """Make the head that follows from the one before.

        Raises:
            StoreCorruptError: that one is gone, or does not open.
        """
        counted = [replacement for replacement in replacements if replacement.key not in _LEFT_OUT]
        if not counted and not self._opens(before):
            # The keyring must be able to change, also where the head cannot: to accept a loss rotates it.
            return before or b""
        old = self._opened(before)
        total = self._replaced(old.total, counted)
        standing = self._replaced(old.standing, (each for each in counted if each.key.startswith(STANDING)))
        head = Head(revision, total, standing)
        sealed = self._set_hash.seal(head)
        self._newest = sealed, head
        return sealed

    def _replaced(self, total: int, replacements: Iterable[Replacement]) -> int:
        for replacement in replacements:
            if replacement.before is not None:
                total = self._set_hash.removed(total, replacement.key, replacement.before)
            if replacement.after is not None:
                total = self._set_hash.added(total, replacement.key, replacement.after)
        return total

    def _opens(self, sealed: bytes | None) -> bool:
        try:
            self._opened(sealed)
        except StoreCorruptError:
            return False
        return True

    def _opened(self, sealed: bytes | None) -> Head:
        if sealed is not None:
            self._of_nothing = False
            # Nearly always the head is the one that was sealed last, and says what was sealed: the same bytes.
            newest, head = self._newest
            return head if sealed == newest else self._set_hash.open(sealed)
        if not self._of_nothing:
            raise StoreCorruptError("the store's head is gone; accept the store as it is with store-accept")
        return _OF_NOTHING

    def added(self, total: int, key: bytes, value: bytes) -> int:
        """Give a set-hash with one record more, if it is one that counts."""
        return total if key in _LEFT_OUT else self._set_hash.added(total, key, value)

    def added_standing(self, standing: int, key: bytes, value: bytes) -> int:
        """Give the set-hash of what is read whole at a start with one record more, if it is of that."""
        return self._set_hash.added(standing, key, value) if key.startswith(STANDING) else standing

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
        self._newest = b"", _OF_NOTHING
        self._set_hash.wipe()
