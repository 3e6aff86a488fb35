"""What the libvirt door answers to a call that fails: libvirt's code and domain, and a message of our own.

Most errors carry both in their class.  What libvirt's daemon refuses in a way of its own is a LibvirtFault, which says
both itself.

Source: docs/libvirt.md, "Errors".
"""

from __future__ import annotations

from typing import Final

from secretd.errors import LibvirtCode, LibvirtDomain, LibvirtFault, SecretdError
from secretd.wire import libvirt_bodies as bodies

UNDECODABLE: Final = LibvirtFault(
    LibvirtCode.RPC, LibvirtDomain.RPC, "the call's arguments do not decode, or are longer than they may be"
)


def rpc_fault(message: str) -> LibvirtFault:
    """Make the answer to a call that libvirt's own dispatcher refuses."""
    return LibvirtFault(LibvirtCode.RPC, LibvirtDomain.RPC, message)


def internal_fault(message: str, domain: LibvirtDomain = LibvirtDomain.RPC) -> LibvirtFault:
    """Make the answer to what libvirt calls an internal error, though it is the caller's fault."""
    return LibvirtFault(LibvirtCode.INTERNAL_ERROR, domain, message)


def invalid_argument(message: str, domain: LibvirtDomain = LibvirtDomain.SECRET) -> LibvirtFault:
    """Make the answer to an argument that the call does not take."""
    return LibvirtFault(LibvirtCode.INVALID_ARG, domain, message)


def refuse_flags(flags: int, known: int = 0) -> None:
    """Refuse flags that a call does not know.

    Raises:
        LibvirtFault: there are some.
    """
    # int, for the complement of a Flag has none of the bits that it does not know.
    unknown = flags & ~int(known)
    if unknown:
        raise invalid_argument(f"unknown flags: {unknown:#x}")


def error_body(error: SecretdError) -> bytes:
    """Write what a peer is told of an error."""
    if isinstance(error, LibvirtFault):
        return bodies.error(error.fault_code, error.fault_domain, error.message)
    return bodies.error(error.libvirt_code, error.libvirt_domain, error.message)
