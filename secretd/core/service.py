"""The service: what doors call. Every typed operation of every door passes here once.

The order of judgement is the same for all: the caller holds the permission for something; the daemon is
unsealed; then the handler, which judges the object.  An answer that reveals or changes something passes
``_account`` before it leaves, the one place where an answer may have to wait for its record.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

from secretd import __version__
from secretd import operations as ops
from secretd.core.access import Access
from secretd.core.ephemeral import EphemeralSecrets
from secretd.core.listing import Listing
from secretd.core.persistent import PersistentSecrets
from secretd.core.sealing import Seal
from secretd.core.secrets import Secrets
from secretd.errors import InternalError, SecretdError
from secretd.model import Caller, Mode, Permission, SealState
from secretd.store.base import Store

Handler = Callable[[Caller, Any], Awaitable[ops.Reply]]

_log = logging.getLogger(__name__)


class Service:
    """All operations of one daemon."""

    def __init__(self, mode: Mode, access: Access, seal: Seal, store: Store) -> None:
        self._mode = mode
        self._access = access
        self._seal = seal
        self._store = store
        homes = PersistentSecrets(store, seal), EphemeralSecrets(seal)
        self._secrets = Secrets(access, seal, *homes)
        self._handlers = self._make_handlers(Listing(access, seal, *homes))

    def _make_handlers(self, listing: Listing) -> dict[type[ops.Request[Any]], Handler]:
        return {
            ops.AllocateId: self._secrets.allocate_id,
            ops.SetXml: self._secrets.set_xml,
            ops.Define: self._secrets.define,
            ops.GetXml: self._secrets.get_xml,
            ops.SetValue: self._secrets.set_value,
            ops.GenerateValue: self._secrets.generate_value,
            ops.GetValue: self._secrets.get_value,
            ops.Delete: self._secrets.delete,
            ops.LookupByUsage: self._secrets.lookup_by_usage,
            ops.List: listing.list,
            ops.Whoami: self._whoami,
            ops.Status: self._status,
        }

    def admit(self, caller: Caller, permission: Permission | None = None) -> None:
        """The first step of authorisation, for doors to take before they parse a document.

        Raises:
            AccessDeniedError: the caller holds this permission, or with None any at all, for nothing.
        """
        self._access.admit(caller, permission)

    async def call(self, caller: Caller, request: ops.Request[ops.ReplyT]) -> ops.ReplyT:
        """Do one operation.

        Raises:
            SecretdError: what the operation's handler raises; AccessDeniedError; SealError while sealed.
        """
        operation = ops.BY_REQUEST[type(request)]
        outcome = InternalError.code
        try:
            self._access.admit(caller, operation.permission)
            if operation.request is not ops.Status:
                self._seal.require_open()
            reply = await self._handlers[operation.request](caller, request)
            outcome = "ok"
        except SecretdError as error:
            outcome = error.code
            raise
        finally:
            await self._account(operation, caller, outcome)
        return cast(ops.ReplyT, reply)

    async def _account(self, operation: ops.Operation, caller: Caller, outcome: str) -> None:
        """Record what reveals or changes something, before its answer leaves."""
        if operation.audit is not ops.AuditLevel.NONE:
            _log.debug("operation", extra={"operation": operation.name, "uid": caller.uid, "outcome": outcome})

    async def _whoami(self, caller: Caller, _: ops.Whoami) -> ops.You:
        return ops.You(
            caller.uid,
            caller.gid,
            caller.pid,
            caller.read_only,
            caller.elevated,
            tuple(map(ops.Group, caller.groups)),
            tuple(map(ops.Held, self._access.held(caller))),
        )

    async def _status(self, _caller: Caller, _: ops.Status) -> ops.DaemonStatus:
        seal = self._seal.status
        slots = tuple(map(ops.Slot, seal.slots))
        if seal.state is SealState.SEALED:
            return ops.DaemonStatus(__version__, self._mode, seal.state, seal.reason, slots=slots)
        persistent, ephemeral = await self._secrets.counts()
        return ops.DaemonStatus(
            __version__,
            self._mode,
            seal.state,
            keyring_version=seal.keyring_version,
            slots=slots,
            store=self._store.kind_name,
            revision=await self._store.revision(),
            persistent=persistent,
            ephemeral=ephemeral,
        )
