"""The targets of fuzzing: what may be made of any bytes at all, by every reader that meets bytes of others.

A target takes bytes and returns, or raises: BrokenPromiseError where one does not hold, and what else the reader let
through that it should not have.  The same targets are run by contrib/fuzz, by hypothesis and over the kept findings.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from helpers import fuzz_seeds, storage_vectors
from helpers.framing import Event, Fault, drain
from helpers.libvirt_bodies import DECODERS, weight
from secretd import limits
from secretd.core import attributes as attributes_record
from secretd.core import grantform
from secretd.crypto.envelope import open_record
from secretd.crypto.keyring import Domain, Keyring
from secretd.crypto.padding import pad, unpad
from secretd.crypto.sealfile import SealFile
from secretd.documents.events import is_event, read_event, write_event
from secretd.documents.grant import read_grant, write_grant
from secretd.documents.key import read_key, write_key, write_key_compactly
from secretd.documents.libvirt_secret import read_libvirt_secret
from secretd.documents.messages import RequestError, open_request, read_reply, write_error, write_reply, write_request
from secretd.documents.scan import UnknownNames
from secretd.documents.secret import read_secret, write_secret
from secretd.errors import (
    InvalidDocumentError,
    InvalidRequestError,
    InvalidXmlError,
    LibvirtError,
    RemoteProtocolError,
    SealError,
    SecretdError,
    StoreCorruptError,
)
from secretd.model import SecretDocument, SecretValue, SlotKind
from secretd.operations import OPERATIONS
from secretd.wire.libvirt import LibvirtFraming, Packet
from secretd.wire.libvirt_procedures import Kind
from secretd.wire.native import Message, NativeFraming
from secretd.wire.stream import Pause
from secretd.wire.xdr import XdrError

_CARRIED = SecretValue(b"carried")
_KEPT = limits.DESCRIPTORS_PER_MESSAGE + 1


class BrokenPromiseError(AssertionError):
    """A promise that does not hold."""


@dataclass(frozen=True, slots=True)
class Target:
    """A reader, and what is known of what it reads.

    Attributes:
        run: does with some bytes all that may be done with them.
        seeds: gives what to start from.
        most_bytes: how long an input makes sense.
        tokens: pieces that its inputs are made of.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    most_bytes: int
    tokens: Sequence[str] = ()


def _hold(promise: bool, words: str) -> None:
    if not promise:
        raise BrokenPromiseError(words)


# Documents.


def _answerable(error: SecretdError) -> None:
    """Hold that an error reaches the peer as it is, and quotes nothing."""
    _hold(isinstance(error, InvalidRequestError), "a fault of the request's is an invalid request")
    _hold(fuzz_seeds.MARKER not in error.message, "no error quotes what a client sent")
    told = read_reply(write_error(error, serial=1)).error
    _hold(type(told) is type(error) and told.message == error.message, "an error is read as it was written")


def _request(body: bytes) -> None:
    try:
        document = open_request(body)
    except RequestError as refusal:
        _answerable(refusal.error)
        return
    for carried in (None, _CARRIED):
        try:
            request = document.read(carried)
        except SecretdError as error:
            _answerable(error)
            continue
        written = write_request(
            document.serial, request, descriptor=document.descriptor, value_by_descriptor=carried is not None
        )
        again = open_request(written)
        _hold((again.serial, again.descriptor) == (document.serial, document.descriptor), "the head comes back")
        _hold(again.read(carried) == request, "a request comes back")


def _reply(body: bytes) -> None:
    try:
        document = read_reply(body)
    except (InvalidXmlError, InvalidDocumentError):
        return
    _hold((document.serial is None) != (document.message is None), "a reply answers a serial or an ordinal")
    for operation, carried in itertools.product(OPERATIONS, (None, _CARRIED)):
        try:
            reply = document.read(operation.request, carried)
        except (RemoteProtocolError, InvalidRequestError):
            continue
        except SecretdError as error:
            _hold(error is document.error, "only the daemon's own error is raised")
            continue
        written = write_reply(document.serial or 0, operation, reply, value_by_descriptor=carried is not None)
        _hold(read_reply(written).read(operation.request, carried) == reply, "a reply comes back")


