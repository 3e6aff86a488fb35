"""Whom a libvirt daemon says that it acts for, and the token by which it proves to be one.

The identity is a claim: it is written down and decides nothing.  The token decides whether private values are given.

Source: docs/libvirt.md, "Who may do what"; libvirt's virConnectSetIdentity, 12.8, as its daemon answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from secretd.doors.libvirt_errors import internal_error, invalid_argument
from secretd.errors import LibvirtCode, LibvirtDomain, LibvirtError
from secretd.wire.libvirt_bodies import Parameter
from secretd.wire.libvirt_procedures import ParameterType

_TYPES: Final = {
    b"user-name": ParameterType.STRING,
    b"unix-user-id": ParameterType.ULLONG,
    b"group-name": ParameterType.STRING,
    b"unix-group-id": ParameterType.ULLONG,
    b"process-id": ParameterType.LLONG,
    b"process-time": ParameterType.ULLONG,
    b"sasl-user-name": ParameterType.STRING,
    b"x509-distinguished-name": ParameterType.STRING,
    b"selinux-context": ParameterType.STRING,
    b"system.token": ParameterType.STRING,
}

_NAME_BYTES: Final = 80
"""The room for a name in libvirt's struct, with the NUL at its end. Source: VIR_TYPED_PARAM_FIELD_LENGTH."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What was said.

    Attributes:
        claims: whom the daemon acts for.
        token: what it proves itself by, if it did.
    """

    claims: dict[str, object]
    token: bytes | None = field(repr=False)


def read_identity(parameters: Sequence[Parameter]) -> Identity:
    """Read the parameters of an identity.

    Raises:
        LibvirtError: one is not known, is of the wrong type, or is there twice.
    """
    for name, _, _ in parameters:
        if len(name) >= _NAME_BYTES:
            raise internal_error("a parameter's name is too long", LibvirtDomain.NONE)
    for name, _, _ in parameters:
        if name not in _TYPES:
            raise LibvirtError(
                LibvirtCode.ARGUMENT_UNSUPPORTED, LibvirtDomain.NONE, "a parameter is not part of an identity"
            )
    said: dict[bytes, object] = {}
    for name, kind, value in parameters:
        if kind != _TYPES[name]:
            raise invalid_argument(f"the parameter '{name.decode()}' is of the wrong type", LibvirtDomain.NONE)
        if name in said:
            raise invalid_argument(f"the parameter '{name.decode()}' is given twice", LibvirtDomain.NONE)
        said[name] = value
    token = said.pop(b"system.token", None)
    return Identity({name.decode(): value for name, value in said.items()}, token if isinstance(token, bytes) else None)
