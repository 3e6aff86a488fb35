"""The seal: gets the root key from a slot, opens the keyrings with it, and says what to do if it cannot.

While sealed nothing is touched: no key, keyring or record is made, changed or deleted.  New ones are made only
for a store that never held anything.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from secretd import limits
from secretd.core.sealcopies import FilePlace, SealCopies, StorePlace
from secretd.crypto.envelope import Domain
from secretd.crypto.keyring import Keyring
from secretd.crypto.sealfile import SealFile
from secretd.crypto.slots import SlotKind, SlotLocation, read_slot_key
from secretd.errors import SealError, StoreError
from secretd.model import SealState, SealStatus
from secretd.store.base import RevisionConflict, Store
from secretd.store.durable import create_durably


class SealFiles(NamedTuple):
    """The seal files of both domains."""

    shared: SealFile
    node: SealFile


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
        self._store = store
        self._slots = slots
        self._uid = uid
        shared_places = (FilePlace(keyring_directory / "shared"), StorePlace(store))
        node_places = (FilePlace(keyring_directory / "node"), FilePlace(keyring_directory / "node.copy"))
        self._shared = SealCopies(Domain.SHARED, shared_places)
        self._node = SealCopies(Domain.NODE, node_places)
        self._keyrings: Mapping[Domain, Keyring] | None = None
        self._status = SealStatus(SealState.SEALED, "the root key was not looked for yet")

    @property
    def status(self) -> SealStatus:
        """The state of the seal."""
        return self._status

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
            files, root_key = await self._files_and_root_key()
            keyrings = {
                Domain.SHARED: files.shared.open_keyring(root_key),
                Domain.NODE: files.node.open_keyring(root_key),
            }
            # Node first: whoever finds the shared one may rely on the other.
            await self._node.write(files.node)
            await self._shared.write(files.shared)
        except (SealError, StoreError) as error:
            self._status = SealStatus(SealState.SEALED, error.message, slots=self._status.slots)
        except RevisionConflict:
            self._status = SealStatus(SealState.SEALED, "another daemon changed the keyring just now")
        else:
            self._keyrings = keyrings
            self._status = SealStatus(
                SealState.OPEN,
                keyring_version=keyrings[Domain.SHARED].current,
                slots=tuple(slot.kind.value for slot in files.shared.slots),
            )
        return self._status

    def wipe(self) -> None:
        """Seal: overwrite the keys in memory."""
        for keyring in (self._keyrings or {}).values():
            keyring.wipe()
        self._keyrings = None
        self._status = SealStatus(SealState.SEALED, "the daemon is stopping")

    async def _files_and_root_key(self) -> tuple[SealFiles, bytes]:
        shared, node = await self._shared.read(), await self._node.read()
        if shared is not None and node is not None:
            return SealFiles(shared, node), self._root_key(shared)
        if await self._store.revision() > 0 or shared is not None:
            raise SealError("the store has records, but its keyring is gone: restore the keyring directory")
        return self._make(node)

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
        kinds = ", ".join(sorted(kind.value for kind in enrolled))
        raise SealError("; ".join(reasons) or f"the keyring opens by {kinds}, which the configuration does not name")

    def _make(self, node: SealFile | None) -> tuple[SealFiles, bytes]:
        """Make what a store that never held anything needs; goes on where a first start was cut short."""
        slot = self._enrol()
        root_key = secrets.token_bytes(limits.ROOT_KEY_BYTES) if node is None else node.open_root(*slot)
        if node is None:
            node, _ = SealFile.create(Domain.NODE, root_key, [slot])
        shared, _ = SealFile.create(Domain.SHARED, root_key, [slot])
        return SealFiles(shared, node), root_key

    def _enrol(self) -> tuple[SlotKind, bytes]:
        """Read the key of the first slot there is; a local file is made if nothing is there."""
        for location in self._slots:
            if location.kind is SlotKind.LOCAL_FILE and not location.path.exists():
                _make_local_file(location.path)
            elif not location.path.exists():
                continue
            return location.kind, read_slot_key(location, self._uid)
        raise SealError("there is no root key credential, and the configuration names no other slot")


def _make_local_file(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_durably(path, secrets.token_bytes(limits.ROOT_KEY_BYTES))
    except OSError:
        raise SealError("the root key file cannot be made: may the daemon write the configuration directory?") from None
