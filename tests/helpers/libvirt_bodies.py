"""The decoders of libvirt's bodies by the procedure whose arguments they read, for what tries them all."""

from __future__ import annotations

from collections.abc import Callable

from secretd.wire import libvirt_bodies as bodies
from secretd.wire.libvirt_procedures import Procedure

DECODERS: dict[Procedure, Callable[[bytes], object]] = {
    Procedure.CONNECT_OPEN: bodies.open_args,
    Procedure.CONNECT_SUPPORTS_FEATURE: bodies.feature_args,
    Procedure.CONNECT_LIST_SECRETS: bodies.max_args,
    Procedure.SECRET_LOOKUP_BY_UUID: bodies.uuid_args,
    Procedure.SECRET_DEFINE_XML: bodies.define_args,
    Procedure.SECRET_GET_XML_DESC: bodies.secret_flags_args,
    Procedure.SECRET_SET_VALUE: bodies.set_value_args,
    Procedure.SECRET_GET_VALUE: bodies.secret_flags_args,
    Procedure.SECRET_UNDEFINE: bodies.secret_args,
    Procedure.SECRET_LOOKUP_BY_USAGE: bodies.usage_args,
    Procedure.CONNECT_LIST_ALL_SECRETS: bodies.list_all_args,
    Procedure.CONNECT_SECRET_EVENT_REGISTER_ANY: bodies.register_args,
    Procedure.CONNECT_SECRET_EVENT_DEREGISTER_ANY: bodies.deregister_args,
    Procedure.CONNECT_SET_IDENTITY: bodies.identity_args,
}
"""All others have no arguments."""


def weight(read: object) -> int:
    """Count the bytes of what was read: four for a number, and those of each piece."""
    if isinstance(read, bytes):
        return len(read)
    return sum(map(weight, read)) if isinstance(read, tuple) else 4
