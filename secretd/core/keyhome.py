"""Where keys are kept, as the operations on them see it: who only tries a request stands in for it.

Source: docs/keys.md; docs/storage-format.md, "Keys".
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from secretd.core.keyform import Key
from secretd.core.keystates import state_of
from secretd.core.lifecycle import DAY_S
from secretd.keys import KeyId, KeyState
from secretd.lifecycle import Reference, ReferenceKind
from secretd.model import Digest

DEFAULT_CONSUMER: Final = "default-key"
"""Who needs the default key."""

_NEVER: Final = 2**64
_VERSION: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A key as it is kept.

    Attributes:
        key: all of it but its bytes.
        counter: the change counter of its record.
        name: what the names of its records have in common, 32 bytes.
        state: what it can be used for.
        rotates: when it gets a new version by itself, in seconds since 1970.
        newest: what names the records of the version that seals.
    """

    key: Key
    counter: int
    name: bytes
    state: KeyState = field(init=False)
    rotates: int = field(init=False)
    newest: bytes = field(init=False)

    def __post_init__(self) -> None:
        days = self.key.document.rotation
        # A first version may have been made elsewhere, long before it came here: its period begins here.
        since = self.key.versions[-1].created if self.key.version > 1 else self.key.created
        rotates = _NEVER if days is None else since + days * DAY_S
        object.__setattr__(self, "state", state_of(self.key))
        object.__setattr__(self, "rotates", rotates)
        object.__setattr__(self, "newest", self.named(self.key.version))

    def named(self, version: int) -> bytes:
        """Give what names the records of a version."""
        return self.name + _VERSION.pack(version)


class KeyHome(ABC):
    """The keys of one store. Nothing is changed but in ``hold``, and on disk first."""

    @abstractmethod
    def require_read(self) -> None:
        """Insist that it is known which keys there are.

        Raises:
            SealError: the daemon is sealed, or was until just now.
            StoreUnavailableError: they could not be read.
        """

    @abstractmethod
    def require_in_force(self) -> None:
        """Insist that the keys are those that there are, and in these states.

        Raises:
            SealError, StoreUnavailableError: as for ``require_read``.
            StoreCorruptError: the store is not whole.
        """

    @abstractmethod
    def find(self, key: KeyId) -> Kept | None:
        """Give the key with this id."""

    @abstractmethod
    def is_free(self, key: KeyId) -> bool:
        """Whether nothing has this id, or ever had it."""

    @abstractmethod
    def since(self, marker: KeyId | None) -> Iterator[Kept]:
        """Give the keys with ids from ``marker`` on, in their order."""

    @property
    @abstractmethod
    def default(self) -> KeyId | None:
        """Which key is used where none is named."""

    @abstractmethod
    def may_be_default(self, key: KeyId) -> bool:
        """Whether it is this one, or that cannot be read."""

    @abstractmethod
    def digest(self, kept: Kept) -> Digest:
        """Give the digest by which a change names a key as it is."""

    @abstractmethod
    async def uses(self, kept: Kept) -> int:
        """Say how often the version that seals did so, at most."""

    @abstractmethod
    def hold(self) -> AbstractAsyncContextManager[None]:
        """Hold off all other changes of keys."""

    @abstractmethod
    async def create(self, key: Key, material: bytes) -> Kept:
        """Keep a new key of one version, whose bytes these are; ``is_free`` was asked."""

    @abstractmethod
    async def replace(self, before: Kept, after: Key) -> Kept:
        """Keep a key otherwise, with the same versions."""

    @abstractmethod
    async def rotate(self, before: Kept) -> Kept:
        """Give a key a new version."""

    @abstractmethod
    async def destroy(self, before: Kept) -> None:
        """Keep nothing of a key but that its id is taken."""

    @abstractmethod
    async def set_default(self, key: KeyId | None) -> None:
        """Have this key used where none is named."""

    @abstractmethod
    def take_use(self, kept: Kept) -> bool:
        """Count one use of the version that seals; False if that is to be renewed before."""

    @abstractmethod
    async def renew(self, kept: Kept) -> None:
        """Give the version that seals more uses, or the key a new one if its time is over or no use is left.

        Who called it looks for the key anew.
        """

    @abstractmethod
    async def material(self, kept: Kept, version: int) -> bytes:
        """Give the bytes of a version that there is, for use at once.

        Raises:
            RevisionConflict: the key is no longer as it was.
            StoreCorruptError: they do not open.
        """


def references_of(home: KeyHome, kept: Kept) -> tuple[Reference, ...]:
    """List who needs a key: the default key has one consumer more."""
    references = kept.key.lifecycle.references
    if not home.may_be_default(kept.key.id):
        return references
    default = Reference(DEFAULT_CONSUMER, ReferenceKind.ACTIVE)
    return tuple(sorted([*references, default], key=lambda one: one.consumer))
