"""What to do about an error: one sentence or two for each class where there is something to say.

The daemon says what is wrong; it does not know that a person sits at a command line.  This table does.  A
class without a row takes that of the nearest class above it.
"""

from __future__ import annotations

from secretd import limits
from secretd.errors import (
    AccessDeniedError,
    BusyError,
    ConfigError,
    ConflictError,
    DigestMismatchError,
    InternalError,
    InvalidDocumentError,
    NoGrantError,
    NotFoundError,
    NoValueError,
    OperationInvalidError,
    PrivateError,
    QuotaError,
    ReadOnlyError,
    SealError,
    SecretdError,
    StoreCorruptError,
    StoreFullError,
    StoreOutcomeUnknownError,
    StoreUnavailableError,
    UnknownOperationError,
    UnreachableError,
    UntrustedDaemonError,
)

ADVICE: dict[type[SecretdError], str | None] = {
    NotFoundError: "secretctl secret-list shows the secrets that you may see.",
    NoGrantError: "secretctl grant-list shows all grants.",
    NoValueError: "Set one with secretctl secret-set-value or secret-generate-value.",
    ConflictError: (
        "secretctl secret-lookup finds the secret that has a usage;"
        " secretctl secret-set-xml changes what a secret is for."
    ),
    DigestMismatchError: "Read the secret again, with --json, and give the digest that it has now.",
    BusyError: None,  # says it itself
    QuotaError: "Delete what is not needed any more; the operator sets quota.secrets and quota.bytes.",
    AccessDeniedError: (
        "Root may grant it, with secretctl grant-add; your own secrets are in your own daemon: ask it with --session."
    ),
    ReadOnlyError: "Leave out --readonly, or give --connect the socket whose name does not end in -ro.",
    PrivateError: (
        "In this release nobody is given it: how the host's own machinery proves itself comes with libvirt's protocol."
    ),
    UnknownOperationError: "The daemon is older than this secretctl; secretctl status shows its version.",
    InvalidDocumentError: "secretctl secret-define --help shows what a secret's document looks like.",
    OperationInvalidError: (
        "secretctl secret-dumpxml shows how the secret is; to have it otherwise, delete it with"
        " secretctl secret-undefine, and make it anew."
    ),
    SealError: (
        f"It tries again by itself every {limits.ROOT_KEY_RETRY_SECONDS} seconds;"
        " secretctl status shows whether that helped."
    ),
    StoreUnavailableError: "Nothing was changed; try again.",
    StoreOutcomeUnknownError: "Perhaps it was changed: look at the secret before you try again.",
    StoreFullError: "Nothing was changed; make room where the store is, then try again.",
    StoreCorruptError: "Trying again does not help; the daemon's log says which record it is.",
    UnreachableError: "If none runs, secretd --session starts one of your own; --connect asks one elsewhere.",
    UntrustedDaemonError: (
        "Perhaps someone collects secrets there: ask your own daemon with --session, or the host's with --system."
    ),
    ConfigError: "--connect names a daemon's socket; without it, $XDG_RUNTIME_DIR says where that of a session is.",
    InternalError: "The daemon's log says more under this id.",
}


def advice_for(error: SecretdError) -> str | None:
    """Find what can be done about ``error``; None if there is nothing to say."""
    return next((ADVICE[cls] for cls in type(error).__mro__ if cls in ADVICE), None)
