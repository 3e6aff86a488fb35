"""A secret as the core holds it, and the two kinds of place it can be at home.

A SecretState is all of a secret but its value: the attributes, and the change counters that bind its records
together and make its digest.  A Home keeps secrets: the persistent ones sealed in the store, the ephemeral
ones sealed in memory.  Both do the same, so that operations need not know which they speak to.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from secretd import operations as ops
from secretd.core.access import Target
from secretd.crypto.envelope import Domain, first_counter
from secretd.crypto.keyring import Keyring
from secretd.lifecycle import NOTHING_BEFELL, Lifecycle, OutOfUse
from secretd.model import Attributes, Digest, SecretValue, Usage

_ENTRY_BYTES = 200
"""An entry without its usage id, with every attribute at its longest, takes fewer bytes at any door."""

_OUT_OF_USE_BYTES = 30
"""So many more takes why it is out of use."""

_ESCAPED = "&<>\"'\t\n\r"
_ANY_ESCAPED = re.compile(f"[{_ESCAPED}]")
_ESCAPE_BYTES = 5
"""What a door may have to write at length in a usage id, and how many bytes more that takes."""

NO_VALUE = 0
"""The value counter of a secret that has no value; no counter ever takes it."""


@dataclass(slots=True, eq=False)
class Shown:
    """What a list shows of a secret in one state.

    Attributes:
        entry: what is shown.
        most_bytes: a door writes the entry in fewer bytes.
    """

    entry: ops.Entry
    most_bytes: int


@dataclass(slots=True)
class SecretState:
    """All of a secret but its value.

    Nobody changes what it is. It is not frozen, as to make one that is takes twice as long, and each cold read
    makes one.

    Attributes:
        id, attributes: as the model has them.
        counter: the change counter of the attributes record.
        value_counter: the change counter of the value record, or NO_VALUE.
        revision: of the attributes record in the store; 0 where there is no store.
        lifecycle: what befell it; NOTHING_BEFELL itself if that is nothing.
        target: the secret as access judges it, each time that anybody asks for it.
        digested: its digest, and whose it is: most are asked for again and again.
        shown: what a list showed of it last, with that digest.
    """

    id: UUID
    attributes: Attributes
    counter: int
    value_counter: int
    revision: int = 0
    lifecycle: Lifecycle = NOTHING_BEFELL
    target: Target = field(init=False, repr=False, compare=False)
    digested: tuple[Keyring, Digest] | None = field(default=None, init=False, repr=False, compare=False)
    shown: Shown | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.target = Target(self.id, self.attributes)

    @property
    def has_value(self) -> bool:
        """Whether the secret has a value."""
        return self.value_counter != NO_VALUE


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a secret is to be.

    Attributes:
        attributes: all of them.
        value: its new value; None for the one that it has, if any.
        lifecycle: what befell it.
    """

    attributes: Attributes
    value: SecretValue | None = None
    lifecycle: Lifecycle = NOTHING_BEFELL


@dataclass(frozen=True, slots=True)
class StatePage:
    """Secrets in the order of their ids.

    Attributes:
        states: those that open.
        next_start: the id at which the next page starts, if there is one.
        damaged: how many do not open.
    """

    states: tuple[SecretState, ...]
    next_start: UUID | None
    damaged: int = 0


def value_domain(attributes: Attributes) -> Domain:
    """Say whose keyring seals the value: a private or an ephemeral one never leaves this node."""
    return Domain.NODE if attributes.private or attributes.ephemeral else Domain.SHARED


def next_state(before: SecretState | None, secret: UUID, wanted: Wanted, *, new_value: bool) -> SecretState:
    """Give the state after a change: the counters of what is written go on, or start where none ever was."""
    counter = before.counter + 1 if before else first_counter()
    value_counter = before.value_counter if before else NO_VALUE
    if new_value:
        value_counter = value_counter + 1 if value_counter != NO_VALUE else first_counter()
    # One object for nearly all, which is known by being that.
    lifecycle = wanted.lifecycle if wanted.lifecycle != NOTHING_BEFELL else NOTHING_BEFELL
    return SecretState(secret, wanted.attributes, counter, value_counter, lifecycle=lifecycle)


