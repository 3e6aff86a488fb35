"""Requests for the matrix of access: every operation, about a secret in each state, as each door has it said."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from helpers.access_page import ALLOWED, AnyRequest, Holder, Secrets, There
from helpers.core import Core
from helpers.libvirt_peer import Peer, flagged, host_of, ref, refusal
from helpers.native_peer import NativePeer
from helpers.raw import code_of
from secretd import grantrequests as requests
from secretd import operations as ops
from secretd import storerequests
from secretd.documents.messages import write_request
from secretd.documents.secret import write_secret
from secretd.grants import EverySecret, Grant, Principal, PrincipalKind
from secretd.lifecycle import Lifecycle, OutOfUse, Reference, ReferenceKind
from secretd.lifecyclerequests import (
    SecretArchive,
    SecretAttach,
    SecretCancelDeletion,
    SecretDetach,
    SecretGetLifecycle,
    SecretProtect,
    SecretRestore,
    SecretScheduleDeletion,
    SecretUnprotect,
)
from secretd.model import Attributes, Caller, Digest, Mode, Permission, SecretDocument, SecretValue, Usage, UsageType
from secretd.wire import xdr
from secretd.wire.libvirt import Packet, frame
from secretd.wire.libvirt_procedures import (
    PROGRAM,
    USAGE_NUMBERS,
    VERSION,
    EventId,
    Kind,
    LifecycleEvent,
    Procedure,
    Status,
)
from secretd.wire.xdr import Decoder

SECRET, OTHER, THIRD = (UUID(f"0000000{digit}-1111-4222-8333-444444444444") for digit in (1, 2, 3))
"""The secret that is asked for; one that is there beside it, and one that is not."""

USAGE, WITHIN, BEYOND = Usage(UsageType.CEPH, "client.a"), Usage(UsageType.CEPH, "client.b"), Usage(UsageType.TLS, "b")
"""The secret's usage; others that it could get, in the type and pattern of this one and beyond them."""

VALUE, NEW_VALUE = SecretValue(b"a value that is there"), SecretValue(b"another value")

OLD = Digest("0" * 32)
"""A digest that no secret has."""

STATES: Final[Mapping[str, There | None]] = {
    "absent": None,
    "without a value": There(Attributes(USAGE), has_value=False),
    "with a value": There(Attributes(USAGE), has_value=True),
    "private": There(Attributes(USAGE, private=True), has_value=True),
    "ephemeral": There(Attributes(USAGE, ephemeral=True), has_value=True),
    "without a usage": There(Attributes(), has_value=True),
    "archived": There(Attributes(USAGE), has_value=True, lifecycle=Lifecycle(archived=1)),
    "archived without a value": There(Attributes(USAGE), has_value=False, lifecycle=Lifecycle(archived=1)),
    "pending deletion": There(Attributes(USAGE), has_value=True, lifecycle=Lifecycle(due=1)),
    "needed": There(Attributes(USAGE), True, Lifecycle(references=(Reference("job", ReferenceKind.ACTIVE),))),
    "protected": There(Attributes(USAGE), has_value=True, lifecycle=Lifecycle(protected=True)),
}

BESIDE: Final = There(Attributes(Usage(UsageType.VOLUME, "/srv/other")), has_value=True)
"""What OTHER is."""


