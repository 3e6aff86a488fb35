"""The seal file of a sealing domain: its keyring, sealed by the root key, and the slots that lead to the root key.

A SealFile is the document as it stands at rest: everything in it is sealed or public.  Reading one proves only its
form; that it is genuine is proved by opening it.  Files are never read or written here.

Rules: one spelling only (what parses is written again as the same bytes); the keyring is bound to the document's
format, id, domain and generation, each slot to the document's id and its own kind and id.

Source: docs/storage-format.md, "The seal file".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self, TypeVar
from uuid import UUID, uuid4

from secretd import limits
from secretd.crypto import canonical
from secretd.crypto.box import KEY_BYTES, OVERHEAD_BYTES, Cipher, open_box, seal_box
from secretd.crypto.keyring import Domain, Keyring
from secretd.crypto.slots import noun_of
from secretd.errors import SealError
from secretd.model import SlotKind

T = TypeVar("T")

_FORMAT: Final = 1
_MEMBERS: Final = ("domain", "format", "generation", "id", "keyring", "slots")
_SLOT_MEMBERS: Final = ("id", "kind", "wrapped")
_WRAPPED_BYTES: Final = KEY_BYTES + OVERHEAD_BYTES
_KEYRING_LABEL: Final = b"secretd keyring\x00"
_SLOT_LABEL: Final = b"secretd slot\x00"
_DOMAINS: Final = {domain.label: domain for domain in Domain}
_KINDS: Final = {kind.value: kind for kind in SlotKind}


@dataclass(frozen=True, slots=True)
class WrappedRoot:
    """One slot: the root key, wrapped by a slot key.

    Attributes:
        id: the slot's.
        kind: where its key is kept.
        wrapped: a box of 60 bytes.
    """

    id: UUID
    kind: SlotKind
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealFile:
    """The keyring and the slots of one sealing domain, sealed.

    Attributes:
        id: the keyring's.
        domain: whose keyring it is.
        generation: grows by one with each rewrite; of two copies the higher one is meant.
        slots: at least one.
        keyring: a box.
    """

    id: UUID
    domain: Domain
    generation: int
    slots: tuple[WrappedRoot, ...]
    keyring: bytes = field(repr=False)

    @classmethod
    def create(cls, domain: Domain, root_key: bytes, slots: Iterable[tuple[SlotKind, bytes]]) -> tuple[Self, Keyring]:
        """Make a new keyring, and its seal file of generation 1.

        Args:
            domain: whose keyring it is to be.
            root_key: 32 random bytes; both domains have the same one.
            slots: the kind and the key (32 bytes) of each slot, at least one.
        """
        keyring = Keyring.generate(domain)
        wrapped = tuple(_wrap(keyring.id, kind, slot_key, root_key) for kind, slot_key in slots)
        if not wrapped:
            raise RuntimeError("a seal file without a slot could never be opened")
        return cls(keyring.id, domain, 1, wrapped, b"")._sealing(keyring, root_key), keyring

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a seal file; nothing is proved but its form.

        Raises:
            SealError: it is not exactly what to_bytes writes, or of a newer format.
        """
        document = canonical.load(data)
        if canonical.integer(document.get("format"), "format") != _FORMAT:
            raise SealError("the keyring has a newer format than this daemon knows; nothing was changed")
        fields = canonical.members(document, _MEMBERS, "members")
        seal_file = cls(
            canonical.uuid(fields["id"], "id"),
            _one_of(_DOMAINS, fields["domain"], "domain"),
            canonical.integer(fields["generation"], "generation"),
            _slots(fields["slots"]),
            canonical.unbase64(fields["keyring"], None, "keyring"),
        )
        # Compared whole: members given twice, white space and every other spelling end here.
        if seal_file.to_bytes() != data:
            raise canonical.damaged("not canonical")
        return seal_file

    def to_bytes(self) -> bytes:
        """Write the seal file.

        Raises:
            SealError: the keyring has so many versions that its seal file would exceed limits.KEYRING_BYTES.
        """
        data = canonical.dump(
            {
                **self._bound(),
                "keyring": canonical.base64(self.keyring),
                "slots": [
                    {"id": str(slot.id), "kind": slot.kind.value, "wrapped": canonical.base64(slot.wrapped)}
                    for slot in self.slots
                ],
            }
        )
        if len(data) > limits.KEYRING_BYTES:
            raise SealError("the keyring has no room for another version")
        return data

    def open_root(self, kind: SlotKind, slot_key: bytes) -> bytes:
        """Give the root key, 32 bytes, that a slot of ``kind`` wraps.

        Raises:
            SealError: there is no such slot, or none that ``slot_key`` (32 bytes) opens.
        """
        slots = [slot for slot in self.slots if slot.kind is kind]
        if not slots:
            raise SealError(f"the keyring has no slot for {noun_of(kind)}; use one of the kinds it has")
        cipher = _cipher(slot_key)
        for slot in slots:
            root_key = open_box(cipher, slot.wrapped, _slot_associated(self.id, slot.id, kind))
            if root_key is not None:
                return root_key
        raise SealError(f"{noun_of(kind)} does not open this keyring; put back the one the keyring was made with")

    def open_keyring(self, root_key: bytes) -> Keyring:
        """Open the keyring.

        Raises:
            SealError: ``root_key`` (32 bytes) does not open it: it is another's, or the document was changed.
        """
        payload = open_box(_cipher(root_key), self.keyring, self._associated())
        if payload is None:
            raise SealError("this root key does not open the keyring, or the keyring was changed")
        return Keyring.from_payload(self.domain, self.id, payload)

    def with_keyring(self, keyring: Keyring, root_key: bytes) -> Self:
        """Make the next generation, which holds ``keyring``; the slots stay.

        Raises:
            SealError: ``root_key`` is not the one that opens this seal file, or ``keyring`` was wiped.
        """
        if (keyring.id, keyring.domain) != (self.id, self.domain):
            raise RuntimeError("the keyring is another seal file's")
        # Proved first: under any other root key no slot would lead to the new keyring, and all would be lost.
        self.open_keyring(root_key).wipe()
        return replace(self, generation=self.generation + 1)._sealing(keyring, root_key)

    def _sealing(self, keyring: Keyring, root_key: bytes) -> Self:
        return replace(self, keyring=seal_box(_cipher(root_key), keyring.to_payload(), self._associated()))

    def _bound(self) -> dict[str, object]:
        return {
            "domain": self.domain.label,
            "format": _FORMAT,
            "generation": self.generation,
            "id": str(self.id),
        }

    def _associated(self) -> bytes:
        return _KEYRING_LABEL + canonical.dump(self._bound())


