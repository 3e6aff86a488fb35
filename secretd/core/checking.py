"""The check: opens every record of the store, holds each against the others, and all of them against the head.

It looks at a snapshot, so that changes go on beside it and never look like damage.  It changes nothing and reveals
nothing but ids.  Where the store cannot read on, it goes on with the next kind of record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from uuid import UUID

from secretd import limits, storerequests
from secretd.core.grantstore import Grants
from secretd.core.head import HeadKeeper
from secretd.core.inflight import InFlight
from secretd.core.keychecking import KeyLooks
from secretd.core.kinds import (
    ATTRIBUTES,
    DEFAULT_KEY,
    GRANT,
    HEAD,
    KEY,
    KEYRING,
    MATERIAL,
    OUT_OF_USE,
    OWNER,
    TOMBSTONE,
    USAGE,
    USED,
    USES,
    VALUE,
    VERSION_USES,
)
from secretd.core.lifecyclechecking import NOUNS, LifecycleLooks
from secretd.core.quota import Amount, Quotas
from secretd.core.records import Records, id_in
from secretd.core.sealing import Seal
from secretd.core.wholeness import Wholeness
from secretd.crypto import envelope
from secretd.errors import StoreCorruptError
from secretd.model import Caller
from secretd.store.base import Store
from secretd.store.reading import Page, Record, Snapshot

_NOUNS = {
    ATTRIBUTES: "secrets",
    VALUE: "values",
    USAGE: "usages",
    OWNER: "owners of secrets",
    USED: "sums of what users have stored",
    USES: "counts of a key's uses",
    GRANT: "grants",
    KEY: "keys",
    MATERIAL: "bytes of keys",
    VERSION_USES: "counts of the uses of keys",
    DEFAULT_KEY: "default key",
    **NOUNS,
}
"""What the records of a kind are called."""

Look = Callable[[Record], Awaitable[str | None]]


class Checking:
    """Checks one store."""

    def __init__(  # noqa: PLR0913, PLR0917  # whatever knows how a kind of record is read
        self,
        store: Store,
        seal: Seal,
        quotas: Quotas,
        grants: Grants,
        wholeness: Wholeness,
        looking_back: InFlight,
    ) -> None:
        self._store = store
        self._seal = seal
        self._quotas = quotas
        self._grants = grants
        self._wholeness = wholeness
        self._looking_back = looking_back

    async def check(self, _: Caller, __: storerequests.Check) -> storerequests.Checked:
        """Look at every record, and say what is wrong with which."""
        with self._looking_back.change():
            async with self._store.snapshot() as snapshot:
                return await _Check(snapshot, self._seal, self._quotas, self._grants, self._wholeness.head).run()


class _Check:
    """One check of one snapshot."""

    def __init__(self, snapshot: Snapshot, seal: Seal, quotas: Quotas, grants: Grants, head: HeadKeeper) -> None:
        self._snapshot = snapshot
        self._seal = seal
        self._quotas = quotas
        self._grants = grants
        self._records = Records(snapshot, seal)
        self._lifecycles = LifecycleLooks(snapshot, seal, self._records)
        self._head = head
        self._total = 0
        self._standing_total = 0
        self._counted: Counter[bytes] = Counter()
        self._owned: dict[int, Amount] = {}
        self._report = _Report()
        self._looks: dict[bytes, Look] = {
            **self._lifecycles.looks,
            ATTRIBUTES: self._attributes,
            VALUE: self._value,
            USAGE: self._usage,
            OWNER: self._owner,
            USED: self._used,
            USES: self._opens,
            GRANT: self._grant,
            **KeyLooks(snapshot, seal).looks,
            HEAD: _nothing,
            KEYRING: _nothing,
        }

    async def run(self) -> storerequests.Checked:
        for part in await self._snapshot.damaged_parts():
            self._report.add(f"{part} is damaged")
        await self._walk()
        await self._compare_numbers()
        await self._compare_head()
        return self._report.finish(self._counted)

    async def _walk(self) -> None:
        """Look at all records in the order of their keys, which is also that in which one look may need another."""
        start: bytes | None = b"\0"
        while start is not None:
            page = await self._page(start)
            for record in page.records:
                await self._look(record)
            start = page.next_start

    async def _page(self, start: bytes) -> Page:
        try:
            return await self._snapshot.scan(b"", start, limits.CHECK_PAGE)
        except StoreCorruptError:
            later = sorted(kind for kind in self._looks if kind > start[:1])
            if start[:1] in _NOUNS:
                self._report.add(f"the store cannot read all of its {_NOUNS[start[:1]]}")
            return Page((), later[0] if later else None)

    async def _look(self, record: Record) -> None:
        kind = record.key[:1]
        self._counted[kind] += 1
        self._total = self._head.added(self._total, record.key, record.value)
        self._standing_total = self._head.added_standing(self._standing_total, record.key, record.value)
        look = self._looks.get(kind, _unknown)
        try:
            problem = await look(record)
        except StoreCorruptError:
            problem = "a record does not open"
        if problem is not None:
            self._report.add(problem, _secret_of(record))

    async def _attributes(self, record: Record) -> str | None:
        state = await self._records.find(id_in(record.key))
        if state is None:
            raise StoreCorruptError("the record was there, and is not")
        if state.has_value:
            await self._records.read_value(state)
        usage = state.attributes.usage
        holder = await self._records.find_by_usage(usage) if usage is not None else state
        if holder is None or holder.id != state.id:
            return "a secret's usage does not lead to it"
        return await self._lifecycles.of_secret(state)

    async def _value(self, record: Record) -> str | None:
        try:
            state = await self._records.find(id_in(record.key))
        except StoreCorruptError:
            return None  # told of already: attributes come before values
        return None if state is not None and state.has_value else "a value belongs to no secret"

    async def _usage(self, record: Record) -> str | None:
        secret = UUID(bytes=envelope.open_record(self._seal.keyrings, record.key, record.value).plaintext)
        state = await self._records.find(secret)
        usage = state.attributes.usage if state is not None else None
        has_it = usage is not None and self._records.usage_key(usage) == record.key
        return None if has_it else "a usage leads to no secret that has it"

    async def _owner(self, record: Record) -> str | None:
        owned = self._quotas.owned(record)
        self._owned[owned.uid] = self._owned.get(owned.uid, Amount()) + owned.amount
        secret = record.key[1:]
        sizes = [
            len(found.value) if (found := await self._snapshot.get(kind + secret)) else 0
            for kind in (ATTRIBUTES, VALUE)
        ]
        return None if sizes == [owned.attributes, owned.value] else "a secret is counted with another size than it has"

    async def _used(self, record: Record) -> str | None:
        counted = self._owned.pop(int.from_bytes(record.key[1:], "big"), Amount())
        return None if self._quotas.used(record) == counted else "what a user has stored is not what was counted"

    async def _grant(self, record: Record) -> str | None:
        try:
            self._grants.open_record(record)
        except StoreCorruptError:
            return "a grant does not open"
        return None

    async def _opens(self, record: Record) -> str | None:
        envelope.open_record(self._seal.keyrings, record.key, record.value)
        return None

    async def _compare_numbers(self) -> None:
        for _ in self._owned:
            self._report.add("what a user has stored is not counted")
        kinds = {*self._looks, *self._counted}
        if any([await self._snapshot.count(kind) != self._counted[kind] for kind in sorted(kinds)]):
            self._report.add("the number of records is not the one that was kept")

    async def _compare_head(self) -> None:
        try:
            head = await self._head.read(self._snapshot)
        except StoreCorruptError:
            self._report.add("the store's head does not open")
            return
        if head is None:
            self._report.add("the store's head is missing")
            return
        if head.standing != self._standing_total:
            self._report.add("grants or keys are missing, or are not those that were last written")
        if head.total != self._total:
            self._report.add("records are missing, or are not those that were last written")


async def _nothing(_: Record) -> None:
    """Look no further: the seal opened the seal file, and the head is held against all records together."""


async def _unknown(_: Record) -> str:
    return "a record is of a kind that this version does not know"


def _secret_of(record: Record) -> UUID | None:
    if record.key[:1] not in (ATTRIBUTES, VALUE, OWNER, OUT_OF_USE, TOMBSTONE):
        return None
    try:
        return id_in(record.key)
    except StoreCorruptError:
        return None


class _Report:
    def __init__(self) -> None:
        self._problems: list[storerequests.Problem] = []
        self._found = 0

    def add(self, what: str, secret: UUID | None = None) -> None:
        self._found += 1
        if len(self._problems) < limits.CHECK_PROBLEMS:
            self._problems.append(storerequests.Problem(what, secret))

    def finish(self, counted: Counter[bytes]) -> storerequests.Checked:
        return storerequests.Checked(
            counted[ATTRIBUTES], counted[VALUE], counted[USAGE], self._found, tuple(self._problems)
        )
