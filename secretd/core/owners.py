"""Whose the persistent secrets are that were changed last, so that the next change of one need not read it anew.

Source: docs/storage-format.md, "Owners and quotas"; docs/adr/0009.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from secretd import limits
from secretd.core.kinds import OWNER
from secretd.core.sealing import Seal
from secretd.crypto.envelope import Domain
from secretd.crypto.keyring import Keyring
from secretd.store.base import Store
from secretd.store.reading import Record


class OwnerRecords:
    """Whose the secrets are that were changed last: what the store says, or that it says nothing.

    It is kept for as long as nothing was written that could make it another: under the keyrings it was read with, and
    up to a change that counts anew, or one that failed.
    """

    def __init__(self, store: Store, seal: Seal) -> None:
        self._store = store
        self._seal = seal
        self._keyrings: Mapping[Domain, Keyring] | None = None
        self._records: OrderedDict[int, Record | None] = OrderedDict()

    async def get(self, secret: UUID) -> Record | None:
        """Give the record that says whose a secret is."""
        if self._keyrings is not self._seal.keyrings:
            self._keyrings = self._seal.keyrings
            self._records.clear()
        if secret.int not in self._records:
            self._records[secret.int] = await self._store.get(OWNER + secret.bytes)
            if len(self._records) > limits.CACHE_SECRETS:
                self._records.popitem(last=False)
        return self._records[secret.int]

    @contextmanager
    def change(self, secret: UUID, *, keep: bool = False) -> Iterator[None]:
        """Forget a secret that is changed, unless the change is made and its record stays as it is."""
        known = secret.int in self._records
        record = self._records.pop(secret.int, None)
        yield
        if known and keep:
            self._records[secret.int] = record
