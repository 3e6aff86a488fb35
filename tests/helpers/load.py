"""Clients that change secrets as fast as they can, and know what must be there after a crash.

A worker owns its secrets: nobody else changes them.  Of each it knows the state that was answered last, and of the
one request that is in flight also the state this would make.  After a crash the one or the other must be there,
whole: ``audit`` opens the store, without a daemon, and reads every record; ``Worker.judge`` compares.

What a worker knows is what was answered to it, so its word holds for a kill, and for a power cut, at any moment.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from helpers.core import OWNER, make_seal
from secretd import operations as ops
from secretd import storerequests
from secretd.client import AsyncClient, Client
from secretd.core.checking import Checking
from secretd.core.grantstore import Grants
from secretd.core.inflight import InFlight
from secretd.core.kinds import ATTRIBUTES, KEYRING, USAGE, VALUE
from secretd.core.persistent import PersistentSecrets
from secretd.core.quota import Quotas
from secretd.core.sealing import Seal
from secretd.core.wholeness import Wholeness
from secretd.crypto.envelope import Domain
from secretd.errors import SecretdError, UnreachableError
from secretd.lifecycle import OutOfUse
from secretd.lifecyclerequests import (
    SecretArchive,
    SecretCancelDeletion,
    SecretDeletionScheduled,
    SecretRestore,
    SecretScheduleDeletion,
)
from secretd.model import Attributes, Digest, SealState, SecretDocument, SecretValue, Usage, UsageType
from secretd.store.base import Store
from secretd.store.registry import open_store

MOST_SECRETS = 30
"""Of one worker: with more it deletes, so that rounds stay alike."""

TASKS_PER_CONNECTION = 4


@dataclass(frozen=True)
class State:
    """A secret that is there.

    Attributes:
        attributes: all of them.
        value: its bytes; None if it has none; a number if it was made by the daemon, in so many bytes.
        digest: as it was answered; None if that was not.
        out_of_use: why lists leave it out, if they do.
    """

    attributes: Attributes
    value: bytes | int | None = field(default=None, repr=False)
    digest: Digest | None = None
    out_of_use: OutOfUse | None = None

    def is_seen_as(self, seen: State) -> bool:
        """Whether what an audit has read is this."""
        value = len(seen.value) if isinstance(self.value, int) and isinstance(seen.value, bytes) else seen.value
        alike = (self.attributes, self.out_of_use) == (seen.attributes, seen.out_of_use)
        return alike and self.value == value and self.digest in (None, seen.digest)


@dataclass(frozen=True)
class Step:
    """A request, and the state of its secret once it is carried out; the id is None if the daemon makes it."""

    request: ops.Request[ops.Reply]
    secret: UUID | None
    after: State | None


class Worker:
    """Chooses changes, and keeps book."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.answered = 0
        self.states: dict[UUID, State] = {}
        self.in_flight: Step | None = None
        self.faults: list[str] = []
        self._random = random.Random(f"{name} {seed}")
        self._count = 0

    def choose(self) -> Step:
        """Decide on a change; it is in flight from now on."""
        known = sorted(self.states)
        self._count += 1
        secret = self._random.choice(known) if known else UUID(int=0)
        kinds: list[Callable[[UUID], Step]]
        if known and self.states[secret].out_of_use is not None:
            kinds = [self._allocate, self._bring_back]
        elif len(known) > MOST_SECRETS:
            kinds = [self._delete]
        elif not known:
            kinds = [self._allocate]
        else:
            # Set-xml most often: it moves between store and memory, and from usage to usage.
            kinds = [self._allocate, self._define, self._set_value, self._generate, self._delete, self._set_xml]
            kinds += [self._set_xml] * 3 + [self._set_value, self._take_out]
        step = self._random.choice(kinds)(secret)
        self.in_flight = step
        return step

    def take(self, reply: ops.Reply) -> None:
        """Take the answer to what is in flight."""
        step = self.in_flight
        if step is None:
            raise RuntimeError("nothing was asked")
        self.in_flight = None
        self.answered += 1
        if isinstance(reply, ops.Changed | SecretDeletionScheduled) and step.after is not None:
            self.states[reply.secret] = replace(step.after, digest=reply.digest)
        elif step.secret is not None:
            del self.states[step.secret]

    def judge(self, seen: dict[UUID, State]) -> int:
        """Compare with what an audit read after a crash, take it over, and forget what was in memory only.

        Args:
            seen: all persistent secrets; those of this worker are removed from it.

        Returns:
            1 if the change in flight was made although it was not answered, else 0.
        """
        step, self.in_flight = self.in_flight, None
        made = 0
        for secret in set(self.states) | ({step.secret} if step and step.secret else set()):
            before, found = self.states.pop(secret, None), seen.pop(secret, None)
            allowed = [before, step.after] if step and step.secret == secret else [before]
            if not any(_holds(state, found) for state in allowed):
                self.faults.append(f"{self.name}: {secret} is {found}, and should be one of {allowed}")
            made += not _holds(before, found)
            if found is not None:
                self.states[secret] = found
        return made + self._judge_unnamed(step, seen)

    def _judge_unnamed(self, step: Step | None, seen: dict[UUID, State]) -> int:
        """Find the secret whose id the daemon made and could not tell any more."""
        if step is None or step.secret is not None:
            return 0
        for secret, found in list(seen.items()):
            if _holds(step.after, found):
                self.states[secret] = seen.pop(secret)
                return 1
        return 0

    def _text(self) -> str:
        return f"{self.name} {self._count} " + "d" * self._random.choice([0, 10, 1_500])

    def _value(self) -> bytes:
        return self._random.randbytes(self._random.choice([1, 24, 500, 5_000, 65_536]))

    def _new_id(self) -> UUID:
        return UUID(bytes=self._random.randbytes(16))

    def _attributes(self, before: State | None) -> Attributes:
        usage = Usage(self._random.choice([UsageType.VOLUME, UsageType.CEPH, UsageType.VTPM]), self._text())
        return Attributes(
            usage=self._random.choice([usage, None, before.attributes.usage if before else None]),
            description=self._random.choice([self._text(), None]),
            ephemeral=self._random.random() < 0.3,
            private=(before is not None and before.attributes.private) or self._random.random() < 0.05,
        )

    def _digest(self, before: State) -> Digest | None:
        return self._random.choice([before.digest, None])

    def _allocate(self, _: UUID) -> Step:
        ephemeral = self._random.random() < 0.2
        text = self._text()
        return Step(ops.AllocateId(text, ephemeral), None, State(Attributes(description=text, ephemeral=ephemeral)))

    def _define(self, _: UUID) -> Step:
        secret = self._random.choice([None, self._new_id()])
        attributes = replace(self._attributes(None), description=self._text())
        return Step(ops.Define(SecretDocument(attributes, secret)), secret, State(attributes))

    def _set_xml(self, secret: UUID) -> Step:
        before = self.states[secret]
        wanted = self._attributes(before)
        request = ops.SetXml(secret, SecretDocument(wanted), self._digest(before))
        return Step(request, secret, State(wanted, before.value))

    def _set_value(self, secret: UUID) -> Step:
        value = self._value()
        if self._random.random() < 0.3:
            request = ops.SetValue(self._new_id(), SecretValue(value), ephemeral=self._random.random() < 0.3)
            return Step(request, request.secret, State(Attributes(ephemeral=request.ephemeral), value))
        before = self.states[secret]
        request = ops.SetValue(secret, SecretValue(value), digest=self._digest(before))
        return Step(request, secret, State(before.attributes, value))

    def _generate(self, secret: UUID) -> Step:
        length = self._random.randint(1, 5_000)
        return Step(ops.GenerateValue(secret, length), secret, State(self.states[secret].attributes, length))

    def _take_out(self, secret: UUID) -> Step:
        before = self.states[secret]
        why = self._random.choice(list(OutOfUse))
        request = SecretArchive if why is OutOfUse.ARCHIVED else SecretScheduleDeletion
        return Step(request(secret, digest=self._digest(before)), secret, replace(before, out_of_use=why, digest=None))

    def _bring_back(self, secret: UUID) -> Step:
        before = self.states[secret]
        request = SecretRestore if before.out_of_use is OutOfUse.ARCHIVED else SecretCancelDeletion
        return Step(request(secret, self._digest(before)), secret, replace(before, out_of_use=None, digest=None))

    def _delete(self, secret: UUID) -> Step:
        return Step(ops.Delete(secret, self._digest(self.states[secret])), secret, None)