def digest_of(keyrings: Mapping[Domain, Keyring], state: SecretState) -> Digest:
    """Give the digest by which a change names this state of a secret; made once, and again under another keyring."""
    keyring = keyrings[Domain.SHARED]
    if state.digested is not None and state.digested[0] is keyring:
        return state.digested[1]
    digest = keyring.digest(state.id, state.counter, state.value_counter)
    state.digested = keyring, digest
    state.shown = None
    return digest


def shown_of(keyrings: Mapping[Domain, Keyring], state: SecretState) -> Shown:
    """Give what a list shows of a secret; it is made once for each digest."""
    digest = digest_of(keyrings, state)
    if state.shown is not None:
        return state.shown
    entry = ops.Entry(*said_of(state, digest))
    shown = Shown(entry, _most_bytes(entry))
    state.shown = shown
    return shown


def said_of(state: SecretState, digest: Digest) -> tuple[UUID, Digest, bool, bool, bool, Usage | None, OutOfUse | None]:
    """Give what a list and an event say of a secret: the fields of operations.Entry, in their order."""
    attributes = state.attributes
    out_of_use = state.lifecycle.out_of_use
    return state.id, digest, attributes.ephemeral, attributes.private, state.has_value, attributes.usage, out_of_use


def _most_bytes(entry: ops.Entry) -> int:
    usage = _written_bytes(entry.usage.id) if entry.usage else 0
    return _ENTRY_BYTES + usage + (_OUT_OF_USE_BYTES if entry.out_of_use else 0)


def _written_bytes(text: str) -> int:
    escaped = sum(map(text.count, _ESCAPED)) if _ANY_ESCAPED.search(text) else 0
    return len(text.encode()) + _ESCAPE_BYTES * escaped


class Home(ABC):
    """Where secrets are kept.

    A change is made against the state that it was decided on: a home that finds another one raises
    RevisionConflict, and nothing is changed.
    """

    @abstractmethod
    def at_hand(self, secret: UUID) -> SecretState | None:
        """Give the secret with this id, if that takes no wait; None if it is not here, or is not known to be."""

    @abstractmethod
    async def find(self, secret: UUID) -> SecretState | None:
        """Give the secret with this id."""

    @abstractmethod
    async def find_by_usage(self, usage: Usage) -> SecretState | None:
        """Give the secret that has this usage."""

    @abstractmethod
    async def page(self, start: UUID, most: int) -> StatePage:
        """Give at most ``most`` secrets with ids from ``start`` on."""

    @abstractmethod
    async def version(self) -> int | None:
        """Give a number that is higher whenever a page may be another; None where that is not known."""

    @abstractmethod
    async def read_value(self, state: SecretState) -> SecretValue:
        """Open the value of a secret that has one."""

    @abstractmethod
    async def put(self, before: SecretState | None, secret: UUID, wanted: Wanted, creator: int) -> SecretState:
        """Keep a secret: new, and the creator's, if ``before`` is None."""

    @abstractmethod
    async def owner(self, secret: UUID) -> int:
        """Say which uid a secret that is kept here is counted for."""

    @abstractmethod
    async def remove(self, state: SecretState, *, buried: int | None = None) -> None:
        """Forget a secret and its value; with the moment at which it is buried, let no other ever have its id."""

    @abstractmethod
    async def is_buried(self, secret: UUID) -> bool:
        """Say whether this id was that of a secret that was buried."""

    @abstractmethod
    async def count(self) -> int:
        """Say how many secrets there are; a kept number."""

    @abstractmethod
    async def count_out_of_use(self) -> int:
        """Say how many of them lists leave out; a kept number."""
