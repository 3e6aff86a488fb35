"""What fuzzing starts from: one good input at least for everything that a target reads, and known bad ones.

Documents follow from the table of operations, what is stored from the vectors, libvirt's RPC from recorded frames.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

from helpers import storage_vectors
from helpers.documents import DIGEST, SECRET_ID
from helpers.libvirt_bodies import DECODERS
from helpers.tree import ROOT
from secretd import limits
from secretd.core import attributes as attributes_record
from secretd.core import grantform
from secretd.documents.events import write_event
from secretd.documents.grant import write_grant
from secretd.documents.key import write_key
from secretd.documents.messages import write_error, write_reply, write_request
from secretd.documents.secret import write_secret
from secretd.documents.vocabulary import ATTRIBUTES, ELEMENTS
from secretd.errors import WIRE_ERRORS
from secretd.fields import Field, fields_of
from secretd.grants import EverySecret, Grant, PermissionSet, Principal, PrincipalKind, Scope, UsageLike
from secretd.keys import Blob, KeyDocument, KeyId, Tag
from secretd.lifecycle import Lifecycle, Reference, ReferenceKind
from secretd.model import Attributes, Digest, Permission, SecretDocument, SecretValue, Usage, UsageType
from secretd.operations import EVENTS, OPERATIONS, SetValue
from secretd.wire.libvirt_procedures import Procedure

MARKER = "hunter2"
"""Stands for a value wherever a text may stand: no error may quote it."""

_BAD_DOCUMENTS = (
    b"",
    b"<",
    b"<secret>",
    b"<secret/><secret/>",
    b"\xef\xbb\xbf<secret/>",
    b"\xfe\xff\x00<\x00a\x00/\x00>",
    b"<secret \xff=''/>",
    b"<secret private='yes' private='no'/>",
    b"<!DOCTYPE secret [<!ENTITY a 'hunter2'>]><secret><description>&a;</description></secret>",
    b"<?xml version='1.0' encoding='UTF-16'?><secret/>",
    b"<?xml-stylesheet href='hunter2'?><secret/>",
    b"<secret><description>&#0;&#x110000;&hunter2;</description></secret>",
    b"<secret xmlns='urn:hunter2'/>",
    b"<secret xmlns:a='urn:hunter2'><a:hunter2/></secret>",
    b"<secret><description><![CDATA[hunter2]]><!-- hunter2 --></description></secret>",
    b"<secret>" * 20,
    b"<request serial='1'><hunter2/></request>",
    b"<request serial='4294967296'><status/></request>",
    b"<request serial='1'><set-value secret='hunter2'><value>hunter2</value></set-value></request>",
)

_LONG_PARTS = (b"<status/>", b"<secret private='yes'><uuid>a</uuid></secret>", b"&lt;", b"<a b='c'/>", b"<!-- -->")


def _grant(description: str, scope: Scope) -> Grant:
    return Grant("g", description, Principal(PrincipalKind.ANYONE), frozenset({Permission.READ}), (scope,))


_SAMPLES: dict[object, Any] = {
    bool: True,
    str: f"a <b> & {MARKER}",
    UUID: UUID(SECRET_ID),
    Digest: Digest(DIGEST),
    SecretValue: SecretValue(b"open sesame"),
    Usage: Usage(UsageType.VOLUME, f"/{MARKER}"),
    SecretDocument: SecretDocument(
        Attributes(Usage(UsageType.ISCSI, MARKER), "é", ephemeral=True, private=True), UUID(SECRET_ID)
    ),
    KeyId: KeyId(MARKER),
    datetime: datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC),
    Blob: Blob(b"sealed"),
    KeyDocument: KeyDocument(KeyId(MARKER), description=MARKER, tags=(Tag(f"{MARKER}\t'", MARKER),), rotation=90),
    Reference: Reference(MARKER, ReferenceKind.ASSOCIATED),
    Grant: _grant(MARKER, UsageLike(UsageType.CEPH, f"{MARKER} *")),
}

DOCUMENT_TOKENS = (
    *sorted(ELEMENTS),
    *sorted(ATTRIBUTES),
    *(f"<{name}" for name in sorted(ELEMENTS)),
    *(f"</{name}>" for name in sorted(ELEMENTS)),
    *(f" {name}='" for name in sorted(ATTRIBUTES)),
    *("'/>", "'>", "yes", "no", "&lt;", "&#10;", "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>", "<!DOCTYPE "),
    *(word.value for words in (UsageType, Permission, PermissionSet) for word in words),
    *("**", "/../", "nginx.service", "2027-12-31T23:59:59Z", "encrypt-decrypt"),
    *(SECRET_ID, DIGEST, MARKER, "xmlns:a='", "AAAA", "===="),
)
"""What a document is made of, for a fuzzer that puts pieces together."""

XDR_TOKENS = tuple("\0\0\0" + chr(number) for number in (0, 1, 2, 3, 4, 5, 7, 16, 20, 28, 32))
"""Words of XDR that lengths, counts and kinds are."""

JSON_TOKENS = ('":', '{"', "[[", "null", "true", "NaN", "-1", "1e9", "1.0", "\\u0061", "\\ud800", '","')


def requests() -> Iterator[bytes]:
    """Give a request of each operation, with and without what may be left out and what travels beside it."""
    for operation in OPERATIONS:
        for full in (False, True):
            yield write_request(1, _sample(operation.request, full), descriptor=full)
        yield write_request(2, _sample(operation.request, full=True), value_by_descriptor=True)
    yield write_request(3, SetValue(UUID(SECRET_ID), SecretValue(bytes(limits.VALUE_BYTES))))
    yield from _BAD_DOCUMENTS
    for part in _LONG_PARTS:
        yield b"<request serial='4'>" + part * ((limits.MESSAGE_BYTES - 40) // len(part)) + b"</request>"


def replies() -> Iterator[bytes]:
    """Give a reply of each operation, and each error."""
    for operation in OPERATIONS:
        for full in (False, True):
            yield write_reply(1, operation, _sample(operation.reply, full), value_by_descriptor=full)
    for error in WIRE_ERRORS.values():
        yield write_error(error("no"), serial=1)
        yield write_error(error("no"), message=1)
    yield from _BAD_DOCUMENTS


def events() -> Iterator[bytes]:
    """Give an event of each kind."""
    for event in EVENTS.values():
        for full in (False, True):
            yield write_event(_sample(event, full))
    yield from _BAD_DOCUMENTS


def secrets() -> Iterator[bytes]:
    """Give a secret's document with each usage, written by us and as others write it."""
    for attributes in _attributes():
        yield write_secret(SecretDocument(attributes, UUID(SECRET_ID))).encode()
    yield f"<secret><uuid> {UUID(SECRET_ID).hex} </uuid><volume>/a</volume></secret>".encode()
    yield f"<secret other='{MARKER}'><other/><description>a<b>c</b></description></secret>".encode()
    yield from _BAD_DOCUMENTS