def _event(body: bytes) -> None:
    try:
        event = read_event(body)
    except (InvalidXmlError, InvalidDocumentError):
        return
    _hold(read_event(write_event(event)) == event, "an event comes back")
    _hold(is_event(write_event(event)), "an event is known by its beginning")


_names = UnknownNames()
"""One for all inputs, as a uid has one: a fresh one each time would make lxml grow without end."""


def _libvirt_secret(body: bytes) -> None:
    read = {}
    readers: dict[str, Callable[[], SecretDocument]] = {
        "strictly": lambda: read_secret(body),
        "validated": lambda: read_libvirt_secret(body, _names, validate=True),
        "loosely": lambda: read_libvirt_secret(body, _names, validate=False),
    }
    for name, reader in readers.items():
        try:
            read[name] = reader()
        except InvalidRequestError as error:
            _hold(name == "strictly", "libvirt's reader has faults of its own only")
            _answerable(error)
        except LibvirtError as fault:
            _hold(name != "strictly", "only libvirt's reader has them")
            _hold(fuzz_seeds.MARKER not in fault.message, "no error quotes what a client sent")
    if read:
        _hold("loosely" in read, "what a schema allows libvirt's reader reads too")
    for document in read.values():
        _hold(document == read["loosely"], "all readings read alike")
        _hold(read_secret(write_secret(document).encode()) == document, "a document comes back")


def _grant(body: bytes) -> None:
    try:
        grant = read_grant(body)
    except InvalidRequestError as error:
        _answerable(error)
        return
    written = write_grant(grant)
    _hold(read_grant(written.encode()) == grant, "a grant comes back")
    _hold(grantform.from_bytes(grantform.to_bytes(grant)) == grant, "what can be said can be kept")


def _key(body: bytes) -> None:
    try:
        key = read_key(body)
    except InvalidRequestError as error:
        _answerable(error)
        return
    for write in (write_key, write_key_compactly):
        _hold(read_key(write(key).encode()) == key, "a key's document comes back")


# The framing.


@dataclass(frozen=True, slots=True)
class _Piece:
    data: bytes
    descriptors: int
    drained: bool


def _pieces(plan: bytes) -> Iterator[_Piece]:
    """Cut a plan into what each recvmsg gives; its first byte says how much, and what comes with it."""
    place = 0
    while place < len(plan):
        head, start = plan[place], place + 1
        length = head >> 3
        place = start + length
        # The longest stands for a filling, or no plan would ever reach the bound of a message.
        data = b"a" * 100_000 if length == 31 else plan[start:place]
        yield _Piece(data, head & 3 if data else 0, bool(head & 4))


def _expected(stream: bytes) -> list[Event]:
    *bodies, rest = stream.split(b"\0")
    short = list(itertools.takewhile(lambda body: len(body) <= limits.MESSAGE_BYTES, bodies))
    events: list[Event] = [Message(ordinal, body) for ordinal, body in enumerate(short, 1)]
    if len(short) < len(bodies) or len(rest) > limits.MESSAGE_BYTES:
        return [*events, Fault(f"a message may have at most {limits.MESSAGE_BYTES} bytes")]
    return [*events, Fault("the stream ended inside a message") if rest else Pause.END]


def _framing(plan: bytes) -> None:
    framing, stream, numbers = NativeFraming(), bytearray(), itertools.count(3)
    given: dict[int, int] = {}
    back: list[int] = []
    events: list[Event] = []
    for piece in _pieces(plan):
        stream += piece.data
        descriptors = list(itertools.islice(numbers, piece.descriptors))
        given |= dict.fromkeys(descriptors, len(stream) - 1)
        back += framing.receive(piece.data, descriptors)
        if piece.drained:
            events += [event for event in drain(framing) if isinstance(event, Message)]
    framing.receive_eof()
    events += drain(framing)
    messages = [event for event in events if isinstance(event, Message)]
    bare = [Message(event.ordinal, event.body) if isinstance(event, Message) else event for event in events]
    _hold(bare == _expected(bytes(stream)), "how the bytes were cut never changes the messages")
    _belongs(messages, given)
    back += [descriptor for message in messages for descriptor in message.descriptors]
    _hold(sorted([*back, *framing.take_descriptors()]) == sorted(given), "no descriptor is lost or doubled")