def _wrap(file_id: UUID, kind: SlotKind, slot_key: bytes, root_key: bytes) -> WrappedRoot:
    slot_id = uuid4()
    return WrappedRoot(slot_id, kind, seal_box(_cipher(slot_key), root_key, _slot_associated(file_id, slot_id, kind)))


def _slot_associated(file_id: UUID, slot_id: UUID, kind: SlotKind) -> bytes:
    bound = {"format": _FORMAT, "id": str(file_id), "kind": kind.value, "slot": str(slot_id)}
    return _SLOT_LABEL + canonical.dump(bound)


def _cipher(key: bytes) -> Cipher:
    # AESGCM takes 16 and 24 bytes too; here a key has 32.
    if len(key) != KEY_BYTES:
        raise SealError(f"a root key has exactly {KEY_BYTES} bytes")
    return Cipher(key)


def _slots(value: object) -> tuple[WrappedRoot, ...]:
    if not isinstance(value, list) or not value:
        raise canonical.damaged("slots")
    slots = tuple(_slot(item) for item in value)
    if len({slot.id for slot in slots}) != len(slots):
        raise canonical.damaged("slots")
    return slots


def _slot(value: object) -> WrappedRoot:
    fields = canonical.members(value, _SLOT_MEMBERS, "slot")
    return WrappedRoot(
        canonical.uuid(fields["id"], "slot id"),
        _one_of(_KINDS, fields["kind"], "slot kind"),
        canonical.unbase64(fields["wrapped"], _WRAPPED_BYTES, "slot wrapped"),
    )


def _one_of(table: Mapping[str, T], value: object, where: str) -> T:
    found = table.get(canonical.text(value, where))
    if found is None:
        raise canonical.damaged(where)
    return found
