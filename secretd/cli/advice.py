"""What to do about an error: one sentence or two for each class where there is something to say.

The daemon says what is wrong; it does not know that a person sits at a command line.  These tables do.  A
class without a row takes that of the nearest class above it.  What a command says of its own goes first.
"""

from __future__ import annotations

from collections.abc import Mapping

from secretd import limits
from secretd.errors import (
    AccessDeniedError,
    BusyError,
    ConfigError,
    ConflictError,
    DecryptionError,
    DigestMismatchError,
    InternalError,
    InvalidDocumentError,
    InvalidRequestError,
    InvalidValueError,
    KeyFileError,
    NoGrantError,
    NoKeyError,
    NotFoundError,
    NoValueError,
    OperationInvalidError,
    PrivateError,
    QuotaError,
    ReadOnlyError,
    ReferencedError,
    SealError,
    SecretdError,
    StoreCorruptError,
    StoreFullError,
    StoreOutcomeUnknownError,
    StoreUnavailableError,
    UnknownOperationError,
    UnreachableError,
    UntrustedDaemonError,
    WrongPasswordError,
    WrongStateError,
)

Advice = Mapping[type[SecretdError], str | None]
"""By the class of the error; None where nothing is to be said."""

ADVICE: Advice = {
    NotFoundError: "secretctl secret-list shows the secrets that you may see.",
    NoGrantError: "secretctl grant-list shows all grants.",
    NoKeyError: "secretctl key-list --archived shows all keys that you may see.",
    NoValueError: "Set one with secretctl secret-set-value or secret-generate-value.",
    ConflictError: (
        "secretctl secret-lookup finds the secret that has a usage;"
        " secretctl secret-set-xml changes what a secret is for."
    ),
    DigestMismatchError: "Read it again, with --json, and give the digest that it has now.",
    ReferencedError: None,  # says it itself
    BusyError: None,  # says it itself
    QuotaError: "Delete what is not needed any more; the operator sets quota.secrets and quota.bytes.",
    AccessDeniedError: (
        "Root may grant it, with secretctl grant-add; your own secrets are in your own daemon: ask it with --session."
    ),
    ReadOnlyError: "Leave out --readonly, or give --connect the socket whose name does not end in -ro.",
    PrivateError: "libvirt's own daemons are given it, for their guests; nobody else is, not even root.",
    UnknownOperationError: "The daemon is older than this secretctl; secretctl status shows its version.",
    InvalidDocumentError: "secretctl secret-define --help shows what a secret's document looks like.",
    OperationInvalidError: (
        "secretctl secret-dumpxml shows how the secret is; to have it otherwise, delete it with"
        " secretctl secret-undefine, and make it anew."
    ),
    WrongStateError: None,  # says it itself
    DecryptionError: (
        "It needs the same --context as it was sealed with, whole, and the key that sealed it, which"
        " secretctl key-list --archived shows if you may see it."
    ),
    KeyFileError: "A key is 32 bytes, --format raw, or a file of Proxmox Backup Server, --format pbs.",
    WrongPasswordError: (
        "--password-file and --password-fd give the file's password; without them it is asked for at a terminal."
    ),
    SealError: (
        f"It tries again by itself every {limits.ROOT_KEY_RETRY_SECONDS} seconds;"
        " secretctl status shows whether that helped."
    ),
    StoreUnavailableError: "Nothing was changed; try again.",
    StoreOutcomeUnknownError: "Perhaps it was changed: look at the secret before you try again.",
    StoreFullError: "Nothing was changed; make room where the store is, then try again.",
    StoreCorruptError: "Trying again does not help; the daemon's log says which record it is.",
    UnreachableError: (
        "--session asks your own daemon, which secretd --session starts; --system asks the host's, which"
        " systemctl start secretd starts; --connect asks one elsewhere."
    ),
    UntrustedDaemonError: (
        "Perhaps someone collects secrets there: ask your own daemon with --session, or the host's with --system."
    ),
    ConfigError: (
        "--system asks the host's daemon, and --connect the one at a socket; $XDG_RUNTIME_DIR says where that of a"
        " session is."
    ),
    InternalError: "The daemon's log says more under this id.",
}


_KEY: Advice = {
    ReferencedError: (
        "secretctl key-describe shows who needs a key; secretctl key-detach notes that one does no more, and"
        " secretctl key-default names another key, or none."
    ),
    WrongStateError: (
        "secretctl key-describe shows a key's state; key-enable, key-restore and key-cancel-deletion bring it back."
    ),
}

_KEY_OR_DEFAULT: Advice = {
    **_KEY,
    InvalidRequestError: (
        "secretctl key-list shows the keys that you may see; secretctl key-default has one used where none is named."
    ),
    InvalidValueError: None,
}