def _belongs(messages: list[Message], given: dict[int, int]) -> None:
    start = 0
    for message in messages:
        end = start + len(message.body)
        own = [descriptor for descriptor, last_byte in given.items() if start <= last_byte <= end]
        _hold(list(message.descriptors) == own[:_KEPT], "a descriptor belongs to the message of its last byte")
        start = end + 1


# libvirt's RPC.

_FRAME_BYTES = range(28, limits.LIBVIRT_FRAME_BYTES + 1)
_DECODERS = list(DECODERS.values())
_WITH_DESCRIPTORS = (Kind.CALL_WITH_FDS, Kind.REPLY_WITH_FDS)


def _libvirt_framing(plan: bytes) -> None:
    bare, given, stream, numbers = LibvirtFraming(), LibvirtFraming(), bytearray(), itertools.count(3)
    events: list[Packet | Pause | Fault] = []
    for piece in _pieces(plan):
        stream += piece.data
        bare.receive(piece.data)
        descriptors = tuple(itertools.islice(numbers, piece.descriptors))
        _hold(given.receive(piece.data, descriptors) == descriptors, "every descriptor is given back")
        if piece.drained:
            events += [event for event in drain(bare) if isinstance(event, Packet)]
    bare.receive_eof()
    events += drain(bare)
    expected, length = _packets(bytes(stream))
    _hold(events[:-1] == expected, "how the bytes were cut never changes the packets")
    _hold((events[-1] is Pause.END) == (length == len(stream)), "what is no packet is a fault, and nothing else is")
    _hold(drain(given)[: len(expected)] == expected, "descriptors that nobody announced are no matter")


def _packets(stream: bytes) -> tuple[list[Packet], int]:
    """Read whole packets that announce no descriptors; gives how many bytes those are, too."""
    packets, place = [], 0
    while len(stream) - place >= 28:
        length, program, version, procedure, kind, serial, status = struct.unpack_from(">IIIiiIi", stream, place)
        head = 32 if kind in _WITH_DESCRIPTORS else 28
        end = place + length
        if length not in _FRAME_BYTES or length < head or end > len(stream) or any(stream[place + 28 : place + head]):
            break
        oversize = length > limits.LIBVIRT_MESSAGE_BYTES
        body = b"" if oversize else stream[place + head : end]
        plain = kind - Kind.CALL_WITH_FDS if kind in _WITH_DESCRIPTORS else kind
        packets.append(Packet(program, version, procedure, plain, serial, status, body, oversize))
        place = end
    return packets, place


def _libvirt_body(data: bytes) -> None:
    """Read a body as the arguments of the procedure that its first byte chooses."""
    decode, body = _DECODERS[(data[:1] or b"\0")[0] % len(_DECODERS)], data[1:]
    with suppress(XdrError):
        arguments = decode(body)
        _hold(weight(arguments) <= len(body), "nothing is read that is not there")
        # Written out, as a double may be no number, which is equal to nothing.
        _hold(repr(decode(body + b"behind")) == repr(arguments), "what is behind the arguments is no matter")


# What is stored.

_KEYRINGS = {
    domain: Keyring(
        domain,
        UUID(int=0),
        {version: key for (label, version), key in storage_vectors.KEYS.items() if label == domain.label},
        storage_vectors.INDEX_KEY,
        storage_vectors.DIGEST_KEY,
    )
    for domain in Domain
}


def _sealed_by_us() -> Iterator[tuple[bytes, bytes]]:
    for seed in fuzz_seeds.records():
        name, sealed = _named(seed)
        with suppress(StoreCorruptError):
            open_record(_KEYRINGS, name, sealed)
            yield name, sealed


def _named(data: bytes) -> tuple[bytes, bytes]:
    """Cut an input into a name of 1 to 256 bytes and a record."""
    end = 2 + (data[0] if data else 0)
    return data[1:end] or b"n", data[end:]


_SEALED = frozenset(_sealed_by_us())


def _record(data: bytes) -> None:
    name, sealed = _named(data)
    with suppress(StoreCorruptError):
        open_record(_KEYRINGS, name, sealed)
        _hold((name, sealed) in _SEALED, "nothing opens but what was sealed")


