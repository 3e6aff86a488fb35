"""The closed set of errors: what can go wrong, and what each peer is told.

Every class that may reach a peer carries a stable ``code`` (the native wire's name for it), libvirt's error
code and domain (for the libvirt wire), and the exit status of the command line tool.  A message never holds
a value, a key or a path of the daemon's own: it is written for the peer.  What nobody foresaw becomes
InternalError with an id that the log has too.

Source: libvirt's virErrorNumber and virErrorDomain (include/libvirt/virterror.h, 12.8) for the numbers.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class LibvirtCode(IntEnum):
    """libvirt's virErrorNumber, as far as a secret daemon answers with it."""

    INTERNAL_ERROR = 1
    NO_SUPPORT = 3
    NO_CONNECT = 5
    INVALID_ARG = 8
    XML_ERROR = 27
    OPERATION_DENIED = 29
    XML_DETAIL = 35
    SYSTEM_ERROR = 38
    RPC = 39
    AUTH_FAILED = 45
    OPERATION_INVALID = 55
    INVALID_SECRET = 65
    NO_SECRET = 66
    ARGUMENT_UNSUPPORTED = 74
    RESOURCE_BUSY = 87
    ACCESS_DENIED = 88
    XML_INVALID_SCHEMA = 92


class LibvirtDomain(IntEnum):
    """libvirt's virErrorDomain, as far as a secret daemon answers with it."""

    NONE = 0
    XML = 5
    RPC = 7
    STORAGE = 18
    NETWORK = 19
    DOMAIN = 20
    NODEDEV = 22
    INTERFACE = 26
    SECRET = 30
    NWFILTER = 33
    DOMAIN_SNAPSHOT = 35
    URI = 45
    ACCESS = 55
    DOMAIN_CHECKPOINT = 69


class ExitStatus(IntEnum):
    """What secretctl's exit status says; documented in docs/secretctl.md."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    DENIED = 5
    INVALID = 6
    UNREACHABLE = 7
    SEALED = 8
    STORE = 9
    REFUSED = 10


class SecretdError(Exception):
    """The root of the tree; raised only as one of its subclasses."""

    code: ClassVar[str]
    libvirt_code: LibvirtCode = LibvirtCode.INTERNAL_ERROR
    libvirt_domain: LibvirtDomain = LibvirtDomain.SECRET
    exit_status: ClassVar[ExitStatus] = ExitStatus.FAILED

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


# The protocol itself. h11's rule: an error says whose fault it is.


class LocalProtocolError(SecretdError):
    """Our own code asked the wire core for something the protocol does not allow."""

    code = "local-protocol-error"


class RemoteProtocolError(SecretdError):
    """The peer broke the framing; nothing more it sends can be understood, so the connection ends."""

    code = "protocol-error"
    libvirt_code = LibvirtCode.RPC
    libvirt_domain = LibvirtDomain.RPC
    exit_status = ExitStatus.UNREACHABLE


# What the peer asked for is wrong in itself.


class InvalidRequestError(SecretdError):
    """An argument is not one this operation takes."""

    code = "invalid-request"
    libvirt_code = LibvirtCode.INVALID_ARG
    exit_status = ExitStatus.INVALID


class InvalidXmlError(InvalidRequestError):
    """The document is not well-formed, or holds what no document here may hold (a DTD, say)."""

    code = "invalid-xml"
    libvirt_code = LibvirtCode.XML_ERROR
    libvirt_domain = LibvirtDomain.XML


class InvalidDocumentError(InvalidRequestError):
    """The document is well-formed XML that the schema does not allow."""

    code = "invalid-document"
    libvirt_code = LibvirtCode.XML_INVALID_SCHEMA
    libvirt_domain = LibvirtDomain.XML


class UnknownOperationError(InvalidRequestError):
    """There is no operation of that name."""

    code = "unknown-operation"
    libvirt_code = LibvirtCode.NO_SUPPORT


class InvalidValueError(InvalidRequestError):
    """The value is empty, too long, not canonical base64, or came in a descriptor that is not sealed."""

    code = "invalid-value"


class OperationInvalidError(InvalidRequestError):
    """The request is well formed, but the secret, the store or the daemon as it is does not allow it."""

    code = "operation-invalid"
    libvirt_code = LibvirtCode.OPERATION_INVALID


class WrongStateError(OperationInvalidError):
    """The state of the key or the secret does not allow it; the message names the state."""

    code = "wrong-state"


class DecryptionError(InvalidRequestError):
    """The blob does not open: it is no blob, another's, or was bound to another context; which is not said."""

    code = "decryption-failed"


class KeyFileError(InvalidRequestError):
    """The key file is not one that can be read: short, of an unknown form, or not what its fingerprint says."""

    code = "invalid-key-file"


class WrongPasswordError(InvalidRequestError):
    """The password does not open the key file, or is missing; the message has the file's hint."""

    code = "wrong-password"
    exit_status = ExitStatus.DENIED


# What the peer asked for is not there.


class NotFoundError(SecretdError):
    """No secret has that id or usage, or none that this caller may see."""

    code = "no-secret"
    libvirt_code = LibvirtCode.NO_SECRET
    exit_status = ExitStatus.NOT_FOUND


class NoValueError(NotFoundError):
    """The secret has no value yet."""

    code = "no-value"


class NoGrantError(NotFoundError):
    """No grant has that name."""

    code = "no-grant"


