"""Taking over another store's keyrings: in files here, and in the store, at one moment, whatever a crash does.

The store's part is one commit, which puts the shared seal file among the records that it seals.  Both seal files are
written to a file of intent before it.  Whether that commit was made can then be seen at any later time, by whether
the store has that seal file, and what is missing of the other files is written.

Source: docs/storage-format.md, "Where the seal files are".
"""

from __future__ import annotations

from pathlib import Path

from secretd import limits
from secretd.core.kinds import KEYRING
from secretd.crypto import canonical
from secretd.errors import SealError, StoreCorruptError
from secretd.store.base import Store
from secretd.store.durable import read_bounded, remove_durably, write_durably

SHARED_FILE = "shared"
NODE_FILES = ("node", "node.copy")
MARK_FILE = "high-water"

_INTENT = "restoring"
_MOST_BYTES = 3 * limits.KEYRING_BYTES


class Adoption:
    """What may have been begun in one keyring directory."""

    def __init__(self, directory: Path, store: Store) -> None:
        self._directory = directory
        self._path = directory / _INTENT
        self._store = store

    def begin(self, shared: bytes, node: bytes) -> None:
        """Write down which seal files are to be taken over, before the store gets its records.

        Raises:
            SealError: that cannot be written.
        """
        try:
            write_durably(self._path, canonical.base64(shared).encode() + b"\n" + canonical.base64(node).encode())
        except OSError:
            raise SealError("the keyring directory cannot be written: is it full or read-only?") from None

    async def finish(self) -> None:
        """Do what is missing of what was begun: all if the store has the records, nothing if it has not.

        Raises:
            SealError: the files cannot be read or written; it can be tried again.
            StoreError: what Store.get raises.
        """
        intended = self._read()
        if intended is None:
            return
        shared, node = intended
        record = await self._store.get(KEYRING)
        if record is not None and record.value == shared:
            self._write(shared, node)
        self.end()

    def end(self) -> None:
        """Forget what was begun.

        Raises:
            SealError: that cannot be written.
        """
        try:
            remove_durably(self._path)
        except OSError:
            raise SealError("the keyring directory cannot be written: is it read-only?") from None

    def _read(self) -> tuple[bytes, bytes] | None:
        try:
            data = read_bounded(self._path, _MOST_BYTES)
        except (OSError, StoreCorruptError):
            raise SealError("a restore was begun, and what was meant cannot be read: restore once more") from None
        if data is None:
            return None
        shared, _, node = data.decode("ascii", "replace").partition("\n")
        return canonical.unbase64(shared, None, _INTENT), canonical.unbase64(node, None, _INTENT)

    def _write(self, shared: bytes, node: bytes) -> None:
        try:
            # The mark is authentic by the keyring before; one that is missing is made anew.
            remove_durably(self._directory / MARK_FILE)
            for name in NODE_FILES:
                write_durably(self._directory / name, node)
            write_durably(self._directory / SHARED_FILE, shared)
        except OSError:
            raise SealError("a copy of the keyring cannot be written: is its directory full or read-only?") from None
