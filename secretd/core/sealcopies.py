"""The two copies of a domain's seal file: the newest that can be read counts, and the other is brought up to it.

A keyring lost is every secret lost, so each seal file stands in two places.  A change is written to the first
place before the second; whichever a crash leaves behind, the higher generation is the one that was meant.
The shared domain's second place is the store; the node's own keyring never goes there, for other nodes may
read the store.

Only when they are made the order is the other one.  Nothing is sealed yet then, and so a copy outside the store
proves that the store held one: without it, an empty store in place of a lost one would look like a first start.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from secretd import limits
from secretd.core.kinds import KEYRING
from secretd.crypto.envelope import Domain
from secretd.crypto.sealfile import SealFile
from secretd.errors import SealError, SecretdError, StoreCorruptError, StoreError
from secretd.store.base import Put, RevisionIs, Store
from secretd.store.durable import make_directory, read_bounded, write_durably


class Place(ABC):
    """Where one copy stands."""

    @abstractmethod
    async def read(self) -> bytes | None:
        """Give the copy, or None if there is none."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Replace the copy, durably."""


class FilePlace(Place):
    """A copy in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> bytes | None:
        """Give the file's bytes.

        Raises:
            SealError: the file cannot be read.
        """
        try:
            return read_bounded(self._path, limits.KEYRING_BYTES)
        except (OSError, StoreCorruptError):
            raise SealError("the keyring's copies cannot be read: restore the keyring directory") from None

    async def write(self, data: bytes) -> None:
        """Replace the file; makes its directory.

        Raises:
            SealError: the file cannot be written.
        """
        try:
            make_directory(self._path.parent)
            write_durably(self._path, data)
        except OSError:
            raise SealError("a copy of the keyring cannot be written: is its directory full or read-only?") from None


class StorePlace(Place):
    """A copy in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._revision = 0

    async def read(self) -> bytes | None:
        """Give the record's bytes."""
        record = await self._store.get(KEYRING)
        self._revision = record.revision if record else 0
        return record.value if record else None

    async def write(self, data: bytes) -> None:
        """Replace the record that was read last."""
        self._revision = await self._store.commit([Put(KEYRING, data)], [RevisionIs(KEYRING, self._revision)])


class SealCopies:
    """The copies of one domain's seal file, in the order in which they are written."""

    def __init__(self, domain: Domain, places: Sequence[Place]) -> None:
        self._domain = domain
        self._places = places
        self._found: list[bytes | None] = [None] * len(places)

    async def read(self) -> list[SealFile]:
        """Give the copies that can be read, the newest first; none of them is proved yet.

        Raises:
            SealError, StoreError: there are copies, but none of them can be read.
        """
        self._found = [None] * len(self._places)
        files: list[SealFile] = []
        failures: list[SecretdError] = []
        for index, place in enumerate(self._places):
            try:
                self._found[index] = data = await place.read()
                if data is not None:
                    files.append(_parse(self._domain, data))
            except (SealError, StoreError) as error:
                failures.append(error)
        if failures and not files:
            raise failures[0]
        return sorted(files, key=lambda file: file.generation, reverse=True)

    async def write(self, seal_file: SealFile, *, first_time: bool = False) -> None:
        """Bring every copy that is not this one up to it.

        Args:
            seal_file: one that was opened or just made.
            first_time: whether it was just made: then the last place comes first (see the module).

        Raises:
            SealError, StoreError: a copy cannot be written.
            RevisionConflict: somebody else changed the store's copy since it was read.
        """
        data = seal_file.to_bytes()
        places = list(enumerate(self._places))
        for index, place in reversed(places) if first_time else places:
            if self._found[index] != data:
                await place.write(data)
                self._found[index] = data


def _parse(domain: Domain, data: bytes) -> SealFile:
    file = SealFile.parse(data)
    if file.domain is not domain:
        raise SealError("a copy of the keyring is another domain's")
    return file
