"""The service: what doors call. Every typed operation of every door passes here once.

The order of judgement is the same for all: the caller holds the permission for something; the daemon is
unsealed; then the handler, which judges the object.  An answer that reveals or changes something passes
``_account`` before it leaves, the one place where an answer may have to wait for its record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from time import perf_counter, time
from typing import Any, cast

from secretd import __version__, limits, storerequests
from secretd import operations as ops
from secretd.core.access import EVERYTHING, Access
from secretd.core.backup import Backups
from secretd.core.changing import Changing
from secretd.core.checking import Checking
from secretd.core.clock import Clock
from secretd.core.deletions import Deletions
from secretd.core.derivations import Derivations
from secretd.core.ephemeral import EphemeralSecrets
from secretd.core.events import Events, Listener
from secretd.core.explaining import Explaining
from secretd.core.granting import Granting
from secretd.core.grantstore import Grants
from secretd.core.handling import Handler, Handlers, handlers_of
from secretd.core.homes import Homes
from secretd.core.inflight import InFlight
from secretd.core.keyrounds import KeyRounds
from secretd.core.keys import Keys
from secretd.core.keyservice import key_handlers
from secretd.core.keystore import KeyStore
from secretd.core.keyuses import KeyUses
from secretd.core.listing import Listing
from secretd.core.metrics import Metrics
from secretd.core.pending import Pending
from secretd.core.persistent import PersistentSecrets
from secretd.core.quota import DEFAULT_QUOTA, Amount, Quotas
from secretd.core.resealing import Resealing
from secretd.core.restore import Restores
from secretd.core.sealadmin import SealAdmin
from secretd.core.sealing import Seal
from secretd.core.secretlifecycle import SecretLifecycles
from secretd.core.secrets import Secrets
from secretd.core.sources import Sources
from secretd.core.standing import Standing
from secretd.core.trial import Trial
from secretd.core.wholeness import Wholeness
from secretd.crypto.pbskey import KdfBounds
from secretd.errors import (
    InternalError,
    OperationInvalidError,
    SecretdError,
    StoreCorruptError,
    StoreError,
)
from secretd.grantrequests import Explain, GrantAdd, GrantList, GrantRemove, GrantShow, Group
from secretd.keyrequests import KeyExport, KeyImport
from secretd.model import Caller, MemoryStatus, Mode, PeerStatus, Permission, SealState
from secretd.store.base import Store

ListenerHandler = Callable[[Caller, Any, Listener | None], Awaitable[ops.Reply]]

_SEALING = frozenset({Permission.APPEND, Permission.DELETE, Permission.ARCHIVE, Permission.KEY_ADMIN})
"""The permissions of the operations that seal records."""

_OF_GRANTS = frozenset({GrantAdd, GrantRemove})
"""These change records as well, whatever permission they need."""

_MENDING = frozenset({storerequests.StoreAccept, storerequests.Restore, GrantRemove})
"""What makes a store whole again may change one that is not, and so may what seals nothing and only takes away."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How requests of one kind are handled: decided once, not for each.

    Attributes:
        operation: what they ask for.
        read: its handler, if there is nothing more to it.
        audited: whether it reveals or changes something.
    """

    operation: ops.Operation
    read: Handler | None
    audited: bool


_NOTHING_KNOWN = MemoryStatus()
_ONLY_IDS = PeerStatus()

_log = logging.getLogger(__name__)


class Service:
    """All operations of one daemon."""

    def __init__(  # noqa: PLR0913, PLR0917  # the rooms meet here
        self,
        mode: Mode,
        access: Access,
        seal: Seal,
        store: Store,
        grants: Grants,
        memory: MemoryStatus = _NOTHING_KNOWN,
        quota: Amount = DEFAULT_QUOTA,
        peers: PeerStatus = _ONLY_IDS,
        read_clock: Callable[[], float] = time,
    ) -> None:
        self._mode = mode
        self._grants = grants
        self._memory = memory
        self._peers = peers
        self._access = access
        self._sources = Sources(access, grants)
        self._seal = seal
        self._store = store
        self._quotas = quotas = Quotas(store, seal, quota)
        persistent, self._ephemeral = PersistentSecrets(store, seal, quotas), EphemeralSecrets(seal, quotas)
        ephemeral = self._ephemeral
        self._metrics = Metrics()
        self._derivations = Derivations()
        self._bounds: Callable[[], tuple[ops.Bound, ...]] = tuple
        self._in_flight, looking_back = InFlight(), InFlight()
        self._uses = KeyUses(store, seal)
        self._resealing = Resealing(store, seal, self._uses, ephemeral)
        self._wholeness = Wholeness(store, seal)
        changing = Changing(self._wholeness, self._in_flight, self._uses)
        self._clock = clock = Clock(store, seal, read_clock)
        self._keys = KeyStore(store, seal, changing, clock)
        self._standing = Standing(store, grants, self._keys)
        self._checking = Checking(store, seal, quotas, self._grants, self._wholeness, looking_back)
        self._backups = Backups(store, seal, self._wholeness, looking_back)
        self._events = Events(access)
        homes = Homes(access, seal, persistent, ephemeral)
        pending = Pending(store, seal, homes, self._events, changing)
        self.deletions = Deletions(clock, self._wholeness, changing)
        self.deletions.add(pending)
        self.deletions.add(KeyRounds(self._keys, changing))
        self._restores = Restores(
            store,
            seal,
            self._wholeness,
            self._uses,
            self._resealing,
            ephemeral,
            self._in_flight,
            self._events,
            self._standing,
            self.deletions,
        )
        self._secrets = Secrets(access, homes, self._events)
        lifecycles = SecretLifecycles(access, homes, self._events, clock, pending)
        listing = Listing(access, seal, persistent, ephemeral)
        trial = Trial(seal, persistent, ephemeral, clock, pending, self._keys, self._derivations)
        self._handlers = self._make_handlers(
            handlers_of(self._secrets, lifecycles),
            SealAdmin(seal, self._uses, self._resealing, self._in_flight, looking_back),
            Granting(mode, self._grants, self._events),
            Explaining(mode, access, self._grants, trial),
        )
        keys = Keys(access, self._keys, clock, self._derivations)
        self._listener_handlers: dict[type[ops.Request[Any]], ListenerHandler] = {
            ops.List: listing.list,
            ops.Count: listing.count,
            ops.Subscribe: self._subscribe,
            ops.Unsubscribe: self._unsubscribe,
            # A password may wait for its turn longer than who gave it does.
            KeyImport: keys.import_key,
            KeyExport: keys.export,
        }
        self._plans = {
            request: self._plan(ops.BY_REQUEST[request]) for request in (*self._handlers, *self._listener_handlers)
        }

    async def unsealed(self) -> None:
        """Go on with what waits for the keyrings to be open."""
        self._uses.forget_all()
        await self._wholeness.begin()
        await self._load_standing()
        self.deletions.begin()
        if not self._wholeness.is_whole:
            return
        try:
            await self._uses.prepare()
        except SecretdError as error:
            # The store may be full or read-only; reads can be served all the same.
            _log.warning("no uses of the keyring could be reserved", extra={"reason": error.message})
        self._resealing.start()

    async def _load_standing(self) -> None:
        try:
            await self._standing.load(self._wholeness)
        except StoreError as error:
            _log.error("the grants and keys cannot be read, and give nothing", extra={"reason": error.message})

    @property
    def busy(self) -> bool:
        """Whether an end would lose or cut short something: an ephemeral secret, a change, a restore, resealing."""
        changing = self._in_flight.any or self._restores.any_at_its_end
        return self._ephemeral.any or changing or self._resealing.progress.running

    def set_quota(self, quota: Amount) -> None:
        """Let every uid but root have so much from now on; what is there stays."""
        self._quotas.most = quota

    def set_kdf_bounds(self, bounds: KdfBounds) -> None:
        """Set what a key file may ask for that is imported from now on."""
        self._derivations.bounds = bounds

    def watch_bounds(self, bounds: Callable[[], tuple[ops.Bound, ...]]) -> None:
        """Have status tell of bounds that others keep."""
        self._bounds = bounds

    async def stop(self) -> None:
        """End what goes on in the background."""
        await self.deletions.stop()
        await self._backups.stop()
        await self._restores.stop()
        await self._resealing.stop()
        self._wholeness.close()

    def _make_handlers(
        self, of_secrets: Handlers, seal_admin: SealAdmin, granting: Granting, explaining: Explaining
    ) -> Handlers:
        return {
            **of_secrets,
            **key_handlers(self._access, self._keys, self._clock, self._derivations),
            GrantAdd: granting.add,
            GrantList: granting.list,
            GrantShow: granting.show,
            GrantRemove: granting.remove,
            Explain: explaining.explain,
            storerequests.Check: self._checking.check,
            storerequests.StoreAccept: self._store_accept,
            storerequests.Backup: self._backups.backup,
            storerequests.Restore: self._restores.restore,
            storerequests.SealStatus: seal_admin.status,
            storerequests.SealRotate: seal_admin.rotate,
            storerequests.SealRetire: seal_admin.retire,
            ops.Metrics: self._measure,
            ops.Whoami: self._whoami,
            ops.Status: self._status,
        }

    def _plan(self, operation: ops.Operation) -> _Plan:
        changes = operation.audit is ops.AuditLevel.CHANGE or operation.permission in _SEALING
        waited_for = operation.request in self._listener_handlers
        read = self._handlers.get(operation.request) if not changes and not waited_for else None
        return _Plan(operation, read, audited=operation.audit is not ops.AuditLevel.NONE)

    def admit(self, caller: Caller, permission: Permission | None = None) -> None:
        """The first step of authorisation, for doors to take before they parse a document.

        Raises:
            AccessDeniedError: the caller holds this permission, or with None any at all, for nothing.
            SealError: the daemon is sealed, or was until just now, so what the caller holds is not known.
            StoreCorruptError: the store is not whole, so nothing that was granted is in force.
        """
        self._access.admit(caller, permission)

    def forget(self, listener: Listener) -> None:
        """Tell a listener no more, whether or not it was told anything."""
        self._events.unsubscribe(listener)

    async def call(
        self, caller: Caller, request: ops.Request[ops.ReplyT], listener: Listener | None = None
    ) -> ops.ReplyT:
        """Do one operation.

        Args:
            caller: who asks.
            request: what for.
            listener: who waits for the answer, and is to be told of events; always the same one for a connection.

        Raises:
            SecretdError: what the operation's handler raises; AccessDeniedError; SealError while sealed.
        """
        plan = self._plans[type(request)]
        operation = plan.operation
        outcome = InternalError.code
        began_s = perf_counter()
        try:
            self.admit(caller, operation.permission)
            if operation.request is not ops.Status:
                self._seal.require_open()
            if plan.read is not None:
                reply = await plan.read(caller, request)
            else:
                reply = await self._handle(operation, caller, request, listener)
            outcome = "ok"
        except SecretdError as error:
            outcome = error.code
            raise
        finally:
            if plan.audited:
                await self._account(operation, caller, outcome)
            self._metrics.count(operation.name, outcome, perf_counter() - began_s)
        return cast(ops.ReplyT, reply)

    async def _handle(
        self, operation: ops.Operation, caller: Caller, request: ops.Request[Any], listener: Listener | None
    ) -> ops.Reply:
        handler = self._handler(operation.request, listener)
        if operation.audit is ops.AuditLevel.CHANGE and operation.request not in _MENDING:
            self._wholeness.require()
        if operation.permission not in _SEALING and operation.request not in _OF_GRANTS:
            return await handler(caller, request)
        with self._in_flight.change():
            if operation.request not in _MENDING:
                await self._uses.reserve(limits.CHANGE_USES)
            reply = await handler(caller, request)
        await self._wholeness.note()
        return reply

    def _handler(self, request: type[ops.Request[Any]], listener: Listener | None) -> Handler:
        handle = self._listener_handlers.get(request)
        if handle is None:
            return self._handlers[request]
        return lambda caller, asked: handle(caller, asked, listener)

    async def _account(self, operation: ops.Operation, caller: Caller, outcome: str) -> None:
        """Record what reveals or changes something, before its answer leaves."""
        _log.debug("operation", extra={"operation": operation.name, "uid": caller.uid, "outcome": outcome})

    async def _subscribe(self, caller: Caller, request: ops.Subscribe, listener: Listener | None) -> ops.Subscribed:
        self._events.subscribe(caller, _present(listener), request.secret)
        return ops.Subscribed()

    async def _unsubscribe(self, _: Caller, request: ops.Unsubscribe, listener: Listener | None) -> ops.Unsubscribed:
        self._events.unsubscribe(_present(listener), request.secret)
        return ops.Unsubscribed()

    async def _store_accept(self, caller: Caller, _: storerequests.StoreAccept) -> storerequests.StoreAccepted:
        # What is read-only lacks something; of another only a check knows.
        if self._wholeness.is_whole and not (await self._checking.check(caller, storerequests.Check())).found:
            raise OperationInvalidError("the store lacks nothing, so there is nothing to accept")
        # How often the current keys were used may be among what was lost, so they seal nothing any more.
        await self._seal.rotate()
        with suppress(StoreCorruptError):  # without a head nothing is removed: then it is once there is one
            await self._keys.version_uses.forget_counts()
        revision = await self._wholeness.accept()
        await self._keys.version_uses.forget_counts()
        await self._load_standing()
        # What is in the store, and who may see it, is perhaps not what was told.
        self._events.lost()
        self._resealing.start()
        return storerequests.StoreAccepted(revision)

    async def _whoami(self, caller: Caller, _: ops.Whoami) -> ops.You:
        process = caller.process
        unit, executable = (process.unit(), process.executable()) if process else (None, None)
        return ops.You(
            caller.uid,
            caller.gid,
            caller.pid,
            caller.read_only,
            caller.elevated,
            caller.label,
            unit=unit.name if unit else None,
            invocation=unit.invocation if unit else None,
            executable=executable.path if executable else None,
            executable_trusted=executable.trusted if executable else None,
            groups=tuple(map(Group, caller.groups[: limits.GROUPS_NAMED])),
            further_groups=max(len(caller.groups) - limits.GROUPS_NAMED, 0) or None,
            permissions=self._sources.held(caller),
        )

    async def _measure(self, caller: Caller, _: ops.Metrics) -> ops.Measured:
        # In a thread, as the import takes long; only who asks for metrics pays for it.
        exposition = await asyncio.to_thread(import_module, "secretd.core.exposition")
        return ops.Measured(exposition.written(self._metrics.durations(), await self._status(caller, ops.Status())))

    async def _status(self, caller: Caller, _: ops.Status) -> ops.DaemonStatus:
        seal = self._seal.status
        always = ops.DaemonStatus(
            __version__,
            self._mode,
            seal.state,
            seal.reason,
            slots=tuple(map(ops.Slot, seal.slots)),
            memory_wiping=self._memory.wiping,
            memory_locked=self._memory.locked,
            peer_handles=self._peers.handles,
            peer_executables=self._peers.executables,
        )
        if seal.state is SealState.SEALED:
            return always
        administers = self._access.allows(caller, Permission.ADMIN, None)
        sees_all = administers or self._access.allows(caller, Permission.GETATTR, EVERYTHING)
        persistent, ephemeral = await self._secrets.counts() if sees_all else (None, None)
        of_all = (*self._bounds(), *await self._uses.bounds()) if administers else ()
        return replace(
            always,
            keyring_version=seal.keyring_version,
            store=self._store.kind_name,
            revision=await self._store.revision() if administers else None,
            read_only=not self._wholeness.is_whole,
            persistent=persistent,
            ephemeral=ephemeral,
            bounds=(*of_all, *await self._quotas.bounds(caller.uid)),
        )


def _present(listener: Listener | None) -> Listener:
    if listener is None:
        raise RuntimeError("a subscription without a listener")
    return listener
