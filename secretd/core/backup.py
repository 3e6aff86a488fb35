"""Backup: gives out all that is stored, sealed as it is, at one revision, a part at a time.

The records are read from a snapshot, so changes go on beside it.  A store that lacks something is not backed up: the
records are held against the head as they are read, and the last part, without which a backup is none, is not given
if they are not those that were last written.

Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from secretd import limits, storerequests
from secretd.core.backupfile import Header, Writer
from secretd.core.inflight import InFlight
from secretd.core.kinds import ATTRIBUTES, GRANT, HEAD, KEYRING, SEALED
from secretd.core.parts import Unfinished
from secretd.core.sealing import Seal
from secretd.core.walking import records_of
from secretd.core.wholeness import Wholeness
from secretd.crypto import envelope
from secretd.crypto.envelope import Domain
from secretd.errors import StoreCorruptError
from secretd.model import Caller, SecretValue
from secretd.store.base import Store
from secretd.store.reading import Record


@dataclass(slots=True)
class _Progress:
    revision: int = 0
    records: int = 0
    total: int = 0
    damaged: int = 0
    secrets: int = 0
    grants: int = 0


@dataclass(slots=True)
class _Backup:
    """One that is under way: what was made of it, and not given out yet."""

    pieces: AsyncGenerator[bytes, None]
    progress: _Progress
    waiting: bytearray = field(default_factory=bytearray)
    made: bool = False

    async def part(self) -> bytes:
        """Give the next part."""
        # One byte more than it takes shows whether it is the last.
        while not self.made and len(self.waiting) <= limits.VALUE_BYTES:
            piece = await anext(self.pieces, None)
            self.made = piece is None
            self.waiting += piece or b""
        part = bytes(self.waiting[: limits.VALUE_BYTES])
        del self.waiting[: limits.VALUE_BYTES]
        return part

    @property
    def is_given_out(self) -> bool:
        return self.made and not self.waiting


class Backups:
    """The backups of one store."""

    def __init__(self, store: Store, seal: Seal, wholeness: Wholeness, looking_back: InFlight) -> None:
        self._store = store
        self._seal = seal
        self._wholeness = wholeness
        self._looking_back = looking_back
        self._unfinished = Unfinished[_Backup]("backup", self._give_up)
        self._closing: set[asyncio.Task[None]] = set()

    async def backup(self, _: Caller, request: storerequests.Backup) -> storerequests.BackupPart:
        """Begin a backup, or go on with one.

        Raises:
            StoreCorruptError: the store lacks something; there is no backup.
            InvalidRequestError: there is no such backup.
            BusyError: too many are under way.
        """
        if request.backup is None:
            self._wholeness.require()
            name = self._unfinished.begin()
            backup = self._begin()
        else:
            name, backup = request.backup, self._unfinished.take(request.backup)
        with self._unfinished.ending(name, backup):
            part = await backup.part()
            if not backup.is_given_out:
                self._unfinished.keep(name, backup)
        far = backup.progress
        return storerequests.BackupPart(
            name,
            SecretValue(part),
            backup.is_given_out,
            far.revision,
            far.records,
            far.total,
            far.damaged,
            far.secrets,
            far.grants,
        )

    async def stop(self) -> None:
        """Give up what is under way."""
        self._unfinished.stop()
        await asyncio.gather(*self._closing)

    def _give_up(self, backup: _Backup) -> None:
        closing = asyncio.ensure_future(backup.pieces.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _begin(self) -> _Backup:
        progress = _Progress()
        return _Backup(self._pieces(progress), progress)

    async def _pieces(self, progress: _Progress) -> AsyncGenerator[bytes, None]:
        writer = Writer()
        async with AsyncExitStack() as held:
            # No rotation comes between the seal files and the records that they open.
            async with self._seal.standing() as (shared, node):
                held.enter_context(self._looking_back.change())
                snapshot = await held.enter_async_context(self._store.snapshot())
            progress.revision = snapshot.revision
            progress.total = sum([await snapshot.count(kind) for kind in SEALED])
            yield writer.header(Header(snapshot.revision, shared, node))
            total = 0
            async for record in records_of(snapshot, b"", limits.BACKUP_PAGE):
                if record.key in (HEAD, KEYRING):
                    continue  # a restore makes them anew
                total = self._wholeness.head.added(total, record.key, record.value)
                progress.records += 1
                progress.damaged += not self._opens(record)
                progress.secrets += record.key.startswith(ATTRIBUTES)
                progress.grants += record.key.startswith(GRANT)
                yield writer.record(record.key, record.value)
            head = await self._wholeness.head.read(snapshot)
            if head is None or head.total != total:
                raise StoreCorruptError("records are missing, or are not those that were last written; see check")
            yield writer.end(self._seal.keyrings[Domain.SHARED])

    def _opens(self, record: Record) -> bool:
        try:
            envelope.open_record(self._seal.keyrings, record.key, record.value)
        except StoreCorruptError:
            return False
        return True