_NEW_KEY: Advice = {
    ConflictError: (
        "secretctl key-list --archived shows the keys that there are; the id of one that was destroyed is not used"
        " again."
    ),
    InvalidDocumentError: "secretctl key-create --help shows what a key's document looks like.",
    QuotaError: "secretctl key-schedule-deletion and secretctl key-delete destroy what is not needed any more.",
}

_KEY_OUT_OF_USE_FIRST: Advice = {
    **_KEY,
    WrongStateError: "One that is in use is not destroyed: secretctl key-disable or secretctl key-archive comes first.",
}

_OF_SECRETS: Advice = {
    ReferencedError: (
        "secretctl secret-lifecycle shows who needs a secret; secretctl secret-detach notes that one does no more."
    ),
    WrongStateError: (
        "secretctl secret-lifecycle shows what befell a secret; secret-restore and secret-cancel-deletion bring it"
        " back."
    ),
}
"""What is to be said where every other row speaks of keys, by the commands that begin so."""

_TO_BE_UNPROTECTED: Advice = {OperationInvalidError: "secretctl secret-unprotect lets it be deleted again."}

ADVICE_OF: dict[str, Advice] = {
    "data-key-generate": _KEY_OR_DEFAULT,
    "encrypt": _KEY_OR_DEFAULT,
    "grant-add": {
        ConflictError: "--replace puts this one in its place; secretctl grant-remove takes that one back.",
        InvalidDocumentError: "secretctl grant-add --help shows what a grant's document looks like.",
        OperationInvalidError: "--system asks the host's daemon, which has grants.",
        QuotaError: "secretctl grant-list shows all grants; take back with secretctl grant-remove what is not needed.",
    },
    "decrypt": _KEY,
    "key-archive": _KEY,
    "key-attach": {**_KEY, QuotaError: "secretctl key-detach notes that one needs it no more."},
    "key-cancel-deletion": _KEY,
    "key-create": _NEW_KEY,
    "key-default": _KEY,
    "key-delete": _KEY_OUT_OF_USE_FIRST,
    "key-detach": _KEY,
    "key-disable": _KEY,
    "key-enable": _KEY,
    "key-export": {
        **_KEY,
        InvalidDocumentError: None,
        OperationInvalidError: (
            "That was said when it was made; secretctl rewrap seals what it sealed by another key, which may be"
            " exportable."
        ),
    },
    "key-import": {
        **_NEW_KEY,
        InvalidValueError: (
            "A key that is in no key file is read as it is, 32 bytes: base64, as key-export has it on standard output,"
            " is decoded first, with base64 -d."
        ),
    },
    "key-restore": _KEY,
    "key-rotate": {
        **_KEY,
        QuotaError: "Make another key, with secretctl key-create, and rewrap to that what is to last.",
    },
    "key-schedule-deletion": _KEY_OUT_OF_USE_FIRST,
    "key-update": {**_KEY, DigestMismatchError: "Somebody else changed it meanwhile: look at it, and try again."},
    "rewrap": _KEY,
    "restore": {
        OperationInvalidError: (
            "Nothing has to be deleted here: start a daemon with an empty store and this root key, and restore there;"
            " --dry-run looks through a backup here."
        ),
    },
    "seal-retire": {OperationInvalidError: "They are sealed anew by and by: try again once none is left."},
    "secret-attach": {QuotaError: "secretctl secret-detach notes that one needs it no more."},
    "secret-detach": {InvalidRequestError: "secretctl secret-lifecycle shows who needs a secret."},
    "secret-schedule-deletion": {
        **_TO_BE_UNPROTECTED,
        QuotaError: "secretctl secret-undefine deletes at once what nobody needs.",
    },
    "secret-undefine": _TO_BE_UNPROTECTED,
    "secret-set-value": {
        NotFoundError: (
            "secretctl secret-list shows the secrets that you may see; --create makes one of this id, and"
            " secretctl secret-define one with a usage."
        ),
    },
    "store-accept": {OperationInvalidError: None},
}
"""What is to be said of an error of one command, by its name."""


def advice_for(error: SecretdError, command: str | None = None) -> str | None:
    """Find what can be done about ``error``; None if there is nothing to say.

    Args:
        error: what went wrong.
        command: the name of the command that it went wrong in, if that is known.
    """
    of_kind = _OF_SECRETS if (command or "").startswith("secret-") else {}
    advice = {**ADVICE, **of_kind, **ADVICE_OF.get(command or "", {})}
    return next((advice[cls] for cls in type(error).__mro__ if cls in advice), None)