def requests_about(state: There | None) -> dict[str, AnyRequest]:
    """Make requests of every operation that is for others than administrators, about a secret in this state."""
    known = state.attributes if state else Attributes(USAGE)

    def described(**changed: Any) -> SecretDocument:
        return SecretDocument(replace(known, description="new", **changed), SECRET)

    kept_in_memory = state is None or known.ephemeral
    retyped = Usage(UsageType.TLS, known.usage.id) if known.usage else None
    return {
        "allocate-id": ops.AllocateId(),
        "allocate-id of an ephemeral one": ops.AllocateId(ephemeral=True),
        "set-xml": ops.SetXml(SECRET, described()),
        "set-xml as ephemeral": ops.SetXml(SECRET, described(ephemeral=True)),
        "set-xml as kept on disk": ops.SetXml(SECRET, described(ephemeral=False)),
        "set-xml with a usage in the pattern": ops.SetXml(SECRET, described(usage=WITHIN)),
        "set-xml with a usage beyond it": ops.SetXml(SECRET, described(usage=BEYOND)),
        "set-xml without a usage": ops.SetXml(SECRET, described(usage=None)),
        "set-xml of a new one with this usage": ops.SetXml(THIRD, SecretDocument(Attributes(USAGE))),
        "set-xml with an old digest": ops.SetXml(SECRET, described(), OLD),
        "define": ops.Define(described()),
        "define with another type of usage": ops.Define(described(usage=retyped)),
        "define of a new one": ops.Define(SecretDocument(Attributes(WITHIN))),
        "set-value": ops.SetValue(SECRET, NEW_VALUE, ephemeral=kept_in_memory and known.ephemeral),
        "set-value of what is there": ops.SetValue(SECRET, NEW_VALUE, create=False),
        "set-value with an old digest": ops.SetValue(SECRET, NEW_VALUE, digest=OLD),
        "generate-value": ops.GenerateValue(SECRET, 8),
        "get-xml": ops.GetXml(SECRET),
        "get-value": ops.GetValue(SECRET),
        "delete": ops.Delete(SECRET),
        "delete with an old digest": ops.Delete(SECRET, OLD),
        "secret-get-lifecycle": SecretGetLifecycle(SECRET),
        "secret-archive": SecretArchive(SECRET),
        "secret-archive with an old digest": SecretArchive(SECRET, OLD),
        "secret-restore": SecretRestore(SECRET),
        "secret-attach": SecretAttach(SECRET, "another"),
        "secret-attach of who only opens it": SecretAttach(SECRET, "another", ReferenceKind.ASSOCIATED),
        "secret-detach": SecretDetach(SECRET, "job"),
        "secret-protect": SecretProtect(SECRET),
        "secret-unprotect": SecretUnprotect(SECRET),
        "secret-schedule-deletion": SecretScheduleDeletion(SECRET),
        "secret-cancel-deletion": SecretCancelDeletion(SECRET),
        "list": ops.List(),
        "list of all": ops.List(archived=True),
        "count": ops.Count(),
        "count of all": ops.Count(archived=True),
        "lookup-by-id": ops.LookupById(SECRET),
        "lookup-by-usage": ops.LookupByUsage(USAGE),
        "unsubscribe": ops.Unsubscribe(),
        "whoami": ops.Whoami(),
        "status": ops.Status(),
    } | ({"set-value as ephemeral": ops.SetValue(SECRET, NEW_VALUE, ephemeral=True)} if kept_in_memory else {})


async def become(core: Core, secrets: Secrets) -> None:
    """Have these secrets be there, made anew, and no others."""
    for entry in (await core.call(ops.List(archived=True))).entries:
        await remove(core, entry.secret)
    for secret, there in secrets.items():
        await make(core, secret, there)


async def make(core: Core, secret: UUID, there: There) -> None:
    """Make a secret as it is to be."""
    await core.call(ops.SetXml(secret, SecretDocument(there.attributes)))
    if there.has_value:
        await core.call(ops.SetValue(secret, VALUE))
    befell = there.lifecycle
    for reference in befell.references:
        await core.call(SecretAttach(secret, reference.consumer, reference.kind))
    if befell.protected:
        await core.call(SecretProtect(secret))
    if befell.archived is not None:
        await core.call(SecretArchive(secret))
    if befell.due is not None:
        await core.call(SecretScheduleDeletion(secret))


async def remove(core: Core, secret: UUID) -> None:
    """Delete a secret, whatever is against it."""
    if (await core.call(ops.LookupById(secret))).out_of_use is OutOfUse.PENDING_DELETION:
        await core.call(SecretCancelDeletion(secret))
    befell = await core.call(SecretGetLifecycle(secret))
    for reference in befell.references:
        await core.call(SecretDetach(secret, reference.consumer))
    if befell.protected:
        await core.call(SecretUnprotect(secret))
    await core.call(ops.Delete(secret))


_GRANT = Grant("another", None, Principal(PrincipalKind.USER, 7), frozenset({Permission.READ}), (EverySecret(),))

ADMINISTRATION: Final[Mapping[str, AnyRequest]] = {
    "grant-add": requests.GrantAdd(_GRANT, replace=True),
    "grant-list": requests.GrantList(),
    "grant-show": requests.GrantShow(_GRANT.name),
    "grant-remove": requests.GrantRemove(_GRANT.name),
    "explain": requests.Explain("whoami", uid=7),
    "seal-status": storerequests.SealStatus(),
    "seal-rotate": storerequests.SealRotate(),
    "seal-retire": storerequests.SealRetire(),
    "check": storerequests.Check(),
    "store-accept": storerequests.StoreAccept(),
    "backup": storerequests.Backup(),
    "restore": storerequests.Restore(VALUE),
    "metrics": ops.Metrics(),
}
"""A request of every operation that is for administrators."""

SUBSCRIPTION: Final[Mapping[str, AnyRequest]] = {"subscribe": ops.Subscribe()}
"""A request for events."""