def grants() -> Iterator[bytes]:
    """Give the documents of grants that are right, and others that nearly are."""
    for vector in _vectors("grants.json"):
        if "document" in vector:
            yield vector["document"].encode()
    yield write_grant(_grant(MARKER, UsageLike(UsageType.CEPH, f"{MARKER}\t\n\r<&'\"*"))).encode()
    for place in ("name", "expires"):
        yield f"<grant><{place}> {MARKER} </{place}></grant>".encode()
    yield f"<grant><principal><user uid='{MARKER}'/></principal></grant>".encode()
    yield f"<grant><principal><executable path='{MARKER}' sha256='{MARKER}'/></principal></grant>".encode()
    yield f"<grant><allow set='{MARKER}'><permission name='{MARKER}'/></allow></grant>".encode()
    yield f"<grant><scope><secret uuid='{MARKER}'/><usage type='none' pattern='{MARKER}'/></scope></grant>".encode()
    yield from _BAD_DOCUMENTS


def keys() -> Iterator[bytes]:
    """Give the documents of keys that are right, and others that nearly are."""
    yield write_key(_SAMPLES[KeyDocument]).encode()
    yield b"<key/>"
    yield f"<key><tag name='{MARKER}'/><rotation days='3650'/><id>{MARKER}</id><tag name='a'>b</tag></key>".encode()
    for place in ("id", "usage", "secret"):
        yield f"<key><{place}> {MARKER} </{place}></key>".encode()
    yield f"<key exportable='{MARKER}'/>".encode()
    yield f"<key><tag name=''>{MARKER}</tag><rotation days='{MARKER}'/></key>".encode()
    yield f"<key><tag name='{MARKER}'/><tag name='{MARKER}'/></key>".encode()
    yield from _BAD_DOCUMENTS


def streams() -> Iterator[bytes]:
    """Give what helpers.fuzz_targets makes pieces and descriptors of."""
    yield b""
    yield b"\x58<status/>\0x"
    yield b"\x11a\0\x0db\x1acd\0"
    yield b"\xf8" * 3 + b"\x08\0"
    yield b"\xf9" * 2 + b"\xff\x0b\0\x0b\0"
    yield bytes(range(256))