def _seal_file(data: bytes) -> None:
    try:
        seal_file = SealFile.parse(data)
    except SealError:
        return
    _hold(seal_file.to_bytes() == data, "one spelling only")
    for root_key in (_root_key(seal_file), storage_vectors.ROOT_KEY):
        with suppress(SealError):
            keyring = seal_file.open_keyring(root_key)
            _hold((keyring.domain, keyring.id) == (seal_file.domain, seal_file.id), "a keyring is its seal file's")


def _root_key(seal_file: SealFile) -> bytes:
    with suppress(SealError):
        return seal_file.open_root(SlotKind.LOCAL_FILE, storage_vectors.FILE_KEY)
    return b""


def _keyring(payload: bytes) -> None:
    with suppress(SealError):
        keyring = Keyring.from_payload(Domain.SHARED, UUID(int=0), payload)
        _hold(keyring.to_payload() == payload, "one spelling only")


def _value(plaintext: bytes) -> None:
    with suppress(StoreCorruptError):
        _hold(pad(unpad(plaintext)) == plaintext, "one padded form only")


def _attributes(plaintext: bytes) -> None:
    with suppress(StoreCorruptError):
        attributes, counter, lifecycle = attributes_record.from_bytes(plaintext)
        _hold(type(counter) is int and 0 <= counter < 2**64, "the value's counter is one")
        _hold(type(attributes.private) is bool, "private is yes or no")
        _hold(isinstance(attributes.description, str | None), "a description is a text")
        _hold(attributes_record.to_bytes(attributes, counter, lifecycle) == plaintext, "one spelling only")


def _grant_record(plaintext: bytes) -> None:
    with suppress(StoreCorruptError):
        grant = grantform.from_bytes(plaintext)
        _hold(grantform.to_bytes(grant) == plaintext, "one spelling only")
        _hold(read_grant(write_grant(grant).encode()) == grant, "what is kept can be shown")


TARGETS: dict[str, Target] = {
    "request": Target(_request, fuzz_seeds.requests, limits.MESSAGE_BYTES + 1, fuzz_seeds.DOCUMENT_TOKENS),
    "reply": Target(_reply, fuzz_seeds.replies, limits.MESSAGE_BYTES + 1, fuzz_seeds.DOCUMENT_TOKENS),
    "event": Target(_event, fuzz_seeds.events, limits.MESSAGE_BYTES + 1, fuzz_seeds.DOCUMENT_TOKENS),
    "libvirt-secret": Target(
        _libvirt_secret, fuzz_seeds.secrets, limits.DOCUMENT_BYTES + 1, fuzz_seeds.DOCUMENT_TOKENS
    ),
    "grant": Target(_grant, fuzz_seeds.grants, limits.DOCUMENT_BYTES + 1, fuzz_seeds.DOCUMENT_TOKENS),
    "key": Target(_key, fuzz_seeds.keys, limits.KEY_DOCUMENT_BYTES + 1, fuzz_seeds.DOCUMENT_TOKENS),
    "framing": Target(_framing, fuzz_seeds.streams, 1_000),
    "libvirt-framing": Target(_libvirt_framing, fuzz_seeds.libvirt_streams, 1_000, fuzz_seeds.XDR_TOKENS),
    "libvirt-body": Target(_libvirt_body, fuzz_seeds.libvirt_bodies, 1_000, fuzz_seeds.XDR_TOKENS),
    "record": Target(_record, fuzz_seeds.records, 1_000),
    "seal-file": Target(_seal_file, fuzz_seeds.seal_files, limits.KEYRING_BYTES + 1, fuzz_seeds.JSON_TOKENS),
    "keyring": Target(_keyring, fuzz_seeds.keyring_payloads, limits.KEYRING_BYTES + 1, fuzz_seeds.JSON_TOKENS),
    "value": Target(_value, fuzz_seeds.padded_values, limits.VALUE_BYTES + 5),
    "attributes": Target(_attributes, fuzz_seeds.attributes_records, limits.STORE_VALUE_BYTES, fuzz_seeds.JSON_TOKENS),
    "grant-record": Target(_grant_record, fuzz_seeds.grant_records, limits.STORE_VALUE_BYTES, fuzz_seeds.JSON_TOKENS),
}
"""Every target by its name."""
