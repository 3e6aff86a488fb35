"""What a check looks at of the records that say what befell secrets: that each opens, and agrees with the secrets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from secretd.core.kinds import ATTRIBUTES, LATEST, OUT_OF_USE, TOMBSTONE
from secretd.core.lifecyclerecords import left_out, moment_in
from secretd.core.records import Records, id_in
from secretd.core.sealing import Seal
from secretd.core.state import SecretState
from secretd.errors import StoreCorruptError
from secretd.store.reading import Record, Snapshot

NOUNS: Final[Mapping[bytes, str]] = MappingProxyType(
    {
        OUT_OF_USE: "notes of what lists leave out",
        TOMBSTONE: "ids that are used up",
        LATEST: "moments that it saw",
    }
)
"""What the records of a kind are called."""


class LifecycleLooks:
    """Looks at one snapshot.

    Attributes:
        looks: what looks at a record, by its kind: it says what is wrong with it, if anything is.
    """

    def __init__(self, snapshot: Snapshot, seal: Seal, records: Records) -> None:
        self._snapshot = snapshot
        self._seal = seal
        self._records = records
        self.looks: Mapping[bytes, Callable[[Record], Awaitable[str | None]]] = {
            OUT_OF_USE: self._out_of_use,
            TOMBSTONE: self._tombstone,
            LATEST: self._latest,
        }

    async def of_secret(self, state: SecretState) -> str | None:
        """Say whether a note is missing of a secret that lists leave out; what is in a note is looked at with it."""
        is_noted = left_out(state.lifecycle) is None or await self._snapshot.get(OUT_OF_USE + state.id.bytes)
        return None if is_noted else "it is not noted that lists leave a secret out"

    async def _out_of_use(self, record: Record) -> str | None:
        noted = moment_in(self._seal.keyrings, record)
        try:
            state = await self._records.find(id_in(record.key))
        except StoreCorruptError:
            return None  # told of already: attributes come before
        agrees = state is not None and left_out(state.lifecycle) == noted
        return None if agrees else "what is noted of a secret that lists leave out is not what befell it"

    async def _tombstone(self, record: Record) -> str | None:
        moment_in(self._seal.keyrings, record)
        found = await self._snapshot.get(ATTRIBUTES + id_in(record.key).bytes)
        return None if found is None else "a secret has an id that is used up"

    async def _latest(self, record: Record) -> str | None:
        moment_in(self._seal.keyrings, record)
        return None
