"""What the libvirt door answers to a call that fails: libvirt's code and domain, and a message of our own.

Most errors have both by their class.  What libvirt's daemon refuses in a way of its own is a LibvirtError, which is
given both.

Source: docs/libvirt.md, "Errors".
"""

from __future__ import annotations

from secretd.errors import LibvirtCode, LibvirtDomain, LibvirtError, SecretdError
from secretd.wire import libvirt_bodies as bodies


def rpc_error(message: str) -> LibvirtError:
    """Make the answer to a call that libvirt's own dispatcher refuses."""
    return LibvirtError(LibvirtCode.RPC, LibvirtDomain.RPC, message)


def undecodable() -> LibvirtError:
    """Make the answer to arguments that do not decode."""
    # A new one each time: one that was raised holds the frames it passed, and so the call with what it brought.
    return rpc_error("the call's arguments do not decode, or are longer than they may be")


def internal_error(message: str, domain: LibvirtDomain = LibvirtDomain.RPC) -> LibvirtError:
    """Make the answer to what libvirt calls an internal error, though it is the caller's fault."""
    return LibvirtError(LibvirtCode.INTERNAL_ERROR, domain, message)


def invalid_argument(message: str, domain: LibvirtDomain = LibvirtDomain.SECRET) -> LibvirtError:
    """Make the answer to an argument that the call does not take."""
    return LibvirtError(LibvirtCode.INVALID_ARG, domain, message)


def refuse_flags(flags: int, known: int = 0) -> None:
    """Refuse flags that a call does not know.

    Raises:
        LibvirtError: there are some.
    """
    # int, for the complement of a Flag has none of the bits that it does not know.
    unknown = flags & ~int(known)
    if unknown:
        raise invalid_argument(f"unknown flags: {unknown:#x}")


def error_body(error: SecretdError) -> bytes:
    """Write what a peer is told of an error."""
    return bodies.error(error.libvirt_code, error.libvirt_domain, error.message)