@dataclass(frozen=True, slots=True)
class Said:
    """A request, as it is said at a door.

    Attributes:
        name: for messages.
        request: what it asks for.
        message: what is sent.
    """

    name: str
    request: AnyRequest
    message: bytes


class Door(ABC):
    """A connection by one door."""

    at_libvirts: bool

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def holder(self, grant: Grant) -> Holder:
        """Give who asks here, for the page, with the one grant there is."""
        return Holder(self._caller, grant, self.at_libvirts)

    @abstractmethod
    async def open(self) -> None:
        """Do what has to come before all else; the caller may do something at that moment."""

    @abstractmethod
    def said(self, asked: Mapping[str, AnyRequest]) -> Iterator[Said]:
        """Say those of some requests that can be said at this door."""

    @abstractmethod
    async def ask(self, message: bytes) -> bytes:
        """Give the answer to a message."""

    @abstractmethod
    def told(self, answer: bytes) -> object:
        """Give what an answer says of the outcome."""

    @abstractmethod
    def answer_to(self, outcome: str) -> object:
        """Give what an answer says that tells of an outcome."""

    @abstractmethod
    def shows(self, answer: bytes, secret: UUID) -> bool:
        """Whether an answer names a secret."""

    @abstractmethod
    def counts(self, answer: bytes) -> int:
        """Read the answer to a count."""

    @abstractmethod
    def reveals(self, answer: bytes, value: SecretValue) -> bool:
        """Whether an answer holds a value."""

    @abstractmethod
    def heard(self) -> list[tuple[str, UUID]]:
        """Give what was told unasked: what happened, and to which secret."""

    @abstractmethod
    def in_its_words(self, event: str, after: There | None) -> tuple[str, ...]:
        """Give what this door says where the native one says an event, after which the secret is so."""

    @abstractmethod
    def close(self) -> None:
        """End the connection."""


class NativeDoor(Door):
    """The native door."""

    at_libvirts = False

    def __init__(self, core: Core, caller: Caller) -> None:
        super().__init__(caller)
        self._peer = NativePeer(core, caller)

    async def open(self) -> None:
        """Do nothing: a connection is open."""

    def said(self, asked: Mapping[str, AnyRequest]) -> Iterator[Said]:
        """Say all of them."""
        return (Said(name, request, write_request(7, request) + b"\0") for name, request in asked.items())

    async def ask(self, message: bytes) -> bytes:
        """Give the reply."""
        # Who may do nothing is answered by the message's place, before a serial is read.
        return re.sub(rb"message='[0-9]+'", b"message=''", await self._peer.ask(message))

    def told(self, answer: bytes) -> object:
        """Give the error's code."""
        return code_of(answer) or ALLOWED

    def answer_to(self, outcome: str) -> object:
        """Give the same."""
        return outcome

    def shows(self, answer: bytes, secret: UUID) -> bool:
        """Look for the id."""
        return str(secret).encode() in answer

    def counts(self, answer: bytes) -> int:
        """Read the number."""
        found = re.search(rb"secrets='([0-9]+)'", answer)
        assert found
        return int(found[1])

    def reveals(self, answer: bytes, value: SecretValue) -> bool:
        """Look for it in base64."""
        return write_request(7, ops.SetValue(SECRET, value)).partition(b"<value>")[2].partition(b"<")[0] in answer

    def heard(self) -> list[tuple[str, UUID]]:
        """Read the events."""
        found = re.findall(rb"<event><([a-z-]+) secret='([0-9a-f-]+)'", b"".join(self._peer.sent))
        return [(name.decode(), UUID(secret.decode())) for name, secret in found]

    def in_its_words(self, event: str, after: There | None) -> tuple[str, ...]:  # noqa: ARG002  # libvirt's needs it
        """Give the same."""
        return (event,)

    def close(self) -> None:
        """End the session."""
        self._peer.session.give_up()


