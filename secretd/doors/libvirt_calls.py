"""The calls of the libvirt door: one table from a procedure to how its arguments decode and what answers it.

To answer one more takes its number (wire/libvirt_procedures), a decoder of its arguments (wire/libvirt_bodies), and a
row here; the matrix of tests/doors/test_libvirt.py then asks who may call it.

Source: docs/libvirt.md, "Calls"; libvirt's daemon, 12.8, as it answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from secretd.doors import libvirt_secrets as secrets
from secretd.doors.libvirt_connection import LibvirtConnection
from secretd.doors.libvirt_identity import read_identity
from secretd.errors import LibvirtCode, LibvirtDomain, LibvirtError
from secretd.wire import libvirt_bodies as bodies
from secretd.wire.libvirt_bodies import Parameter
from secretd.wire.libvirt_procedures import LIBVIRT_VERSION, AuthType, Feature, Procedure

_NOTHING: Final = b""

_FEATURES: Final = frozenset(
    {
        Feature.FD_PASSING,
        Feature.PROGRAM_KEEPALIVE,
        Feature.REMOTE_EVENT_CALLBACK,
        Feature.REMOTE_CLOSE_CALLBACK,
    }
)
"""What is answered with yes. Calls may come with descriptors, as with libvirt's daemon; none of ours uses one."""


@dataclass(frozen=True, slots=True)
class Call:
    """A row of the table.

    Attributes:
        decode: reads the arguments; raises XdrError.
        run: gives the body of the reply.
        when_closed: whether it is answered before a URI was opened.
    """

    decode: Callable[[bytes], Any]
    run: Callable[[LibvirtConnection, Any], Awaitable[bytes]]
    when_closed: bool = False


async def _open(connection: LibvirtConnection, arguments: tuple[bytes | None, int]) -> bytes:
    connection.open(*arguments)
    return _NOTHING


async def _close(connection: LibvirtConnection, _: None) -> bytes:
    connection.closing = True
    return _NOTHING


async def _get_type(_: LibvirtConnection, __: None) -> bytes:
    return bodies.string_reply(b"secret")


async def _get_uri(connection: LibvirtConnection, _: None) -> bytes:
    return bodies.string_reply(connection.uri.encode())


async def _get_lib_version(_: LibvirtConnection, __: None) -> bytes:
    major, minor, micro = LIBVIRT_VERSION
    return bodies.uint64_reply(major * 1_000_000 + minor * 1_000 + micro)


async def _is_secure(_: LibvirtConnection, __: None) -> bytes:
    return bodies.int_reply(1)


async def _supports_feature(connection: LibvirtConnection, feature: int) -> bytes:
    if feature != Feature.PROGRAM_KEEPALIVE:
        connection.require_open()
    return bodies.int_reply(int(feature in _FEATURES))


async def _nothing(_: LibvirtConnection, __: None) -> bytes:
    return _NOTHING


async def _set_identity(connection: LibvirtConnection, arguments: tuple[tuple[Parameter, ...], int]) -> bytes:
    parameters, _ = arguments
    connection.identify(read_identity(parameters))
    return _NOTHING


async def _auth_list(_: LibvirtConnection, __: None) -> bytes:
    return bodies.auth_types_reply([AuthType.NONE])


async def _auth_polkit(_: LibvirtConnection, __: None) -> bytes:
    raise LibvirtError(LibvirtCode.INTERNAL_ERROR, LibvirtDomain.RPC, "nobody is asked to authenticate here")


async def _auth_sasl(_: LibvirtConnection, __: None) -> bytes:
    raise LibvirtError(LibvirtCode.AUTH_FAILED, LibvirtDomain.RPC, "nobody is asked to authenticate here")


async def _not_here(_: LibvirtConnection, __: None) -> bytes:
    raise LibvirtError(LibvirtCode.NO_SUPPORT, LibvirtDomain.DOMAIN, "a secret daemon does not know this")


CALLS: Final[Mapping[int, Call]] = {
    Procedure.CONNECT_OPEN: Call(bodies.open_args, _open, when_closed=True),
    Procedure.CONNECT_CLOSE: Call(bodies.no_args, _close, when_closed=True),
    Procedure.CONNECT_GET_TYPE: Call(bodies.no_args, _get_type),
    Procedure.CONNECT_GET_VERSION: Call(bodies.no_args, _not_here),
    Procedure.CONNECT_GET_HOSTNAME: Call(bodies.no_args, _not_here),
    Procedure.CONNECT_GET_URI: Call(bodies.no_args, _get_uri),
    Procedure.CONNECT_GET_LIB_VERSION: Call(bodies.no_args, _get_lib_version),
    Procedure.CONNECT_IS_SECURE: Call(bodies.no_args, _is_secure),
    Procedure.CONNECT_SUPPORTS_FEATURE: Call(bodies.feature_args, _supports_feature, when_closed=True),
    Procedure.CONNECT_REGISTER_CLOSE_CALLBACK: Call(bodies.no_args, _nothing),
    Procedure.CONNECT_UNREGISTER_CLOSE_CALLBACK: Call(bodies.no_args, _nothing),
    Procedure.CONNECT_SET_IDENTITY: Call(bodies.identity_args, _set_identity),
    Procedure.AUTH_LIST: Call(bodies.no_args, _auth_list, when_closed=True),
    Procedure.AUTH_POLKIT: Call(bodies.no_args, _auth_polkit, when_closed=True),
    Procedure.AUTH_SASL_INIT: Call(bodies.no_args, _auth_sasl, when_closed=True),
    Procedure.AUTH_SASL_START: Call(bodies.no_args, _auth_sasl, when_closed=True),
    Procedure.AUTH_SASL_STEP: Call(bodies.no_args, _auth_sasl, when_closed=True),
    Procedure.CONNECT_NUM_OF_SECRETS: Call(bodies.no_args, secrets.num_of_secrets),
    Procedure.CONNECT_LIST_SECRETS: Call(bodies.max_args, secrets.list_secrets),
    Procedure.CONNECT_LIST_ALL_SECRETS: Call(bodies.list_all_args, secrets.list_all_secrets),
    Procedure.SECRET_LOOKUP_BY_UUID: Call(bodies.uuid_args, secrets.lookup_by_uuid),
    Procedure.SECRET_LOOKUP_BY_USAGE: Call(bodies.usage_args, secrets.lookup_by_usage),
    Procedure.SECRET_DEFINE_XML: Call(bodies.define_args, secrets.define_xml),
    Procedure.SECRET_GET_XML_DESC: Call(bodies.secret_flags_args, secrets.get_xml_desc),
    Procedure.SECRET_SET_VALUE: Call(bodies.set_value_args, secrets.set_value),
    Procedure.SECRET_GET_VALUE: Call(bodies.secret_flags_args, secrets.get_value),
    Procedure.SECRET_UNDEFINE: Call(bodies.secret_args, secrets.undefine),
    Procedure.CONNECT_SECRET_EVENT_REGISTER_ANY: Call(bodies.register_args, secrets.event_register_any),
    Procedure.CONNECT_SECRET_EVENT_DEREGISTER_ANY: Call(bodies.deregister_args, secrets.event_deregister_any),
}
"""By the procedure's number."""
