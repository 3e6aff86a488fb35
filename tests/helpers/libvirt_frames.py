"""libvirt's RPC as a second opinion: frames by hand, without any of secretd's own code.

``frame`` makes one, ``describe`` says what one holds, as JSON can keep it.  Of an error that is its code, domain and
level: what libvirt says beside them is its own, and no two versions say the same.

Source: libvirt's published protocol, src/rpc/virnetprotocol.x and src/remote/remote_protocol.x, 12.8.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

REMOTE = 0x2000_8086
KEEPALIVE = 0x6B65_6570

CALL, REPLY, MESSAGE, STREAM, CALL_WITH_FDS = range(5)
OK, ERROR = range(2)

MOST_BYTES = 33_554_436
"""The largest length that a frame may give itself."""

LONG_BYTES = 256
"""Values and strings beyond this are described by their length and a hash."""

_HEADER = struct.Struct(">IIIiiIi")


class Procedure(NamedTuple):
    """What a call takes and gives: a word for each, as ``_ENCODERS`` and ``_DECODERS`` know them."""

    number: int
    arguments: str = ""
    result: str = ""


PROCEDURES = {
    "OPEN": Procedure(1, "optional-string uint"),
    "CLOSE": Procedure(2),
    "GET_TYPE": Procedure(3, "", "string"),
    "GET_VERSION": Procedure(4, "", "ulong"),
    "GET_HOSTNAME": Procedure(59, "", "string"),
    "SUPPORTS_FEATURE": Procedure(60, "int", "int"),
    "AUTH_LIST": Procedure(66, "", "ints"),
    "GET_URI": Procedure(110, "", "string"),
    "NUM_OF_SECRETS": Procedure(139, "", "int"),
    "LIST_SECRETS": Procedure(140, "int", "strings"),
    "LOOKUP_BY_UUID": Procedure(141, "uuid", "secret"),
    "DEFINE_XML": Procedure(142, "string uint", "secret"),
    "GET_XML_DESC": Procedure(143, "secret uint", "string"),
    "SET_VALUE": Procedure(144, "secret opaque uint"),
    "GET_VALUE": Procedure(145, "secret uint", "opaque"),
    "UNDEFINE": Procedure(146, "secret"),
    "LOOKUP_BY_USAGE": Procedure(147, "int string", "secret"),
    "IS_SECURE": Procedure(149, "", "int"),
    "GET_LIB_VERSION": Procedure(157, "", "ulong"),
    "LIST_ALL_SECRETS": Procedure(287, "int uint", "secrets uint"),
    "REGISTER_CLOSE_CALLBACK": Procedure(360),
    "UNREGISTER_CLOSE_CALLBACK": Procedure(361),
    "EVENT_REGISTER_ANY": Procedure(380, "int optional-secret", "int"),
    "EVENT_DEREGISTER_ANY": Procedure(381, "int"),
    "EVENT_LIFECYCLE": Procedure(382, "", "int secret int int"),
    "EVENT_VALUE_CHANGED": Procedure(383, "", "int secret"),
    "SET_IDENTITY": Procedure(419, "parameters uint"),
}
NAMES = {procedure.number: name for name, procedure in PROCEDURES.items()}

Secret = tuple[UUID, int, str | bytes]


def frame(
    procedure: str | int,
    *arguments: Any,
    body: bytes | None = None,
    serial: int = 1,
    kind: int = CALL,
    status: int = OK,
    program: int = REMOTE,
    version: int = 1,
    length: int | None = None,
) -> bytes:
    """Make a frame; what is not given is as it should be.

    Args:
        procedure: a name of ``PROCEDURES``, or any number.
        arguments: encoded as the procedure takes them, unless there is a ``body``.
        length: what the frame says of its own length.
    """
    number = procedure if isinstance(procedure, int) else PROCEDURES[procedure].number
    if body is None:
        body = arguments_of(procedure, *arguments) if arguments else b""
    said = _HEADER.size + len(body) if length is None else length
    return _HEADER.pack(said, program, version, number, kind, serial, status) + body


def arguments_of(procedure: str | int, *arguments: Any) -> bytes:
    """Encode the arguments of a call."""
    name = NAMES[procedure] if isinstance(procedure, int) else procedure
    kinds = PROCEDURES[name].arguments.split()
    return b"".join(_ENCODERS[kind](argument) for kind, argument in zip(kinds, arguments, strict=True))


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a frame that was received."""

    program: int
    version: int
    procedure: int
    kind: int
    serial: int
    status: int

    @classmethod
    def of(cls, received: bytes) -> Header:
        """Read it."""
        return cls(*_HEADER.unpack_from(received)[1:])