class LibvirtDoor(Door):
    """libvirt's door."""

    at_libvirts = True

    def __init__(self, core: Core, caller: Caller) -> None:
        super().__init__(caller)
        self._peer = Peer(host_of(core, Mode.SYSTEM), caller)

    async def open(self) -> None:
        """Open the daemon's URI."""
        await self._peer.open(b"secret:///system")

    def said(self, asked: Mapping[str, AnyRequest]) -> Iterator[Said]:
        """Say what libvirt has a call for, in each way that it has."""
        for name, request in asked.items():
            for procedure, body in _calls(request):
                message = frame(PROGRAM, VERSION, procedure, Kind.CALL, 7, Status.OK, body)
                yield Said(f"{name} by {procedure.name}", request, message)

    async def ask(self, message: bytes) -> bytes:
        """Give the status of the reply, and its body."""
        reply = await self._peer.ask(message)
        return bytes([reply.status]) + reply.body

    def told(self, answer: bytes) -> object:
        """Give the error's code, domain and level."""
        if answer[0] == Status.OK:
            return ALLOWED
        refused = refusal(Packet(PROGRAM, VERSION, 1, Kind.REPLY, 7, Status.ERROR, answer[1:]))
        return refused.code, refused.domain, refused.level

    def answer_to(self, outcome: str) -> object:
        """Give libvirt's numbers for it. Source: docs/libvirt.md, "Errors"."""
        return outcome if outcome == ALLOWED else (*_LIBVIRT_ERRORS[outcome], 2)

    def shows(self, answer: bytes, secret: UUID) -> bool:
        """Look for the id, as bytes or as text."""
        return secret.bytes in answer or str(secret).encode() in answer

    def counts(self, answer: bytes) -> int:
        """Read the number, which is the last in the answer."""
        return int.from_bytes(answer[-4:], "big")

    def reveals(self, answer: bytes, value: SecretValue) -> bool:
        """Look for it as it is."""
        return value.reveal() in answer

    def heard(self) -> list[tuple[str, UUID]]:
        """Read the events."""
        return [_read_event(packet) for packet in self._peer.sent]

    def in_its_words(self, event: str, after: There | None) -> tuple[str, ...]:
        """Give libvirt's words. Source: docs/libvirt.md, "Events"."""
        if event == "defined" and after is not None and after.has_value:
            return "defined", "value-changed"
        return ({"changed": "defined", "deleted": "undefined"}.get(event, event),)

    def close(self) -> None:
        """End the session."""
        self._peer.session.give_up()


def _read_event(packet: Packet) -> tuple[str, UUID]:
    decoder = Decoder(packet.body)
    decoder.int32()
    secret = UUID(bytes=decoder.fixed(16))
    if packet.procedure == Procedure.SECRET_EVENT_VALUE_CHANGED:
        return "value-changed", secret
    assert packet.procedure == Procedure.SECRET_EVENT_LIFECYCLE
    decoder.int32()
    decoder.string(4_096)
    return LifecycleEvent(decoder.int32()).name.lower(), secret


_LIBVIRT_ERRORS = {
    "access-denied": (88, 55),
    "no-secret": (66, 30),
    "no-value": (66, 30),
    "private": (65, 30),
    "read-only": (29, 30),
    "conflict": (1, 30),
    "wrong-state": (55, 30),
    "referenced": (55, 30),
    "operation-invalid": (55, 30),
}


def _calls(request: AnyRequest) -> Iterator[tuple[Procedure, bytes]]:
    """Give the calls that ask libvirt's door for what a request does."""
    match request:
        case ops.Define():
            yield Procedure.SECRET_DEFINE_XML, xdr.string(write_secret(request.document)) + xdr.uint32(0)
        case ops.SetValue(create=False):
            value = xdr.opaque(request.value.reveal())
            yield Procedure.SECRET_SET_VALUE, ref(request.secret) + value + xdr.uint32(0)
        case ops.GetXml():
            yield Procedure.SECRET_GET_XML_DESC, flagged()(request.secret)
        case ops.GetValue():
            yield Procedure.SECRET_GET_VALUE, flagged()(request.secret)
        case ops.Delete(digest=None):
            yield Procedure.SECRET_UNDEFINE, ref(request.secret)
        case ops.LookupById():
            yield Procedure.SECRET_LOOKUP_BY_UUID, request.secret.bytes
        case ops.LookupByUsage():
            number = USAGE_NUMBERS[request.usage.type]
            yield Procedure.SECRET_LOOKUP_BY_USAGE, xdr.int32(number) + xdr.string(request.usage.id)
        case ops.List(archived=False):
            yield Procedure.CONNECT_LIST_SECRETS, xdr.int32(9)
            yield Procedure.CONNECT_LIST_ALL_SECRETS, xdr.int32(1) + xdr.uint32(0)
        case ops.Count(archived=False):
            yield Procedure.CONNECT_NUM_OF_SECRETS, b""
            yield Procedure.CONNECT_LIST_ALL_SECRETS, xdr.int32(0) + xdr.uint32(0)
        case ops.Subscribe():
            for event in EventId:
                yield Procedure.CONNECT_SECRET_EVENT_REGISTER_ANY, xdr.int32(event) + xdr.uint32(0)