def libvirt_streams() -> Iterator[bytes]:
    """Give recorded frames in pieces, and others that are none, as helpers.fuzz_targets takes them."""
    yield b""
    for frame in _libvirt_frames():
        yield _plan(frame, 30)
        yield _plan(frame, 4)
    for head in ("00000000", "0000001b", "02000005", "00000020" + "20008086" * 3 + "00000004" * 4):
        yield _plan(bytes.fromhex(head), 30)
    # Over the bound of what is kept: three fillings, and the rest of another.
    yield _plan(bytes.fromhex("000493fc" + "00000001" * 6), 30) + b"\xfc" * 3 + _plan(bytes.fromhex("0000001c"), 30)


def libvirt_bodies() -> Iterator[bytes]:
    """Give the bodies of recorded calls, each behind the place of its decoder."""
    places = {procedure: place for place, procedure in enumerate(DECODERS)}
    for frame in _libvirt_frames():
        procedure = int.from_bytes(frame[12:16])
        if procedure in places:
            yield bytes([places[Procedure(procedure)]]) + frame[28:]


def _plan(stream: bytes, length: int) -> bytes:
    """Cut a stream into pieces of a length under 31, each taken at once."""
    pieces = [stream[start : start + length] for start in range(0, len(stream), length)]
    return b"".join(bytes([len(piece) << 3 | 4]) + piece for piece in pieces)


def _libvirt_frames() -> list[bytes]:
    kept = json.loads((ROOT / "tests" / "vectors" / "libvirt-frames.json").read_text(encoding="ascii"))
    return [bytes.fromhex(vector["hex"]) for vector in kept["vectors"]]


def records() -> Iterator[bytes]:
    """Give the vectors of records, each behind its name and that one's length."""
    for vector in _vectors("records.json"):
        name = bytes.fromhex(vector["name"])
        yield bytes([len(name) - 1]) + name + bytes.fromhex(vector["sealed"])


def seal_files() -> Iterator[bytes]:
    """Give the vectors of seal files."""
    for vector in _vectors("seal-files.json"):
        yield "".join(part * times for part, times in vector["text"]).encode()


def keyring_payloads() -> Iterator[bytes]:
    """Give the payloads of the vectors of seal files."""
    yield from {vector["payload"].encode() for vector in _vectors("seal-files.json") if "payload" in vector}


def padded_values() -> Iterator[bytes]:
    """Give the vectors of padding."""
    for vector in _vectors("padding.json"):
        yield b"".join(bytes.fromhex(part) * times for part, times in vector["plaintext"])


def attributes_records() -> Iterator[bytes]:
    """Give an attributes record with each usage, and some that no version wrote."""
    for attributes in _attributes():
        for counter in (0, 2**64 - 1):
            yield attributes_record.to_bytes(attributes, counter)
    references = tuple(Reference(f"{MARKER}{number}", kind) for number, kind in enumerate(ReferenceKind))
    for lifecycle in (Lifecycle(archived=1), Lifecycle(due=2**40, references=references), Lifecycle(protected=True)):
        yield attributes_record.to_bytes(Attributes(), 1, lifecycle)
    yield b'{"description":null,"private":0,"usage":null,"value":[]}'
    yield b'{"description":[],"private":false,"usage":{},"value":NaN}'
    yield b"[" * 2000


def grant_records() -> Iterator[bytes]:
    """Give the vectors of grants, and the record of one more."""
    for vector in _vectors("grants.json"):
        yield vector["plaintext"].encode()
    yield grantform.to_bytes(_grant(MARKER, EverySecret()))


def _attributes() -> Iterator[Attributes]:
    yield Attributes()
    yield Attributes(description=f"é {MARKER}", private=True)
    for kind in UsageType:
        if kind is not UsageType.NONE:
            yield Attributes(Usage(kind, MARKER))


def _vectors(corpus: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = storage_vectors.CORPORA[corpus]()["vectors"]  # type: ignore[assignment]  # JSON
    return vectors


def _sample(record: type, full: bool = False) -> Any:
    """Make a request or reply: with every field, or with those only that must be there."""
    defaults = {item.name: item.default for item in fields(record)}
    wanted = [item for item in fields_of(record) if full or item.required or (item.many and defaults[item.name] != ())]
    return record(**{item.name: _value(item, full) for item in wanted})


def _value(item: Field, full: bool) -> Any:
    if item.type in _SAMPLES:
        sample = _SAMPLES[item.type]
        return (sample,) * 2 if item.many else sample
    if item.many:
        return (_sample(item.type, full),) * 2
    return next(iter(item.type)) if issubclass(item.type, Enum) else item.help.low or 0
