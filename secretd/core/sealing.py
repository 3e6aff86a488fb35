"""The seal: gets the root key from a slot, opens the keyrings with it, and says what to do if it cannot.

While sealed nothing is touched: no key, keyring or record is made, changed or deleted.  New ones are made only
for a store that never held anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from secretd import limits
from secretd.core.adoption import NODE_FILES, SHARED_FILE, Adoption
from secretd.core.sealcopies import FilePlace, SealCopies, StorePlace
from secretd.crypto.envelope import Domain
from secretd.crypto.keyring import Keyring
from secretd.crypto.sealfile import SealFile
from secretd.crypto.slots import SlotLocation, is_missing, judge_directory, read_slot_key
from secretd.errors import SealError, SecretdError, StoreError, StoreOutcomeUnknownError
from secretd.model import SealState, SealStatus, SlotKind
from secretd.store.base import RevisionConflict, Store
from secretd.store.durable import create_durably, make_directory, remove_left_overs

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Opened:
    """The seal file of each domain that is to stand in all its places, and the root key that opens them."""

    shared: SealFile
    node: SealFile
    root_key: bytes = field(repr=False)
    made_now: bool = False


@dataclass(frozen=True, slots=True)
class Foreign:
    """The opened keyrings of another store."""

    opened: _Opened
    keyrings: Mapping[Domain, Keyring]

    def wipe(self) -> None:
        """Overwrite the keys, if they are not to be adopted."""
        for keyring in self.keyrings.values():
            keyring.wipe()


class Seal:
    """The seal of one daemon; sealed until ``open`` succeeds."""

    def __init__(self, store: Store, keyring_directory: Path, slots: Sequence[SlotLocation], uid: int) -> None:
        """Prepare; nothing is read yet.

        Args:
            store: holds the second copy of the shared domain's seal file.
            keyring_directory: holds the other copies.
            slots: where slot keys may be, in the order they are tried; the first there is enrolled at first start.
            uid: whom the daemon runs as.
        """
        self.directory = keyring_directory
        self._store = store
        self._slots = slots
        self._uid = uid
        shared_places = (FilePlace(keyring_directory / SHARED_FILE), StorePlace(store))
        node_places = tuple(FilePlace(keyring_directory / name) for name in NODE_FILES)
        self._shared = SealCopies(Domain.SHARED, shared_places)
        self._node = SealCopies(Domain.NODE, node_places)
        self._adoption = Adoption(keyring_directory, store)
        self._keyrings: Mapping[Domain, Keyring] | None = None
        self._replacing = asyncio.Lock()
        self._status = SealStatus(SealState.SEALED, "the root key was not looked for yet")

    @property
    def status(self) -> SealStatus:
        """The state of the seal."""
        return self._status

    @property
    def places(self) -> tuple[str, ...]:
        """Where slot keys are looked for: paths, for the log and not for peers."""
        return tuple(str(location.path) for location in self._slots)

    @property
    def keyrings(self) -> Mapping[Domain, Keyring]:
        """The open keyring of each domain.

        Raises:
            SealError: the daemon is sealed.
        """
        if self._keyrings is None:
            raise SealError(f"the daemon is sealed: {self._status.reason}")
        return self._keyrings

    def require_open(self) -> None:
        """Insist that the keyrings are open.

        Raises:
            SealError: the daemon is sealed; says why and what to do.
        """
        _ = self.keyrings

    async def open(self) -> SealStatus:
        """Try once to open the keyrings; makes them if the store never held anything."""
        try:
            opened = await self._open_files()
            keyrings = {
                Domain.SHARED: opened.shared.open_keyring(opened.root_key),
                Domain.NODE: opened.node.open_keyring(opened.root_key),
            }
            await self._keep(opened)
        except (SealError, StoreError) as error:
            self._status = SealStatus(SealState.SEALED, error.message, slots=self._status.slots)
        else:
            self._use(keyrings, opened)
            self._remove_left_overs()
        return self._status

    async def rotate(self) -> None:
        """Give both keyrings a new version, which seals from now on.

        Raises:
            SealError: the root key cannot be had, or a copy of a keyring cannot be written; nothing was changed.
            StoreError: likewise.
        """
        await self._replace(Keyring.rotated)

    async def retire(self) -> None:
        """Drop all versions but the current ones; who calls this knows that they seal nothing any more.

        Raises:
            SealError, StoreError: as for rotate.
        """
        await self._replace(Keyring.retired)

    async def _replace(self, change: Callable[[Keyring], Keyring]) -> None:
        """Change both keyrings, on disk first. The root key is got anew, as it is not kept."""
        async with self._replacing:
            opened = await self._open_files()
            node, shared = (
                change(opened.node.open_keyring(opened.root_key)),
                change(opened.shared.open_keyring(opened.root_key)),
            )
            try:
                await self._node.write(opened.node.with_keyring(node, opened.root_key))
                await self._shared.write(opened.shared.with_keyring(shared, opened.root_key))
            except RevisionConflict:
                raise SealError("another daemon changed the keyring just now") from None
            self._use({Domain.SHARED: shared, Domain.NODE: node}, opened)

    def open_foreign(self, shared: bytes, node: bytes) -> Foreign:
        """Open the seal files of another store by the slots of this daemon, and give their keyrings a new version.

        The old ones may go on to seal where the files are from, and how often they were used since is not known.

        Raises:
            SealError: they are no seal files, or no slot of this daemon opens them.
        """
        shared_file, root_key = self._open_shared(SealFile.parse(shared))
        node_file = SealFile.parse(node)
        if (shared_file.domain, node_file.domain) != (Domain.SHARED, Domain.NODE):
            raise SealError("the keyrings are not those of a store and its node")
        files, keyrings = {}, {}
        for file in (shared_file, node_file):
            before = file.open_keyring(root_key)
            keyrings[file.domain] = before.rotated()
            files[file.domain] = file.with_keyring(keyrings[file.domain], root_key)
            before.wipe()
        return Foreign(_Opened(files[Domain.SHARED], files[Domain.NODE], root_key), keyrings)

    async def adopt(self, foreign: Foreign, load: Callable[[bytes], Awaitable[T]]) -> T:
        """Take the keyrings of another store in the place of these, together with its records.

        Args:
            foreign: the keyrings.
            load: puts the records into the store, the shared seal file that it is given among them; all or nothing.

        Raises:
            SealError, StoreError: nothing was changed, unless it is StoreOutcomeUnknownError: a start finds out.
        """
        opened = foreign.opened
        async with self._replacing:
            shared = opened.shared.to_bytes()
            self._adoption.begin(shared, opened.node.to_bytes())
            try:
                loaded = await load(shared)
            except StoreOutcomeUnknownError:
                raise
            except SecretdError:
                # Surely not made. After anything else the next start looks whether it was.
                self._adoption.end()
                raise
            try:
                await self._adoption.finish()
            except (SealError, StoreError):
                # The records are there, and what opens them is not in all its places yet: the next start goes on.
                self._close("a restore was made, but the keyring's copies cannot be written: restart the daemon")
                raise
            self._use(foreign.keyrings, opened)
            return loaded

    def uses(self, foreign: Foreign) -> bool:
        """Whether these keyrings were adopted, and are in use."""
        return self._keyrings is foreign.keyrings

    @asynccontextmanager
    async def standing(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Hold off rotations, and give both seal files, the shared one first, as they are and were proved.

        Raises:
            SealError, StoreError: as for rotate.
        """
        async with self._replacing:
            opened = await self._open_files()
            yield opened.shared.to_bytes(), opened.node.to_bytes()

    def _use(self, keyrings: Mapping[Domain, Keyring], opened: _Opened) -> None:
        for keyring in (self._keyrings or {}).values():
            keyring.wipe()
        self._keyrings = keyrings
        self._status = SealStatus(
            SealState.OPEN,
            keyring_version=keyrings[Domain.SHARED].current,
            slots=tuple(slot.kind for slot in opened.shared.slots),
        )

    def wipe(self) -> None:
        """Seal: overwrite the keys in memory."""
        self._close("the daemon is stopping")

    def _close(self, reason: str) -> None:
        for keyring in (self._keyrings or {}).values():
            keyring.wipe()
        self._keyrings = None
        self._status = SealStatus(SealState.SEALED, reason)

    async def _keep(self, opened: _Opened) -> None:
        """Bring all copies up to what was opened; what was made just now counts only once it stands everywhere."""
        try:
            # Node first: whoever finds the shared one may rely on the other.
            await self._node.write(opened.node, first_time=opened.made_now)
            await self._shared.write(opened.shared, first_time=opened.made_now)
        except RevisionConflict:
            raise SealError("another daemon changed the keyring just now") from None
        except (SealError, StoreError) as error:
            if opened.made_now:
                raise
            _log.warning("a copy of the keyring is not up to date", extra={"reason": error.message})

    async def _open_files(self) -> _Opened:
        await self._adoption.finish()
        shared_copies, node_copies = await self._shared.read(), await self._node.read()
        store_is_new = await self._store.revision() == 0
        if shared_copies and store_is_new:
            raise SealError(
                "the keyring belongs to a store that is not there: bring the store back, or to begin anew without its"
                " secrets, remove the keyring directory"
            )
        if shared_copies and node_copies:
            shared, root_key = _first(shared_copies, self._open_shared)
            node = _first(node_copies, lambda node: _proved(node, root_key))
            return _Opened(shared, node, root_key)
        if not store_is_new:
            raise SealError("the store has records, but its keyring is gone: restore the keyring directory")
        return self._make(node_copies)

    def _remove_left_overs(self) -> None:
        """Remove what a first start that was cut short left of a root key beside the key itself."""
        for location in self._slots:
            if location.kind is SlotKind.LOCAL_FILE:
                with contextlib.suppress(OSError):
                    remove_left_overs(location.path)

    def _open_shared(self, seal_file: SealFile) -> tuple[SealFile, bytes]:
        root_key = self._root_key(seal_file)
        return _proved(seal_file, root_key), root_key

    def _root_key(self, seal_file: SealFile) -> bytes:
        """Get the root key from the first slot that gives it."""
        enrolled = {slot.kind for slot in seal_file.slots}
        reasons = []
        for location in self._slots:
            if location.kind not in enrolled:
                continue
            try:
                return seal_file.open_root(location.kind, read_slot_key(location, self._uid))
            except SealError as error:
                reasons.append(error.message)
        if not reasons:
            kinds = ", ".join(sorted(kind.value for kind in enrolled))
            reasons.append(f"the keyring opens by {kinds}, which is not configured or was not handed to the daemon")
        raise SealError("; ".join(reasons))

    def _make(self, node_copies: Sequence[SealFile]) -> _Opened:
        """Make what a store that never held anything needs; goes on where a first start was cut short."""
        slot = self._enrol()
        if node_copies:
            node, root_key = _first(node_copies, lambda node: (node, node.open_root(*slot)))
        else:
            root_key = secrets.token_bytes(limits.ROOT_KEY_BYTES)
            node, _ = SealFile.create(Domain.NODE, root_key, [slot])
        shared, _ = SealFile.create(Domain.SHARED, root_key, [slot])
        _log.info("making keyrings for a new store", extra={"slot": slot[0].value})
        return _Opened(shared, node, root_key, made_now=True)

    def _enrol(self) -> tuple[SlotKind, bytes]:
        """Read the key of the first slot there is; a local file is made if nothing is there."""
        for location in self._slots:
            if is_missing(location):
                if location.kind is not SlotKind.LOCAL_FILE:
                    continue
                _make_local_file(location, self._uid)
            return location.kind, read_slot_key(location, self._uid)
        raise SealError("there is no root key credential, and the configuration names no other slot")


def _first(copies: Sequence[SealFile], attempt: Callable[[SealFile], T]) -> T:
    """Give what the newest copy gives that can be opened: a newer one may be damaged or forged.

    Raises:
        SealError: what the newest said, if none can be opened.
    """
    failures = []
    for copy in copies:
        try:
            return attempt(copy)
        except SealError as error:
            failures.append(error)
    raise failures[0]


def _proved(seal_file: SealFile, root_key: bytes) -> SealFile:
    seal_file.open_keyring(root_key).wipe()
    return seal_file


def _make_local_file(location: SlotLocation, uid: int) -> None:
    try:
        make_directory(location.directory)
        judge_directory(location, uid)
        create_durably(location.path, secrets.token_bytes(limits.ROOT_KEY_BYTES))
        _log.warning("made a root key: keep a copy of it", extra={"path": str(location.path)})
    except OSError:
        raise SealError("the root key file cannot be made: may the daemon write its directory?") from None
