"""The messages of the native protocol: requests, replies and errors, to and from their bytes.

What a message carries besides text, a value in a descriptor, is handed in and out beside it: this module knows
no descriptor.  Framing (the NUL) is wire/native.py's.

The rules it keeps:

- A request that does not parse is refused without a serial, also if one can be seen in it; one that parses and is
  wrong, with its serial, if that is valid.
- If reading succeeds, writing gives the same request or reply again.
- A descriptor that was not announced is as wrong as one that was announced and did not come.
- What a daemon answers is held to its schema as strictly as what a client asks.

Source: docs/protocol.md, "Requests and replies" and "Values".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

from lxml import etree

from secretd import limits
from secretd.documents.codecs import Codec
from secretd.documents.diagnosis import place
from secretd.documents.escape import escape
from secretd.documents.exact import ExactForm, ExactReader, has_exact_form
from secretd.documents.scalars import YES_NO
from secretd.documents.scan import Scanned, UnknownName, scan
from secretd.documents.shapes import ERROR_CODE, ORDINAL, REPLY, REQUEST, SERIAL, may_be_carried
from secretd.documents.validation import Grammar, parse, read_strictly
from secretd.documents.values import by_descriptor
from secretd.errors import (
    WIRE_ERRORS,
    InvalidValueError,
    InvalidXmlError,
    RemoteProtocolError,
    SecretdError,
    UnknownOperationError,
)
from secretd.fields import fields_of
from secretd.model import SecretValue
from secretd.operations import BY_NAME, BY_REQUEST, OPERATIONS, Operation, Reply, Request

ReplyT = TypeVar("ReplyT", bound=Reply)

_REQUEST = Grammar("request.rng", "request", REQUEST)
_REPLY = Grammar("reply.rng", "reply", REPLY)
_REQUESTS = {operation.name: Codec(operation.request, operation.name) for operation in OPERATIONS}
_REPLIES = {operation.name: Codec(operation.reply, operation.name) for operation in OPERATIONS}
_EXACT_REQUEST = ExactReader(
    "<request serial='([0-9]+)'( descriptor='yes')?>",
    "</request>",
    {row.name: ExactForm(row.request, row.name) for row in OPERATIONS if has_exact_form(row.request)},
)
_EXACT_REPLY = ExactReader(
    "<reply serial='([0-9]+)'>",
    "</reply>",
    {row.name: ExactForm(row.reply, row.name) for row in OPERATIONS if has_exact_form(row.reply)},
)

_CARRIED: Mapping[type, str] = {
    record: item.name
    for operation in OPERATIONS
    for record in (operation.request, operation.reply)
    for item in fields_of(record)
    if may_be_carried(item)
}

_Read = Callable[[SecretValue | None], Any]
"""Reads what a document holds; the value is what came in a descriptor beside it."""


class RequestError(Exception):
    """A request that could not be opened: why, and how to answer it.

    It stands beside the tree of errors and holds one: the door answers with ``error``, by ``serial`` or, if
    that is None, by the message's ordinal.

    Args:
        error: what is wrong.
        serial: the request's; None if it could not be known.
    """

    def __init__(self, error: SecretdError, serial: int | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.serial = serial


@dataclass(frozen=True, slots=True)
class RequestDocument:
    """A request that the schema accepts, its fields perhaps not yet read.

    Attributes:
        serial: to answer it by.
        descriptor: whether a value in the reply is asked for by descriptor.
        operation: what it asks for.
    """

    serial: int
    descriptor: bool
    operation: Operation
    _read: _Read = field(repr=False)

    def read(self, carried: SecretValue | None = None) -> Request[Reply]:
        """Read the request itself.

        Args:
            carried: the value that came in a descriptor beside the message.

        Raises:
            InvalidDocumentError: a text is too long.
            InvalidValueError: the value is empty, too long or not canonical base64, or a descriptor was
                announced and did not come, or the other way round.
        """
        return cast(Request[Reply], self._read(carried))


@dataclass(frozen=True, slots=True)
class ReplyDocument:
    """A reply that the schema accepts, its fields perhaps not yet read.

    Attributes:
        serial: the request it answers; None if it answers by ordinal.
        message: the ordinal of the message it answers; None if it answers by serial.
        error: what the daemon says went wrong; None if nothing did.
        name: of the operation that it says it is the result of.
        line: where it says so.
    """

    serial: int | None
    message: int | None
    error: SecretdError | None
    name: str
    line: int
    _read: _Read = field(repr=False)

    def read(self, request_type: type[Request[ReplyT]], carried: SecretValue | None = None) -> ReplyT:
        """Read what the operation gave.

        Args:
            request_type: of the request that this answers.
            carried: the value that came in a descriptor beside the message.

        Raises:
            SecretdError: the daemon's own error, if it answered with one.
            RemoteProtocolError: it answers another operation.
            InvalidDocumentError, InvalidValueError: as RequestDocument.read().
        """
        if self.error:
            raise self.error
        name = BY_REQUEST[request_type].name
        if self.name != name:
            raise RemoteProtocolError(f"line {self.line}: <{self.name}> does not answer <{name}>")
        return cast(ReplyT, self._read(carried))


def carried_in(message: Request[Reply] | Reply) -> SecretValue | None:
    """Give what may travel by descriptor of a request or a reply: its value, if it has one."""
    name = _CARRIED.get(type(message))
    return None if name is None else cast("SecretValue | None", getattr(message, name))


def open_request(body: bytes) -> RequestDocument:
    """Take in a request, up to the point where its operation is known and the schema has accepted it.

    Args:
        body: the message, without the NUL that ends it.

    Raises:
        RequestError: it is no request; holds an InvalidXmlError, an InvalidDocumentError or an
            UnknownOperationError, and the serial to answer by if there is one.
    """
    return _exact_request(body) or _parsed_request(body)


def _exact_request(body: bytes) -> RequestDocument | None:
    found = _EXACT_REQUEST.read(body)
    if found is None:
        return None
    (serial_text, descriptor, name), request = found
    serial = SERIAL.parse(serial_text)
    if serial is None:
        return None
    return RequestDocument(serial, descriptor is not None, BY_NAME[name], partial(_given, request))


def _parsed_request(body: bytes) -> RequestDocument:
    try:
        scanned = scan(body, limits.MESSAGE_BYTES)
        if scanned.unknown:
            # Such a name never gets as far as libxml2.
            raise RequestError(_unknown_name(scanned.unknown), _serial(scanned))
        root = parse(body)
    except InvalidXmlError as error:
        raise RequestError(error) from None
    fault = _unknown_operation(root) or _REQUEST.fault(root)
    if fault:
        raise RequestError(fault, _serial(scanned))
    descriptor = root.get("descriptor") == "yes"
    serial, operation = SERIAL.parse(root.attrib["serial"]), BY_NAME[str(root[0].tag)]
    return RequestDocument(serial, descriptor, operation, partial(_read, _REQUESTS, root[0]))


def read_reply(body: bytes) -> ReplyDocument:
    """Take in a reply, up to the point where it is known what it answers and whether it is an error.

    Args:
        body: the message, without the NUL that ends it.

    Raises:
        InvalidXmlError: it is not well-formed, or holds what no document here may hold.
        InvalidDocumentError: the schema does not allow it.
    """
    return _exact_reply(body) or _parsed_reply(body)


def _exact_reply(body: bytes) -> ReplyDocument | None:
    found = _EXACT_REPLY.read(body)
    if found is None:
        return None
    (serial_text, name), reply = found
    serial = SERIAL.parse(serial_text)
    return None if serial is None else ReplyDocument(serial, None, None, name, 1, partial(_given, reply))


def _parsed_reply(body: bytes) -> ReplyDocument:
    root = read_strictly(body, limits.MESSAGE_BYTES, _REPLY, limits.REPLY_ELEMENTS)
    serial, message = root.get("serial"), root.get("message")
    result = root[0]
    return ReplyDocument(
        None if serial is None else SERIAL.parse(serial),
        None if message is None else ORDINAL.parse(message),
        _error(result),
        str(result.tag),
        int(result.sourceline or 0),
        partial(_read, _REPLIES, result),
    )


def write_request(
    serial: int, request: Request[Reply], *, descriptor: bool = False, value_by_descriptor: bool = False
) -> bytes:
    """Write a request, without the NUL that ends it.

    Args:
        serial: 0 to limits.SERIAL.
        request: what to ask.
        descriptor: ask that a value in the reply travels by descriptor.
        value_by_descriptor: say that the request's own value does.

    Raises:
        InvalidDocumentError: a text has a character that XML cannot carry.
        TypeError: this is no request.
    """
    operation = BY_REQUEST.get(type(request))
    if operation is None:
        raise TypeError(f"a request is an object of a class of secretd.operations, and no {type(request).__name__}")
    codec = _REQUESTS[operation.name]
    wish = f" descriptor='{YES_NO.format(True)}'" if descriptor else ""
    return f"<request serial='{serial}'{wish}>{codec.write(request, value_by_descriptor)}</request>".encode()


def write_reply(serial: int, operation: Operation, reply: Reply, *, value_by_descriptor: bool = False) -> bytes:
    """Write what an operation gave, without the NUL that ends it.

    Args:
        serial: the request's.
        operation: the one that was asked for.
        reply: of ``operation.reply``.
        value_by_descriptor: say that a value in it travels by descriptor.
    """
    return f"<reply serial='{serial}'>{_REPLIES[operation.name].write(reply, value_by_descriptor)}</reply>".encode()


def write_error(error: SecretdError, *, serial: int | None = None, message: int | None = None) -> bytes:
    """Write an error, without the NUL that ends the message.

    Args:
        error: of one of errors.WIRE_ERRORS.
        serial: the request's, or
        message: the ordinal of the message on its connection, counted from 1.

    Raises:
        RuntimeError: neither or both are given, or the error is none that a daemon answers with.
    """
    if (serial is None) == (message is None):
        raise RuntimeError("an error answers either a serial or an ordinal")
    if error.code not in WIRE_ERRORS:
        raise RuntimeError(f"{error.code} is never sent")
    which = f"serial='{serial}'" if message is None else f"message='{message}'"
    return f"<reply {which}><error code='{error.code}'>{escape(error.message)}</error></reply>".encode()


def _serial(scanned: Scanned) -> int | None:
    number: int | None = SERIAL.parse(scanned.attributes.get("serial", ""))
    return number if scanned.root == "request" else None


def _unknown_name(unknown: UnknownName) -> SecretdError:
    if unknown.parents == ("request",) and not unknown.is_attribute:
        return UnknownOperationError(f"line {unknown.line}: there is no such operation")
    return unknown.error()


def _unknown_operation(root: etree._Element) -> SecretdError | None:
    """Find an element that is known elsewhere, where the operation should be."""
    if root.tag != "request" or len(root) != 1 or root[0].tag in BY_NAME:
        return None
    return UnknownOperationError(f"{place(root[0])}<{root[0].tag!s}> is no operation")


def _error(element: etree._Element) -> SecretdError | None:
    if element.tag != "error":
        return None
    kind: type[SecretdError] = ERROR_CODE.parse(element.attrib["code"])
    return kind(element.text or "")


def _read(codecs: Mapping[str, Codec], element: etree._Element, carried: SecretValue | None) -> Any:
    value = element.find("value")
    if value is None or not by_descriptor(value):
        _refuse_unannounced(carried)
    return codecs[str(element.tag)].read(element, carried)


def _given(record: Any, carried: SecretValue | None) -> Any:
    """Give what was read already; its exact form announces no descriptor."""
    _refuse_unannounced(carried)
    return record


def _refuse_unannounced(carried: SecretValue | None) -> None:
    if carried is not None:
        raise InvalidValueError("a descriptor came with the message, and nothing in it announces one")
