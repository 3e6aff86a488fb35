"""The bodies of libvirt's RPC: what the calls of a secret daemon bring, and what it answers and tells.

Each decoder takes the body of a call and gives its arguments.  Bytes behind them are nobody's, as libvirt's daemon has
it; so a call that has none needs no decoder.  Whatever else a body may be, it is XdrError and nothing besides.

Each encoder gives a body, for secretd.wire.libvirt to frame.  Texts may be str or bytes.

Source: libvirt 12.8: src/remote/remote_protocol.x, src/rpc/virnetprotocol.x (virNetMessageError); the liberties are
what its daemon was seen to take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from struct import error as StructError  # noqa: N812  # an error's name

from secretd import limits
from secretd.wire import xdr
from secretd.wire.libvirt_procedures import ParameterType
from secretd.wire.xdr import Decoder, XdrError

Parameter = tuple[bytes, int, int | float | bytes]
"""A typed parameter: its field, its type (a ParameterType) and its value; the value of a string is bytes."""

_UUID_BYTES = 16
_PARAMETER_LEAST_BYTES = 12
_MOST_STRING = int(limits.LIBVIRT_STRING_BYTES)
_SECRET = Struct(f">{_UUID_BYTES}siI")
_NOTHING = xdr.uint32(0)

# Arguments.


def open_args(body: bytes) -> tuple[bytes | None, int]:
    """Read the URI, if there is one, and the flags."""
    decoder = Decoder(body)
    uri = decoder.string(_MOST_STRING) if decoder.optional() else None
    return uri, decoder.uint32()


def feature_args(body: bytes) -> int:
    """Read the number of a feature."""
    return Decoder(body).int32()


def max_args(body: bytes) -> int:
    """Read how many ids the client has room for."""
    return Decoder(body).int32()


def uuid_args(body: bytes) -> bytes:
    """Read the id of a secret, 16 bytes."""
    return Decoder(body).fixed(_UUID_BYTES)


def define_args(body: bytes) -> tuple[bytes, int]:
    """Read a document and the flags."""
    decoder = Decoder(body)
    return decoder.string(_MOST_STRING), decoder.uint32()


def secret_args(body: bytes) -> bytes:
    """Read which secret is meant: its id."""
    return _secret(body, 0)[0]


def secret_flags_args(body: bytes) -> tuple[bytes, int]:
    """Read which secret is meant, and the flags."""
    uuid, end = _secret(body, 0)
    return uuid, Decoder(body, end).uint32()


def set_value_args(body: bytes) -> tuple[bytes, bytes, int]:
    """Read which secret is meant, its value (perhaps empty), and the flags."""
    uuid, end = _secret(body, 0)
    decoder = Decoder(body, end)
    return uuid, decoder.opaque(limits.VALUE_BYTES), decoder.uint32()


def usage_args(body: bytes) -> tuple[int, bytes]:
    """Read the number of a usage type, and the usage id."""
    decoder = Decoder(body)
    return decoder.int32(), decoder.string(_MOST_STRING)


def list_all_args(body: bytes) -> tuple[int, int]:
    """Read whether the secrets are wanted (or only their number, if this is 0), and the flags."""
    decoder = Decoder(body)
    return decoder.int32(), decoder.uint32()


def register_args(body: bytes) -> tuple[int, bytes | None]:
    """Read the id of an event, and that of the only secret it is wanted of, if one is named."""
    decoder = Decoder(body)
    event_id = decoder.int32()
    # Behind the two words.
    return event_id, _secret(body, 8)[0] if decoder.optional() else None


def deregister_args(body: bytes) -> int:
    """Read the id of a callback."""
    return Decoder(body).int32()


def identity_args(body: bytes) -> tuple[tuple[Parameter, ...], int]:
    """Read typed parameters and the flags."""
    decoder = Decoder(body)
    number = decoder.count(limits.LIBVIRT_IDENTITY_PARAMETERS, _PARAMETER_LEAST_BYTES)
    return tuple(_parameter(decoder) for _ in range(number)), decoder.uint32()


def no_args(body: bytes) -> None:
    """Read nothing."""


def _secret(body: bytes, start: int) -> tuple[bytes, int]:
    """Read a secret by its id; its usage counts for nothing but must be well-formed. Gives where it ends, too."""
    try:
        uuid, _, length = _SECRET.unpack_from(body, start)
    except StructError:
        raise XdrError("a secret is cut off") from None
    end = start + _SECRET.size + length + (-length & 3)
    if length > _MOST_STRING or end > len(body):
        raise XdrError("a usage id is over its bound, or cut off")
    return uuid, end


_PARAMETER_VALUES: dict[int, Callable[[Decoder], int | float | bytes]] = {
    ParameterType.INT: Decoder.int32,
    ParameterType.UINT: Decoder.uint32,
    ParameterType.LLONG: Decoder.int64,
    ParameterType.ULLONG: Decoder.uint64,
    ParameterType.DOUBLE: Decoder.double,
    ParameterType.BOOLEAN: Decoder.int32,
    ParameterType.STRING: lambda decoder: decoder.string(_MOST_STRING),
}


def _parameter(decoder: Decoder) -> Parameter:
    field, kind = decoder.string(_MOST_STRING), decoder.int32()
    read = _PARAMETER_VALUES.get(kind)
    if read is None:
        raise XdrError("a typed parameter has no such type")
    return field, kind, read(decoder)


# Replies.


def string_reply(text: str | bytes) -> bytes:
    """Write a string."""
    return xdr.string(text)


def int_reply(number: int) -> bytes:
    """Write a number of 32 bits."""
    return xdr.int32(number)


def uint64_reply(number: int) -> bytes:
    """Write a number of 64 bits."""
    return xdr.uint64(number)


def opaque_reply(value: bytes) -> bytes:
    """Write the value of a secret."""
    return xdr.opaque(value)


def strings_reply(strings: Iterable[bytes], listed: int) -> bytes:
    """Write strings behind their number.

    Args:
        strings: each as string_reply() gives it, or several of them joined.
        listed: how many they are.
    """
    return _array(strings, listed)


def secrets_reply(secrets: Iterable[bytes], listed: int, number: int) -> bytes:
    """Write secrets behind their number.

    Args:
        secrets: each as secret() gives it, or several of them joined; none if only the number was asked for.
        listed: how many they are.
        number: of the secrets that there are.
    """
    return _array(secrets, listed) + xdr.uint32(number)


def auth_types_reply(kinds: Sequence[int]) -> bytes:
    """Write how the client may authenticate himself."""
    return _array(map(xdr.int32, kinds), len(kinds))


def secret(uuid: bytes, usage_type: int, usage_id: str | bytes) -> bytes:
    """Write a secret: as a reply, in a list, or in an event.

    Args:
        uuid: 16 bytes.
        usage_type: the number of its usage type.
        usage_id: empty if that is none.
    """
    return uuid + xdr.int32(usage_type) + xdr.string(usage_id)


def error(code: int, domain: int, text: str | bytes, level: int = 2) -> bytes:
    """Write why a call gives nothing.

    Args:
        code: libvirt's number of it.
        domain: libvirt's number of what it is about.
        text: for people; it stands also where libvirt has the parts that it was formatted from.
        level: 2 is an error.
    """
    words = xdr.optional_string(text)
    return b"".join((_ERROR_HEAD.pack(code, domain), words, xdr.int32(level), _NO_DOMAIN_FORMAT, words, _ERROR_TAIL))


_ERROR_HEAD = Struct(">ii")
_NO_DOMAIN_FORMAT = _NOTHING + xdr.optional_string("%s")
"""No domain, and str1."""
_ERROR_TAIL = xdr.optional_string(None) + xdr.int32(-1) + xdr.int32(-1) + _NOTHING
"""No str3, int1, int2, and no network."""


# Messages.


def lifecycle_event(callback: int, subject: bytes, event: int, detail: int) -> bytes:
    """Write that a secret was defined or undefined.

    Args:
        callback: the id that the client got when he registered.
        subject: the secret, as secret() gives it.
        event: a LifecycleEvent.
        detail: 0.
    """
    return xdr.int32(callback) + subject + xdr.int32(event) + xdr.int32(detail)


def value_changed_event(callback: int, subject: bytes) -> bytes:
    """Write that the value of a secret was set."""
    return xdr.int32(callback) + subject


def connection_closed(reason: int) -> bytes:
    """Write that the connection is about to end; a CloseReason."""
    return xdr.int32(reason)


def _array(items: Iterable[bytes], number: int) -> bytes:
    return xdr.uint32(number) + b"".join(items)