def _holds(state: State | None, found: State | None) -> bool:
    """Whether ``found`` in the store is what is left of ``state``."""
    if state is None or state.attributes.ephemeral:
        return found is None
    return found is not None and state.is_seen_as(found)


def make_workers(seed: int) -> list[Worker]:
    """Make the workers of ``under_load``: two with a connection of their own, the others share one."""
    return [Worker(name, seed) for name in ("first", "second", *map("task {}".format, range(TASKS_PER_CONNECTION)))]


@contextmanager
def under_load(socket: Path, workers: list[Worker]) -> Iterator[None]:
    """Let the workers work for the length of a with block, which has to end with the daemon's end.

    Both clients take part, with values as text and by descriptor.
    """
    first, second, *tasks = workers
    threads = [
        threading.Thread(target=_drive, args=(socket, first, False)),
        threading.Thread(target=_drive, args=(socket, second, True)),
        threading.Thread(target=lambda: asyncio.run(_drive_tasks(socket, tasks))),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(60)
    if any(thread.is_alive() for thread in threads):
        raise AssertionError("a client hangs although the daemon has ended")


def _drive(socket: Path, worker: Worker, descriptors: bool) -> None:
    with _until_the_end(worker), Client(socket, descriptors=descriptors) as client:
        while True:
            worker.take(client.call(worker.choose().request))


async def _drive_tasks(socket: Path, workers: list[Worker]) -> None:
    try:
        client = await AsyncClient.connect(socket)
    except UnreachableError:
        return
    async with client:
        await asyncio.gather(*(_drive_task(client, worker) for worker in workers))


async def _drive_task(client: AsyncClient, worker: Worker) -> None:
    with _until_the_end(worker):
        while True:
            worker.take(await client.call(worker.choose().request))


@contextmanager
def _until_the_end(worker: Worker) -> Iterator[None]:
    try:
        yield
    except UnreachableError:
        return
    except SecretdError as error:
        worker.faults.append(f"{worker.name}: {worker.in_flight} was answered with {error.code}: {error.message}")


def judge(workers: list[Worker], seen: dict[UUID, State]) -> tuple[int, list[str]]:
    """Judge all workers by one audit; give how many unanswered changes were made, and what is wrong."""
    rest = dict(seen)
    made = sum(worker.judge(rest) for worker in workers)
    faults = [fault for worker in workers for fault in worker.faults]
    return made, faults + [f"nobody made {secret}: {state}" for secret, state in rest.items()]


def audit_copy(data: Path, config: Path, scratch: Path) -> dict[UUID, State]:
    """Audit a copy of a daemon's directories, as a start would find them; they themselves stay as they are.

    Args:
        data: holds ``store`` and ``keyring``.
        config: holds the root key.
        scratch: is made, and removed.
    """
    shutil.copytree(data, scratch, ignore=shutil.ignore_patterns("reserve"))
    shutil.copytree(config, scratch / "config")
    try:
        return asyncio.run(audit(scratch))
    finally:
        shutil.rmtree(scratch)


async def audit(root: Path) -> dict[UUID, State]:
    """Read every record of a store with its keyring, and insist that they fit together.

    Raises:
        AssertionError: a secret is not whole, or a record belongs to none.
    """
    store = await open_store(f"sqlite://{root / 'store'}")
    try:
        seal = make_seal(root, store)
        status = await seal.open()
        _insist(status.state is SealState.OPEN, f"the daemon would be sealed: {status.reason}")
        await _insist_on_wholeness(store, seal)
        secrets = PersistentSecrets(store, seal, Quotas(store, seal))
        # What page gives is opened; what read_value and find_by_usage give is checked against it.
        seen = {}
        for state in (await secrets.page(UUID(int=0), 1_000)).states:
            value = (await secrets.read_value(state)).reveal() if state.has_value else None
            digest = seal.keyrings[Domain.SHARED].digest(state.id, state.counter, state.value_counter)
            seen[state.id] = State(state.attributes, value, digest, state.lifecycle.out_of_use)
            if state.attributes.usage is not None:
                _insist(await secrets.find_by_usage(state.attributes.usage) == state, "a usage leads astray")
        await _insist_on_counts(store, seen)
        return seen
    finally:
        await store.close()


async def _insist_on_wholeness(store: Store, seal: Seal) -> None:
    """Insist that the store has all that was answered by its high-water mark, and all that its head says."""
    wholeness = Wholeness(store, seal)
    await wholeness.begin()
    try:
        _insist(wholeness.is_whole, "the daemon would be read-only")
        checking = Checking(store, seal, Quotas(store, seal), Grants(store, seal), wholeness, InFlight())
        checked = await checking.check(OWNER, storerequests.Check())
        _insist(not checked.found, f"a check finds {checked.problems}")
    finally:
        wholeness.close()


async def _insist_on_counts(store: Store, seen: dict[UUID, State]) -> None:
    """Insist that there are as many records as the secrets need, and that the kept numbers say so too."""
    needed = {
        ATTRIBUTES: len(seen),
        VALUE: sum(state.value is not None for state in seen.values()),
        USAGE: sum(state.attributes.usage is not None for state in seen.values()),
        KEYRING: 1,
    }
    found = dict.fromkeys(needed, 0)
    following: bytes | None = b"\0"
    while following is not None:
        page = await store.scan(b"", following)
        following = page.next_start
        for record in page.records:
            if record.key[:1] in found:  # the store holds more than secrets
                found[record.key[:1]] += 1
    _insist(found == needed, f"there are {found} records, and {needed} belong to secrets")
    kept = {kind: await store.count(kind) for kind in needed}
    _insist(kept == needed, f"the kept numbers are {kept}, and should be {needed}")


def check_by_client(socket: Path, seen: dict[UUID, State]) -> None:
    """Insist that a daemon shows its clients what the audit has read."""
    with Client(socket) as client:
        entries = {entry.secret: entry for entry in _list(client.call)}
        _insist(entries.keys() == seen.keys(), "the list is not of the secrets that are there")
        status = client.call(ops.Status())
        _insist((status.persistent, status.ephemeral) == (len(seen), 0), "the status counts wrongly")
        for secret, state in seen.items():
            attributes, entry = state.attributes, entries[secret]
            told = (entry.digest, entry.usage, entry.private, entry.has_value, entry.out_of_use)
            kept = (state.digest, attributes.usage, attributes.private, state.value is not None, state.out_of_use)
            _insist(told == kept, "an entry")
            _insist(client.call(ops.GetXml(secret)).document.attributes == attributes, "attributes are others")
            if attributes.usage is not None:
                _insist(client.call(ops.LookupByUsage(attributes.usage)).secret == secret, "a usage leads astray")
            waits = state.out_of_use is OutOfUse.PENDING_DELETION
            if state.value is not None and not attributes.private and not waits:
                _insist(client.call(ops.GetValue(secret)).value.reveal() == state.value, "a value is another")


def _list(call: Callable[[ops.List], Any]) -> Iterator[ops.Entry]:
    marker: UUID | None = None
    while True:
        page = call(ops.List(archived=True, marker=marker))
        yield from page.entries
        marker = page.next_marker
        if marker is None:
            return


def _insist(condition: bool, otherwise: str) -> None:
    # Not assert: contrib/crash may run under -O.
    if not condition:
        raise AssertionError(otherwise)
