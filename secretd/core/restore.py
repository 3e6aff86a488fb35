"""Restore: takes a backup part by part, proves it, and brings it into a store that has no secret yet.

Until the last part nothing is done but to keep the parts in a file that has no name.  Then the backup is proved whole
before anything is changed, and all of it becomes the store's in one commit.

Source: docs/backup.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from secretd import limits, storerequests
from secretd.core.backupfile import Header, check_magic, prove, read_header, read_records
from secretd.core.deletions import Deletions
from secretd.core.ephemeral import EphemeralSecrets
from secretd.core.events import Events
from secretd.core.head import HeadKeeper
from secretd.core.inflight import InFlight
from secretd.core.keyuses import KeyUses
from secretd.core.kinds import ATTRIBUTES, GRANT, KEY, KEYRING, TOMBSTONE, VERSION_USES
from secretd.core.parts import Unfinished
from secretd.core.resealing import Resealing
from secretd.core.sealing import Foreign, Seal
from secretd.core.standing import Standing
from secretd.core.wholeness import Wholeness
from secretd.crypto import envelope
from secretd.crypto.envelope import Domain
from secretd.errors import (
    InvalidRequestError,
    OperationInvalidError,
    SealError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
)
from secretd.model import Caller, SealState
from secretd.store.base import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Content:
    """What is in a backup that was proved."""

    header: Header
    foreign: Foreign
    secrets: int
    grants: int
    damaged: int


class Restores:
    """The restores of one daemon."""

    def __init__(  # noqa: PLR0913, PLR0917  # whatever has to follow when all records and keys become others
        self,
        store: Store,
        seal: Seal,
        wholeness: Wholeness,
        uses: KeyUses,
        resealing: Resealing,
        ephemeral: EphemeralSecrets,
        in_flight: InFlight,
        events: Events,
        standing: Standing,
        deletions: Deletions,
    ) -> None:
        self._store = store
        self._seal = seal
        self._wholeness = wholeness
        self._uses = uses
        self._resealing = resealing
        self._ephemeral = ephemeral
        self._in_flight = in_flight
        self._events = events
        self._standing = standing
        self._deletions = deletions
        self._unfinished = Unfinished[BinaryIO]("restore", _close)
        self._finishing: set[asyncio.Task[_Content]] = set()

    async def restore(self, _: Caller, request: storerequests.Restore) -> storerequests.RestoreTaken:
        """Take a part of a backup; with the last one restore it.

        Raises:
            OperationInvalidError: there are secrets already.
            InvalidRequestError: there is no such restore; or this is no backup, or one that is not whole, or was made
                under another root key.
            StoreError: what Store.replace_all raises; nothing was changed.
        """
        if request.restore is None:
            if not request.dry_run:
                await self._require_empty()
            name, file = self._unfinished.begin(), self._new_file()
        else:
            name, file = request.restore, self._unfinished.take(request.restore)
        with self._unfinished.ending(name, file):
            self._write(file, request.value.reveal())
            if not request.last:
                self._unfinished.keep(name, file)
                return storerequests.RestoreTaken(name)
            # A task of its own: who asked for it may go away, and it must not be left half-way.
            finishing = asyncio.ensure_future(self._finish(file, dry_run=request.dry_run))
            self._finishing.add(finishing)
            finishing.add_done_callback(self._finishing.discard)
            content = await asyncio.shield(finishing)
        return storerequests.RestoreTaken(
            name, content.header.revision, content.secrets, content.grants, content.damaged
        )

    async def _finish(self, file: BinaryIO, *, dry_run: bool) -> _Content:
        with file:
            content = await self._look_through(file)
            try:
                if not dry_run:
                    await self._bring_in(file, content)
            finally:
                if not self._seal.uses(content.foreign):
                    content.foreign.wipe()
        return content

    @property
    def any_at_its_end(self) -> bool:
        """Whether any has all its parts, and is being finished."""
        return bool(self._finishing)

    async def stop(self) -> None:
        """Give up what waits for its next part, and finish what has all of them."""
        self._unfinished.stop()
        await asyncio.gather(*self._finishing, return_exceptions=True)

    def _new_file(self) -> BinaryIO:
        try:
            return tempfile.TemporaryFile(dir=self._seal.directory)
        except OSError:
            raise _no_room() from None

    def _write(self, file: BinaryIO, part: bytes) -> None:
        if not file.tell():
            check_magic(part)
        try:
            room = os.statvfs(self._seal.directory)
            if room.f_bavail * room.f_frsize < limits.RESTORE_ROOM_BYTES:
                raise _no_room()
            file.write(part)
            file.flush()
        except OSError:
            raise _no_room() from None

    async def _look_through(self, file: BinaryIO) -> _Content:
        header = read_header(file)
        foreign = self._open_keyrings(header)
        try:
            # As long as a backup is large; nothing of it is shared with the event loop.
            return await asyncio.to_thread(_content, file, header, foreign)
        except BaseException:
            foreign.wipe()
            raise

    def _open_keyrings(self, header: Header) -> Foreign:
        try:
            return self._seal.open_foreign(header.shared, header.node)
        except SealError:
            # It is the backup that does not open: this daemon is not sealed.
            raise InvalidRequestError(
                "this backup does not open with this daemon's root key: it was made under another one, or is damaged"
            ) from None

    async def _bring_in(self, file: BinaryIO, content: _Content) -> None:
        head = HeadKeeper(content.foreign.keyrings[Domain.SHARED])

        async def load(shared: bytes) -> int:
            records = _with_seal_file(file, shared)
            return await self._store.replace_all(records, head, least_revision=content.header.revision)

        async with self._in_flight.none():
            await self._require_empty()
            await self._resealing.stop()
            try:
                with self._events.watching():
                    revision = await self._seal.adopt(content.foreign, load)
                # So many secrets come at once that only a list says which.
                self._events.lost()
                self._wholeness.take(head, revision)
                self._uses.forget_all()
                await self._standing.load(self._wholeness)
            finally:
                if self._seal.status.state is SealState.SEALED:
                    # Else those who hold something would be told more of that than all others.
                    self._standing.forget()
                self._resealing.start()
        self._deletions.begin()
        _log.warning("a backup was restored", extra={"revision": revision, "secrets": content.secrets})
        with contextlib.suppress(StoreError):
            # The next change tries again.
            await self._uses.prepare()

    async def _require_empty(self) -> None:
        if await self._store.count(ATTRIBUTES) or await self._ephemeral.count():
            raise OperationInvalidError("a backup is restored only where there is no secret yet, but there are some")
        if await self._store.count(TOMBSTONE):
            raise OperationInvalidError(
                "a backup is restored only where no secret was deleted at the end of its window, but one was"
            )
        if await self._store.count(KEY):
            raise OperationInvalidError("a backup is restored only where there never was a key, but there are some")


def _content(file: BinaryIO, header: Header, foreign: Foreign) -> _Content:
    """Prove a backup, and count what is in it, and how many of its records do not open."""
    prove(file, foreign.keyrings[Domain.SHARED])
    secrets = grants = damaged = 0
    for key, value in read_records(file):
        secrets += key.startswith(ATTRIBUTES)
        grants += key.startswith(GRANT)
        try:
            envelope.open_record(foreign.keyrings, key, value)
        except StoreCorruptError:
            damaged += 1
    return _Content(header, foreign, secrets, grants, damaged)


def _with_seal_file(file: BinaryIO, shared: bytes) -> Iterator[tuple[bytes, bytes]]:
    yield KEYRING, shared
    # How often keys were used since the backup was made is not known: without a count none seals but by a new version.
    yield from (record for record in read_records(file) if not record[0].startswith(VERSION_USES))


def _close(file: BinaryIO) -> None:
    file.close()


def _no_room() -> StoreFullError:
    return StoreFullError("there is no room for the backup beside the keyring; nothing was changed")