def describe(received: bytes) -> dict[str, Any]:
    """Say what a frame holds: its header where it is not that of a good answer, and its body."""
    header = Header.of(received)
    said: dict[str, Any] = {"procedure": header.procedure, "serial": header.serial}
    usual = Header(REMOTE, 1, header.procedure, REPLY, header.serial, ERROR if header.status == ERROR else OK)
    for field in ("program", "version", "kind", "status"):
        if (value := getattr(header, field)) != getattr(usual, field):
            said[field] = value
    reader = _Reader(received[_HEADER.size :])
    if header.status == ERROR:
        return {**said, "error": reader.error()}
    if header.program == REMOTE and header.procedure in NAMES:
        return {**said, "result": reader.all(PROCEDURES[NAMES[header.procedure]].result)}
    return {**said, "body": reader.rest().hex()}


def _string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else bytes(text)
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def _secret(secret: Secret) -> bytes:
    uuid, usage_type, usage_id = secret
    return uuid.bytes + struct.pack(">i", usage_type) + _string(usage_id)


def _optional(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    return lambda value: bytes(4) if value is None else b"\0\0\0\1" + encode(value)


def _packed(layout: str) -> Callable[[Any], bytes]:
    return struct.Struct(layout).pack


_PARAMETERS: Mapping[str, tuple[int, Callable[[Any], bytes]]] = {
    "int": (1, _packed(">i")),
    "uint": (2, _packed(">I")),
    "llong": (3, _packed(">q")),
    "ullong": (4, _packed(">Q")),
    "double": (5, _packed(">d")),
    "boolean": (6, _packed(">i")),
    "string": (7, _string),
}


def _parameters(parameters: Sequence[tuple[str, str, Any]]) -> bytes:
    encoded = struct.pack(">I", len(parameters))
    for field, kind, value in parameters:
        number, encode = _PARAMETERS[kind]
        encoded += _string(field) + struct.pack(">i", number) + encode(value)
    return encoded


_ENCODERS: Mapping[str, Callable[[Any], bytes]] = {
    "int": _packed(">i"),
    "uint": _packed(">I"),
    "string": _string,
    "optional-string": _optional(_string),
    "opaque": _string,
    "uuid": lambda uuid: bytes(uuid.bytes),
    "secret": _secret,
    "optional-secret": _optional(_secret),
    "parameters": _parameters,
}


class _Reader:
    """Reads a body that a daemon sent; ValueError if it is not what it should be."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def all(self, kinds: str) -> list[Any]:
        """Read all of a result."""
        values = [_DECODERS[kind](self) for kind in kinds.split()]
        self._check_end()
        return values

    def error(self) -> list[int]:
        """Read all of an error; give its code, domain and level."""
        code, domain = self.number(), self.number()
        self._optional(self.opaque)
        level = self.number()
        self._nothing()
        for _ in range(3):
            self._optional(self.opaque)
        self.number()
        self.number()
        self._nothing()
        self._check_end()
        return [code, domain, level]

    def number(self) -> int:
        return int.from_bytes(self._take(4), "big", signed=True)

    def ulong(self) -> int:
        return int.from_bytes(self._take(8), "big")

    def opaque(self) -> bytes:
        size = self._count()
        value = self._take(size)
        if any(self._take(-size % 4)):
            raise ValueError("padding that is not zero")
        return value

    def string(self) -> str:
        return shown(self.opaque())

    def secret(self) -> list[Any]:
        return [str(UUID(bytes=self._take(16))), self.number(), self.string()]

    def many(self, read: Callable[[], Any]) -> list[Any]:
        return [read() for _ in range(self._count())]

    def rest(self) -> bytes:
        return self._take(len(self._body) - self._at)

    def _count(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def _take(self, size: int) -> bytes:
        if len(self._body) - self._at < size:
            raise ValueError("a body that is too short")
        self._at += size
        return self._body[self._at - size : self._at]

    def _optional(self, read: Callable[[], Any]) -> None:
        if self._count():
            read()

    def _nothing(self) -> None:
        if self._count():
            raise ValueError("a domain or a network beside an error")

    def _check_end(self) -> None:
        if self._at != len(self._body):
            raise ValueError(f"{len(self._body) - self._at} bytes behind the body")


def shown(data: bytes) -> str:
    """Show bytes as text, long ones by their length and a hash."""
    if len(data) > LONG_BYTES:
        return f"<{len(data)} bytes, {hashlib.sha256(data).hexdigest()[:16]}>"
    return data.decode(errors="backslashreplace")


_DECODERS: Mapping[str, Callable[[_Reader], Any]] = {
    "int": _Reader.number,
    "uint": _Reader.number,
    "ulong": _Reader.ulong,
    "string": _Reader.string,
    "opaque": _Reader.string,
    "ints": lambda reader: reader.many(reader.number),
    # No order is promised: libvirt's is that of a hash table with a seed of its own.
    "strings": lambda reader: sorted(reader.many(reader.string)),
    "secret": _Reader.secret,
    "secrets": lambda reader: sorted(reader.many(reader.secret)),
}
