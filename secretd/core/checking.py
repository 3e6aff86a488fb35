"""The check: opens every record of the store, and holds each against the others.

It goes on beside changes: what does not fit is looked at once more before it counts, as a change may have come
between two reads.  It changes nothing and reveals nothing but ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from uuid import UUID

from secretd import limits
from secretd import operations as ops
from secretd.core.persistent import ATTRIBUTES, USAGE, VALUE, PersistentSecrets
from secretd.core.sealing import Seal
from secretd.core.state import SecretState
from secretd.core.walking import records_of
from secretd.crypto import envelope
from secretd.errors import StoreCorruptError
from secretd.model import Caller, Usage
from secretd.store.base import RevisionConflict, Store
from secretd.store.reading import Record


class Checking:
    """Checks one store."""

    def __init__(self, store: Store, seal: Seal, persistent: PersistentSecrets) -> None:
        self._store = store
        self._seal = seal
        self._persistent = persistent

    async def check(self, _: Caller, __: ops.Check) -> ops.Checked:
        """Look at every record, and say what is wrong with which."""
        report = _Report()
        revision = await self._store.revision()
        for kind, look in ((ATTRIBUTES, self._attributes), (VALUE, self._value), (USAGE, self._usage)):
            async for record in records_of(self._store, kind, limits.CHECK_PAGE):
                report.count(kind)
                problem = await look(record)
                if problem is not None:
                    report.add(problem)
        if await self._store.revision() == revision and await self._store.count(ATTRIBUTES) != report.counted(
            ATTRIBUTES
        ):
            report.add(ops.Problem("the number of secrets is not the one that was kept: some are missing"))
        return report.finish()

    async def _attributes(self, record: Record) -> ops.Problem | None:
        secret = UUID(bytes=record.key[len(ATTRIBUTES) :])

        async def fits() -> bool:
            state = await self._persistent.find(secret)
            return state is None or (await self._value_opens(state) and await self._has_usage(state))

        return await self._twice(fits, "a secret does not open, or lacks its value or its usage", secret)

    async def _value(self, record: Record) -> ops.Problem | None:
        secret = UUID(bytes=record.key[len(VALUE) :])

        async def fits() -> bool:
            state = await self._persistent.find(secret)
            return (state is not None and state.has_value) or await self._store.get(record.key) is None

        return await self._twice(fits, "a value belongs to no secret", secret)

    async def _usage(self, record: Record) -> ops.Problem | None:
        async def fits() -> bool:
            now = await self._store.get(record.key)
            if now is None:
                return True
            secret = UUID(bytes=envelope.open_record(self._seal.keyrings, now.key, now.value).plaintext)
            state = await self._persistent.find(secret)
            usage = state.attributes.usage if state is not None else None
            return usage is not None and self._persistent.usage_key(usage) == record.key

        return await self._twice(fits, "a usage leads to no secret that has it")

    async def _value_opens(self, state: SecretState) -> bool:
        if state.has_value:
            await self._persistent.read_value(state)
        return True

    async def _has_usage(self, state: SecretState) -> bool:
        usage: Usage | None = state.attributes.usage
        if usage is None:
            return True
        holder = await self._persistent.find_by_usage(usage)
        return holder is not None and holder.id == state.id

    @staticmethod
    async def _twice(fits: Callable[[], Awaitable[bool]], what: str, secret: UUID | None = None) -> ops.Problem | None:
        for _ in range(limits.COMMIT_RETRIES):
            try:
                if await fits():
                    return None
            except RevisionConflict:
                # It was changed just now: what it is now is looked at.
                continue
            except StoreCorruptError:
                pass
        return ops.Problem(what, secret)


class _Report:
    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._problems: list[ops.Problem] = []
        self._found = 0

    def count(self, kind: bytes) -> None:
        self._counts[kind] += 1

    def counted(self, kind: bytes) -> int:
        return self._counts[kind]

    def add(self, problem: ops.Problem) -> None:
        self._found += 1
        if len(self._problems) < limits.CHECK_PROBLEMS:
            self._problems.append(problem)

    def finish(self) -> ops.Checked:
        counts = self._counts
        return ops.Checked(counts[ATTRIBUTES], counts[VALUE], counts[USAGE], self._found, tuple(self._problems))
