"""A whole core for tests: the real service over a real SQLite store, without doors or sockets."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from helpers.asynchronous import run
from secretd.core.access import Access, Policy, granted, owner_only
from secretd.core.events import Listener
from secretd.core.grantstore import Grants
from secretd.core.sealing import Seal
from secretd.core.service import Service
from secretd.crypto.slots import SlotLocation
from secretd.model import Caller, Mode, SealState, SlotKind
from secretd.operations import Event, Reply, Request
from secretd.store.base import Store
from secretd.store.registry import open_store

ReplyT = TypeVar("ReplyT", bound=Reply)

OWNER = Caller(uid=os.geteuid(), gid=os.getegid(), pid=os.getpid())


class Told(Listener):
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._more = asyncio.Event()

    def tell(self, events: Sequence[Event]) -> None:
        """Keep events."""
        self.events.extend(events)
        self._more.set()

    async def until(self, event: type[Event], secret: UUID | None = None) -> list[Event]:
        """Wait for an event of a kind, about this secret if about one; give what came up to it, and forget that."""
        while True:
            for place, told in enumerate(self.events, 1):
                if isinstance(told, event) and getattr(told, "secret", None) == secret:
                    taken, self.events = self.events[:place], self.events[place:]
                    return taken
            self._more.clear()
            await self._more.wait()


NOBODY = Told()


@dataclass
class Core:
    """A service, what it stands on, and a caller who may do everything."""

    service: Service
    store: Store
    seal: Seal

    async def call(self, request: Request[ReplyT], caller: Caller = OWNER, listener: Listener = NOBODY) -> ReplyT:
        """Do one operation, as the daemon's owner unless told otherwise."""
        return await self.service.call(caller, request, listener)


def make_seal(root: Path, store: Store, *kinds: SlotKind) -> Seal:
    """Make a seal whose files are below ``root``; by default with a local file only."""
    directories = {SlotKind.LOCAL_FILE: root / "config", SlotKind.CREDENTIAL: root / "credentials"}
    slots = [SlotLocation(kind, directories[kind]) for kind in kinds or (SlotKind.LOCAL_FILE,)]
    return Seal(store, root / "keyring", slots, os.geteuid())


@asynccontextmanager
async def open_granting_core(root: Path, store: Store | None = None) -> AsyncIterator[Core]:
    """Open a core as a system's daemon has it: the owner may do everything, and others what is granted to them."""
    store = store or await open_store(f"sqlite://{root / 'store'}")
    try:
        seal = make_seal(root, store)
        grants = Grants(store, seal)
        owner = owner_only(Mode.SESSION, OWNER.uid)
        access = Access(granted(owner, lambda: grants.rules), owner, grants.require_in_force)
        service = Service(Mode.SYSTEM, access, seal, store, grants)
        if (await seal.open()).state is SealState.OPEN:
            await service.unsealed()
        yield Core(service, store, seal)
        await service.stop()
    finally:
        await store.close()


class HandClock:
    """The system's clock as a test sets it, in seconds since 1970."""

    def __init__(self, now_s: float = 1_800_000_000) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@asynccontextmanager
async def open_core(
    root: Path, policy: Policy | None = None, read_clock: Callable[[], float] = time.time
) -> AsyncIterator[Core]:
    """Open the core whose files are below ``root``, and try once to unseal it."""
    store = await open_store(f"sqlite://{root / 'store'}")
    try:
        seal = make_seal(root, store)
        status = await seal.open()
        access = Access(policy or owner_only(Mode.SESSION, os.geteuid()))
        service = Service(Mode.SESSION, access, seal, store, Grants(store, seal), read_clock=read_clock)
        if status.state is SealState.OPEN:
            await service.unsealed()
        yield Core(service, store, seal)
        await service.stop()
    finally:
        await store.close()


def in_core(
    root: Path,
    test: Callable[[Core], Awaitable[None]],
    policy: Policy | None = None,
    read_clock: Callable[[], float] = time.time,
) -> None:
    """Run a test with a core of its own; arguments as for open_core."""

    async def with_core() -> None:
        async with open_core(root, policy, read_clock) as core:
            await test(core)

    run(with_core())
