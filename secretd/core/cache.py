"""What a hot read finds without the store: opened attributes, sealed values, and where usages lead.

A value is kept as it was read, sealed: never opened.  Everything is bounded, and of no use once the keyrings are no
longer those it was read under (a rotation, a retirement, sealing).

The rules it keeps:

- A secret that is being changed has nothing here, from before the commit until its outcome is known.  One whose
  outcome never gets known has nothing here until a later change of it succeeds.
- What is kept may still be older than the store in one way: resealing writes a record anew as it was.  It is the same
  secret, but its revision is another, so a change that was decided on it conflicts; that drops it, and the next try
  reads again.
- What is here is in the store: nobody deletes a secret but by a change. So if as many are here as the store has, it is
  all of them. One that does not open is counted there, and never here.
- A usage is no proof: who follows it holds the secret against it.
- It is for a store that this daemon alone writes, and reads without a wait, as SQLite's.

Source: DESIGN, "Fast" and "In memory".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from secretd import limits
from secretd.core.keptstates import KeptStates
from secretd.core.kinds import ATTRIBUTES
from secretd.core.sealing import Seal
from secretd.core.state import SecretState, StatePage
from secretd.crypto.envelope import Domain
from secretd.crypto.keyring import Keyring
from secretd.errors import SecretdError, StoreOutcomeUnknownError
from secretd.model import Usage
from secretd.store.base import RevisionConflict
from secretd.store.reading import Record


class SecretCache:
    """The persistent secrets that were read last."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._keyrings: Mapping[Domain, Keyring] | None = None
        self._states = KeptStates()
        # By UUID.int, as there.
        self._values: OrderedDict[int, Record] = OrderedDict()
        self._value_bytes = 0
        # By the usage itself: what the store has it under takes an HMAC, as long as all the rest of a lookup.
        self._usages: OrderedDict[Usage, UUID] = OrderedDict()
        self._changing: set[int] = set()

    def state(self, secret: UUID) -> SecretState | None:
        """Give a secret, if it is here."""
        self._follow_keyrings()
        return self._states.use(secret.int)

    def page(self, start: UUID, most: int, stored: int) -> StatePage | None:
        """Give at most ``most`` secrets with ids from ``start`` on, if all are here.

        Args:
            start, most: as for Home.page.
            stored: how many the store has now.
        """
        self._follow_keyrings()
        return self._states.page(start, most) if len(self._states) == stored else None

    def version(self, stored: int) -> int | None:
        """Give a number that is higher whenever what page gives is another; None if not all secrets are here.

        Args:
            stored: how many the store has now.
        """
        self._follow_keyrings()
        return self._states.version if len(self._states) == stored else None

    def state_at(self, record: Record) -> SecretState | None:
        """Give the secret of an attributes record, if it is here as that record has it."""
        self._follow_keyrings()
        state = self._states.get(int.from_bytes(record.key[len(ATTRIBUTES) :]))
        return state if state is not None and state.revision == record.revision else None

    def value(self, secret: UUID) -> Record | None:
        """Give the sealed value of a secret, if it is here."""
        self._follow_keyrings()
        record = self._values.get(secret.int)
        if record is not None:
            self._values.move_to_end(secret.int)
        return record

    def usage(self, usage: Usage) -> UUID | None:
        """Say where a usage led, if that is known."""
        self._follow_keyrings()
        return self._usages.get(usage)

    def keep_state(self, state: SecretState) -> None:
        """Keep a secret that was read just now, without a wait since."""
        self._follow_keyrings()
        if state.id.int not in self._changing:
            self._states.keep(state)

    def keep_if_room(self, state: SecretState) -> None:
        """Keep a secret that is surely still as it was read, unless another would have to go: a list takes no place."""
        if len(self._states) < limits.CACHE_SECRETS and self._states.get(state.id.int) is None:
            self.keep_state(state)

    def keep_value(self, secret: UUID, record: Record) -> None:
        """Keep a sealed value that was read just now, without a wait since."""
        self._follow_keyrings()
        if secret.int in self._changing or secret.int in self._values:
            return
        self._values[secret.int] = record
        self._value_bytes += len(record.value)
        while self._value_bytes > limits.CACHE_VALUE_BYTES:
            _, oldest = self._values.popitem(last=False)
            self._value_bytes -= len(oldest.value)

    def keep_usage(self, usage: Usage, secret: UUID) -> None:
        """Keep where a usage leads."""
        self._follow_keyrings()
        self._usages[usage] = secret
        if len(self._usages) > limits.CACHE_SECRETS:
            self._usages.popitem(last=False)

    @contextmanager
    def change(self, secret: UUID) -> Iterator[None]:
        """Keep nothing of a secret while it is changed; one change of it at a time."""
        self._drop(secret)
        unsure_before = secret.int in self._changing
        self._changing.add(secret.int)
        try:
            yield
        except StoreOutcomeUnknownError:
            # It may be applied at any time from now on. So may one whose caller was cancelled, which passes here too.
            raise
        except (RevisionConflict, SecretdError):
            if not unsure_before:
                self._changing.discard(secret.int)
            raise
        self._changing.discard(secret.int)

    def _drop(self, secret: UUID) -> None:
        self._states.drop(secret.int)
        record = self._values.pop(secret.int, None)
        if record is not None:
            self._value_bytes -= len(record.value)

    def _follow_keyrings(self) -> None:
        keyrings = self._seal.keyrings
        if keyrings is not self._keyrings:
            self._keyrings = keyrings
            self._states.clear()
            self._values.clear()
            self._usages.clear()
            self._value_bytes = 0
