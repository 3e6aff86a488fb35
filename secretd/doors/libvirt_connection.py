"""One connection of the libvirt door between its calls: whether it is open, who asks, and what was registered.

Source: docs/libvirt.md, "Sockets and opening" and "Who may do what".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from secretd.core.events import Listener
from secretd.core.service import Service
from secretd.core.uidlocks import UidLocks
from secretd.documents.scan import UnknownNames
from secretd.doors.libvirt_callbacks import Callbacks
from secretd.doors.libvirt_errors import internal_error
from secretd.doors.libvirt_identity import Identity
from secretd.doors.libvirt_pages import WrittenPages
from secretd.doors.libvirt_uri import judge_uri
from secretd.doors.session import Outlet
from secretd.errors import BusyError, ReadOnlyError
from secretd.model import Caller, Mode, Permission
from secretd.operations import ReplyT, Request
from secretd.wire.libvirt_procedures import OpenFlag

VerifyToken = Callable[[bytes, Caller], bool]
"""Says whether a token is the host's, offered by a peer that may hold it."""

_log = logging.getLogger(__name__)

_CLAIM_BYTES = 64
"""So much of a text that a peer said of itself is logged."""


def _numbers() -> Iterator[int]:
    """Count as far as the wire can, and then anew: what was registered so long ago is over."""
    while True:
        yield from range(2**31)


@dataclass(slots=True)
class Host:
    """What all connections of one daemon's libvirt door share.

    Attributes:
        service: what does the operations.
        mode: the daemon's.
        verify: judges tokens.
        callback_ids: numbers the registrations, over all connections.
        listing: is held while a list is made: one at a time for a uid, as each may have the size of a whole store.
        pages: writes the pages of lists.
    """

    service: Service
    mode: Mode
    verify: VerifyToken
    callback_ids: Iterator[int] = field(default_factory=_numbers)
    listing: UidLocks = field(default_factory=UidLocks)
    pages: WrittenPages = field(default_factory=WrittenPages)
    _unknown: dict[int, UnknownNames] = field(default_factory=dict)

    def unknown_names(self, uid: int) -> UnknownNames:
        """Give the names outside our vocabulary that a uid has brought so far."""
        return self._unknown.setdefault(uid, UnknownNames())


class LibvirtConnection:
    """The state of one connection.

    Attributes:
        host: what it shares with all others.
        caller: as whom it is judged now.
        callbacks: what its peer wants to be told.
        closing: whether its peer asked to end it.
    """

    outlet: Outlet | None = None
    """Where its replies go, while it lasts."""

    def __init__(self, host: Host, peer: Caller, listener: Listener) -> None:
        self.host = host
        self.caller = self._peer = peer
        self.callbacks = Callbacks(host.callback_ids)
        self.closing = False
        self._listener = listener
        self._uri: str | None = None

    def require_open(self) -> None:
        """Refuse what a connection without an open URI may not do.

        Raises:
            LibvirtError: it has none.
        """
        if self._uri is None:
            raise internal_error("no URI is open on this connection")

    @property
    def uri(self) -> str:
        """The URI that was opened."""
        if self._uri is None:
            raise RuntimeError("the connection is not open")
        return self._uri

    def open(self, uri: bytes | None, flags: int) -> None:
        """Open a URI.

        Raises:
            LibvirtError: it is not this daemon's, or one is open already; then none is open any more.
            AccessDeniedError: the peer may do nothing here.
        """
        if self._uri is not None:
            self._uri = None
            raise internal_error("the connection is open already")
        self.host.service.admit(self._peer)
        self._uri = judge_uri(uri, self.host.mode)
        self.caller = replace(self._peer, read_only=self._peer.read_only or bool(flags & OpenFlag.READ_ONLY))

    def identify(self, identity: Identity) -> None:
        """Take in whom the peer acts for, in place of what it said before."""
        elevated = identity.token is not None and self.host.verify(identity.token, self._peer)
        self.caller = replace(self.caller, elevated=elevated)
        claims = {name: _shown(value) for name, value in identity.claims.items()}
        _log.debug("identity", extra={"uid": self._peer.uid, "elevated": elevated, "claims": claims})

    def admit(self, permission: Permission) -> None:
        """The first step of authorisation, before a document is parsed.

        Raises:
            AccessDeniedError: the caller holds this permission for nothing.
        """
        self.host.service.admit(self.caller, permission)

    def require_writable(self) -> None:
        """Refuse what a read-only connection may not do, whatever else is wrong with it.

        Raises:
            ReadOnlyError: it is one.
        """
        if self.caller.read_only:
            raise ReadOnlyError

    def require_reader(self) -> None:
        """Refuse what makes a long reply to a peer who leaves others unread.

        Raises:
            BusyError: he does.
        """
        if self.outlet is not None and self.outlet.full:
            raise BusyError("too many replies wait to be read on this connection; read them, and try again")

    async def call(self, request: Request[ReplyT]) -> ReplyT:
        """Do an operation as the caller.

        Raises:
            SecretdError: what Service.call raises.
        """
        return await self.host.service.call(self.caller, request, self._listener)

    def hear_no_more(self) -> None:
        """End what was subscribed to; whoever may do nothing any more may end it too."""
        self.host.service.forget(self._listener)


def _shown(value: object) -> object:
    """Give a claim as it may stand in the log: a number, or the beginning of a text, whatever its bytes are."""
    return value[:_CLAIM_BYTES].decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
