"""Resealing: in the background and while serving, brings every record under the current keyring version.

A record keeps its name and its change counter, so no digest changes.  Each is replaced only if it is still the
one that was opened; one that a change replaced in the meantime is under the current version by that.  There is no
progress to be kept: after a crash a new pass skips what was done.  A version that nothing is sealed by any more
can be retired.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from secretd import limits
from secretd.core.ephemeral import EphemeralSecrets
from secretd.core.keyuses import KeyUses
from secretd.core.kinds import SEALED, USES
from secretd.core.sealing import Seal
from secretd.core.walking import records_of
from secretd.crypto import envelope
from secretd.errors import OperationInvalidError, SealError, StoreCorruptError, StoreError
from secretd.store.base import Put, RevisionConflict, RevisionIs, Store
from secretd.store.reading import Record

_log = logging.getLogger(__name__)

_KINDS = tuple(kind for kind in SEALED if kind != USES)
"""A count of uses is sealed by the version that it counts."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far resealing is.

    Attributes:
        running: whether it goes on now.
        resealed: how many records it has brought to the current version since it began.
        damaged: how many records do not open, and are left as they are.
    """

    running: bool = False
    resealed: int = 0
    damaged: int = 0


class Resealing:
    """The resealing of one daemon's records."""

    def __init__(self, store: Store, seal: Seal, uses: KeyUses, ephemeral: EphemeralSecrets) -> None:
        self._store = store
        self._seal = seal
        self._uses = uses
        self._ephemeral = ephemeral
        self._task: asyncio.Task[None] | None = None
        self._progress = Progress()

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._progress

    def start(self) -> None:
        """Begin, if there is anything to do and it has not begun."""
        several = any(len(keyring.versions) > 1 for keyring in self._seal.keyrings.values())
        if several and (self._task is None or self._task.done()):
            self._progress = Progress(running=True)
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End it where it is; nothing is half done."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def retire(self) -> None:
        """Drop the versions that nothing is sealed by.

        Raises:
            OperationInvalidError: records are still sealed by an older version.
            SealError, StoreError: what Seal.retire raises.
        """
        await self._ephemeral.reseal(self._uses)
        async for _ in self._outdated():
            self.start()
            raise OperationInvalidError("records are still sealed by an older version; seal-status says how many")
        await self._seal.retire()
        await self._uses.forget_retired()

    async def _run(self) -> None:
        try:
            await self._ephemeral.reseal(self._uses)
            while await self._pass():
                # Something was changed under it: another pass looks whether it is done now.
                pass
            _log.info("resealed", extra={"records": self._progress.resealed, "damaged": self._progress.damaged})
        except (SealError, StoreError) as error:
            _log.warning("resealing stopped, and goes on at the next start", extra={"reason": error.message})
        finally:
            self._count(running=False)

    async def _pass(self) -> bool:
        """Reseal what there is; say whether something was missed."""
        self._count(damaged=0)
        missed = False
        batch: list[Record] = []
        async for record in self._outdated():
            batch.append(record)
            if len(batch) == limits.RESEAL_RECORDS or sum(len(each.value) for each in batch) > limits.RESEAL_BYTES:
                missed |= await self._replace(batch)
                batch = []
        return await self._replace(batch) or missed

    async def _replace(self, batch: list[Record]) -> bool:
        await self._uses.reserve(len(batch))
        puts = [put for put in map(self._sealed_anew, batch) if put is not None]
        revisions = {record.key: record.revision for record in batch}
        if not puts:
            return False
        try:
            await self._store.commit(puts, [RevisionIs(put.key, revisions[put.key]) for put in puts])
        except RevisionConflict:
            return True
        self._count(resealed=self._progress.resealed + len(puts))
        return False

    def _sealed_anew(self, record: Record) -> Put | None:
        try:
            return Put(record.key, envelope.reseal(self._seal.keyrings, record.key, record.value))
        except StoreCorruptError:
            self._count(damaged=self._progress.damaged + 1)
            return None

    async def _outdated(self) -> AsyncIterator[Record]:
        """Give the records that an older version seals, in the order of their keys."""
        for kind in _KINDS:
            async for record in records_of(self._store, kind, limits.RESEAL_PAGE):
                if self._is_outdated(record):
                    yield record

    def _is_outdated(self, record: Record) -> bool:
        try:
            header = envelope.peek(record.value)
        except StoreCorruptError:
            return True
        return header.version != self._seal.keyrings[header.domain].current

    def _count(self, *, running: bool = True, resealed: int | None = None, damaged: int | None = None) -> None:
        before = self._progress
        self._progress = Progress(
            running,
            before.resealed if resealed is None else resealed,
            before.damaged if damaged is None else damaged,
        )