class NoKeyError(NotFoundError):
    """No key has that id, or none that this caller may see."""

    code = "no-key"


# Somebody else was first.


class ConflictError(SecretdError):
    """Another secret has that usage or that id already, or another grant that name."""

    code = "conflict"
    exit_status = ExitStatus.CONFLICT


class DigestMismatchError(ConflictError):
    """The secret was changed since the digest was read."""

    code = "digest-mismatch"
    libvirt_code = LibvirtCode.OPERATION_INVALID


class ReferencedError(ConflictError):
    """Somebody needs the key or the secret; the message says who, if the caller may see that."""

    code = "referenced"
    libvirt_code = LibvirtCode.OPERATION_INVALID


class BusyError(ConflictError):
    """Others kept changing the same secret or grant, or there are too many connections; nothing was done: try again."""

    code = "busy"
    libvirt_code = LibvirtCode.RESOURCE_BUSY


# The caller may not.


class AccessDeniedError(SecretdError):
    """The caller does not hold the permission."""

    code = "access-denied"
    libvirt_code = LibvirtCode.ACCESS_DENIED
    libvirt_domain = LibvirtDomain.ACCESS
    exit_status = ExitStatus.DENIED


class NotAuthenticatedError(AccessDeniedError):
    """The kernel does not say who the caller is."""

    code = "not-authenticated"
    libvirt_code = LibvirtCode.AUTH_FAILED


class ReadOnlyError(AccessDeniedError):
    """The connection is read-only: it never writes and never reveals a value."""

    code = "read-only"
    libvirt_code = LibvirtCode.OPERATION_DENIED
    libvirt_domain = LibvirtDomain.SECRET

    def __init__(
        self, message: str = "this connection is read-only: it neither changes a secret nor reveals a value"
    ) -> None:
        super().__init__(message)


class PrivateError(AccessDeniedError):
    """The secret is private: its value is revealed only to elevated callers."""

    code = "private"
    libvirt_code = LibvirtCode.INVALID_SECRET
    libvirt_domain = LibvirtDomain.SECRET


class QuotaError(SecretdError):
    """The secret's owner has as many secrets or bytes as one user may, or there are as many grants as there may be."""

    code = "quota"
    libvirt_code = LibvirtCode.OPERATION_DENIED
    libvirt_domain = LibvirtDomain.NONE
    exit_status = ExitStatus.DENIED


# The daemon cannot.


class SealError(SecretdError):
    """The daemon is sealed: its root key could not be had."""

    code = "sealed"
    exit_status = ExitStatus.SEALED


class StoreError(SecretdError):
    """The root of what a store may fail with."""

    code = "store-error"
    libvirt_code = LibvirtCode.SYSTEM_ERROR
    exit_status = ExitStatus.STORE


class StoreUnavailableError(StoreError):
    """The store cannot be reached or written; the change was surely not made, and may be tried again."""

    code = "store-unavailable"


class StoreOutcomeUnknownError(StoreError):
    """The store failed while it made the change: perhaps it was made. Read before trying again."""

    code = "store-outcome-unknown"


class StoreFullError(StoreError):
    """There is no room left; the change was not made, and reads go on."""

    code = "store-full"


class StoreCorruptError(StoreError):
    """What the store gave back is not what was put in; trying again does not help."""

    code = "store-corrupt"


class InternalError(SecretdError):
    """A fault of ours; its id leads to the place in the log."""

    code = "internal-error"


# Met at the libvirt door only.


class LibvirtError(SecretdError):
    """What libvirt's own daemon refuses in a way of its own: the code and the domain are of the case, not of a class.

    Args:
        code, domain: what libvirt's daemon answers in this case.
        message: for people, in our own words.
    """

    code = "libvirt-error"

    def __init__(self, code: LibvirtCode, domain: LibvirtDomain, message: str) -> None:
        super().__init__(message)
        self.libvirt_code = code
        self.libvirt_domain = domain


# Met only on one's own side, never on a wire.


class ConfigError(SecretdError):
    """The configuration, or the place a daemon is to run in, is not usable; says what to change."""

    code = "config-error"
    exit_status = ExitStatus.USAGE


class UnreachableError(SecretdError):
    """No daemon answers on the socket, or it went away before it answered."""

    code = "unreachable"
    exit_status = ExitStatus.UNREACHABLE


class UntrustedDaemonError(UnreachableError):
    """Who listens on the socket is neither root nor the user himself: nothing was sent."""

    code = "untrusted-daemon"


def _by_code(root: type[SecretdError]) -> dict[str, type[SecretdError]]:
    table = {root.code: root} if "code" in vars(root) else {}
    for child in root.__subclasses__():
        table.update(_by_code(child))
    return table


ERRORS_BY_CODE: dict[str, type[SecretdError]] = _by_code(SecretdError)
"""Every class by its code."""

_NOT_ANSWERED = (LibvirtError, LocalProtocolError, ConfigError, UnreachableError, StoreError)
"""Met on one's own side, or answered at the libvirt door, by libvirt's code alone."""

WIRE_ERRORS: dict[str, type[SecretdError]] = {
    code: error
    for code, error in ERRORS_BY_CODE.items()
    if error not in _NOT_ANSWERED and not issubclass(error, UnreachableError)
}
"""The classes that a daemon may answer with by their code; the schema of replies lists exactly these codes."""
