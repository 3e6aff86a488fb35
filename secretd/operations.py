"""The table of operations: the one list of what the daemon does.

A row is an operation: its name, what it takes and gives (two frozen dataclasses), the permission a caller
needs for it, and whether it reveals or changes something.  The doors, the native schema, the command line's
help and docs/operations.md follow from the rows; the core registers a handler for each, and tests hold all
of them total.  EVENTS is the other table: what a subscriber is told unasked.

secretd.fields says how a field is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated
from uuid import UUID

from secretd import limits
from secretd.fields import Help
from secretd.grantrequests import (
    Explain,
    Explained,
    GrantAdd,
    GrantAdded,
    GrantList,
    GrantRemove,
    GrantRemoved,
    GrantShow,
    GrantShown,
    GrantsListed,
    Group,
    Held,
)
from secretd.keyrequests import (
    DataKey,
    Decrypt,
    Decrypted,
    DefaultKey,
    Encrypt,
    Encrypted,
    GenerateDataKey,
    KeyArchive,
    KeyAttach,
    KeyCancelDeletion,
    KeyChanged,
    KeyCreate,
    KeyDefault,
    KeyDelete,
    KeyDeleted,
    KeyDeletionScheduled,
    KeyDescribe,
    KeyDescribed,
    KeyDetach,
    KeyDisable,
    KeyEnable,
    KeyExport,
    KeyExported,
    KeyImport,
    KeyList,
    KeyRestore,
    KeyRotate,
    KeyRotated,
    KeyScheduleDeletion,
    KeysListed,
    KeyUpdate,
    Rewrap,
)
from secretd.lifecycle import OutOfUse
from secretd.lifecyclerequests import (
    SecretArchive,
    SecretAttach,
    SecretCancelDeletion,
    SecretDeletionScheduled,
    SecretDetach,
    SecretGetLifecycle,
    SecretLifecycle,
    SecretProtect,
    SecretRestore,
    SecretScheduleDeletion,
    SecretUnprotect,
)
from secretd.model import (
    Digest,
    MemoryLock,
    Mode,
    Permission,
    SealState,
    SecretDocument,
    SecretValue,
    SlotKind,
    Usage,
    UsageType,
)
from secretd.requests import Changed as Changed  # noqa: PLC0414
from secretd.requests import Reply as Reply  # noqa: PLC0414  # so that the table can be had with what it is of
from secretd.requests import ReplyT as ReplyT  # noqa: PLC0414
from secretd.requests import Request as Request  # noqa: PLC0414
from secretd.storerequests import (
    Backup,
    BackupPart,
    Check,
    Checked,
    Restore,
    RestoreTaken,
    SealReport,
    SealRetire,
    SealRetired,
    SealRotate,
    SealRotated,
    SealStatus,
    StoreAccept,
    StoreAccepted,
)

_Secret = Annotated[UUID, Help("the secret's id")]
_Given = Annotated[Digest | None, Help("make the change only if the secret's digest is still this one")]
_Digest = Annotated[Digest, Help("the secret's digest")]


@dataclass(frozen=True, slots=True)
class Deleted(Reply):
    """The reply to a deletion: nothing is left to speak of."""


@dataclass(frozen=True, slots=True)
class AllocateId(Request[Changed]):
    """Allocate an id for a new secret, with neither usage nor value."""

    description: Annotated[str | None, Help("what the secret is for, to people")] = None
    ephemeral: Annotated[bool, Help("keep the secret in memory only, never on any disk")] = False


@dataclass(frozen=True, slots=True)
class SetXml(Request[Changed]):
    """Replace all attributes of a secret, so that those not given are dropped; allocate the id if it is new."""

    secret: _Secret
    document: Annotated[SecretDocument, Help("the attributes; a uuid in it must be the secret's id")]
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class Define(Request[Changed]):
    """Define a secret as libvirt does: make an id if none is given, but never change the usage's id."""

    document: Annotated[SecretDocument, Help("the attributes, and the id if there is one")]
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class GotXml(Reply):
    """The attributes of a secret."""

    digest: _Digest
    document: Annotated[SecretDocument, Help("the attributes")]


@dataclass(frozen=True, slots=True)
class GetXml(Request[GotXml]):
    """Give the attributes of a secret."""

    secret: _Secret


@dataclass(frozen=True, slots=True)
class SetValue(Request[Changed]):
    """Set the value of a secret; allocate the id if it is new and may be created."""

    secret: _Secret
    value: Annotated[SecretValue, Help("the value, 1 to 65,536 bytes")]
    ephemeral: Annotated[bool, Help("if the id is new: keep the secret in memory only, never on any disk")] = False
    create: Annotated[bool, Help("allocate the id if it is new (the protocol's default, not virsh's)")] = True
    digest: _Given = None

    def __post_init__(self) -> None:
        if not isinstance(self.value, SecretValue):
            raise TypeError("a value is given as SecretValue(...)")


@dataclass(frozen=True, slots=True)
class GenerateValue(Request[Changed]):
    """Make a random value inside the daemon and set it; it is not shown."""

    secret: _Secret
    length: Annotated[int, Help("how many characters, or bytes", 1, limits.VALUE_BYTES)]
    alphabet: Annotated[
        str | None, Help("the characters to choose from, 2 to 95 different printable ones of ASCII; else raw bytes")
    ] = None
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class GotValue(Reply):
    """The value of a secret."""

    value: Annotated[SecretValue, Help("the value")]


@dataclass(frozen=True, slots=True)
class GetValue(Request[GotValue]):
    """Reveal the value of a secret."""

    secret: _Secret


@dataclass(frozen=True, slots=True)
class Delete(Request[Deleted]):
    """Delete a secret, its value and its attributes."""

    secret: _Secret
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One secret of a list."""

    secret: _Secret
    digest: _Digest
    ephemeral: Annotated[bool, Help("whether it is kept in memory only")]
    private: Annotated[bool, Help("whether its value is revealed to no ordinary caller")]
    has_value: Annotated[bool, Help("whether it has a value")]
    usage: Annotated[Usage | None, Help("what it is for")] = None
    out_of_use: Annotated[OutOfUse | None, Help("why lists leave it out, unless they are asked for it")] = None


@dataclass(frozen=True, slots=True)
class Listed(Reply):
    """A page of a list."""

    entries: Annotated[tuple[Entry, ...], Help("the secrets, in the order of their ids")]
    truncated: Annotated[bool, Help("whether there is more, even if this page is empty")]
    next_marker: Annotated[UUID | None, Help("where the next page starts, if there is more")] = None
    damaged: Annotated[int | None, Help("how many secrets of this page do not open, told to administrators", 1)] = None


@dataclass(frozen=True, slots=True)
class List(Request[Listed]):
    """List the secrets that you may see."""

    limit: Annotated[int, Help("at most so many entries", 1, limits.PAGE_ENTRIES)] = int(limits.PAGE_ENTRIES)
    marker: Annotated[UUID | None, Help("the next marker of the page before")] = None
    ephemeral: Annotated[bool | None, Help("only those that are, or are not, ephemeral")] = None
    private: Annotated[bool | None, Help("only those that are, or are not, private")] = None
    usage_type: Annotated[UsageType | None, Help("only those with a usage of this type")] = None
    archived: Annotated[bool, Help("also those that are archived, or wait for their deletion")] = False


@dataclass(frozen=True, slots=True)
class Found(Reply):
    """The secret that has a usage."""

    secret: _Secret
    digest: _Digest


@dataclass(frozen=True, slots=True)
class LookupByUsage(Request[Found]):
    """Find the secret that has a usage."""

    usage: Annotated[Usage, Help("the usage: its type and id")]


@dataclass(frozen=True, slots=True)
class FoundEntry(Entry, Reply):
    """What a list says of one secret."""


@dataclass(frozen=True, slots=True)
class LookupById(Request[FoundEntry]):
    """Say what a list says of one secret."""

    secret: _Secret


@dataclass(frozen=True, slots=True)
class Counted(Reply):
    """How many secrets there are."""

    secrets: Annotated[int, Help("how many", 0)]


@dataclass(frozen=True, slots=True)
class Count(Request[Counted]):
    """Count the secrets that you may see."""

    ephemeral: Annotated[bool | None, Help("only those that are, or are not, ephemeral")] = None
    private: Annotated[bool | None, Help("only those that are, or are not, private")] = None
    archived: Annotated[bool, Help("also those that are archived, or wait for their deletion")] = False


@dataclass(frozen=True, slots=True)
class Subscribed(Reply):
    """The reply to a subscription: events follow as they happen."""


@dataclass(frozen=True, slots=True)
class Subscribe(Request[Subscribed]):
    """Tell this connection, until it ends, of changes to the secrets that you may see, or to one of them."""

    secret: Annotated[UUID | None, Help("only of changes to this secret, whether or not it is there")] = None


@dataclass(frozen=True, slots=True)
class Unsubscribed(Reply):
    """The reply to the end of a subscription."""


@dataclass(frozen=True, slots=True)
class Unsubscribe(Request[Unsubscribed]):
    """End a subscription of this connection, or all of them."""

    secret: Annotated[UUID | None, Help("only the subscription to this secret")] = None


class Event:
    """What a subscriber is told unasked: a frozen dataclass."""


@dataclass(frozen=True, slots=True)
class SecretDefined(Entry, Event):
    """A secret is new, or new to who is told: what a list says of it."""


@dataclass(frozen=True, slots=True)
class SecretChanged(Entry, Event):
    """The attributes of a secret were set: what a list says of it now."""


@dataclass(frozen=True, slots=True)
class ValueChanged(Entry, Event):
    """The value of a secret was set: what a list says of it now."""


@dataclass(frozen=True, slots=True)
class SecretDeleted(Event):
    """A secret is gone, or who is told may see it no more."""

    secret: _Secret
    usage: Annotated[Usage | None, Help("what it was for")] = None


@dataclass(frozen=True, slots=True)
class EventsLost(Event):
    """Events were lost: only a list says how things are."""


@dataclass(frozen=True, slots=True)
class You(Reply):
    """Whom the daemon takes the caller for, and what it may do."""

    uid: Annotated[int, Help("user id", 0)]
    gid: Annotated[int, Help("group id", 0)]
    pid: Annotated[int, Help("process id, 0 if it is in another namespace", 0)]
    read_only: Annotated[bool, Help("whether the connection is read-only")]
    elevated: Annotated[bool, Help("whether private values are revealed to it")]
    label: Annotated[str | None, Help("security label")] = None
    unit: Annotated[str | None, Help("the system service that its process belongs to")] = None
    invocation: Annotated[str | None, Help("systemd's id of that service's present run")] = None
    executable: Annotated[str | None, Help("the path of the file that its process runs")] = None
    executable_trusted: Annotated[
        bool | None, Help("whether that file is there and nobody but root can change it, so that a grant can name it")
    ] = None
    groups: Annotated[tuple[Group, ...], Help("supplementary groups, the first of very many")] = ()
    further_groups: Annotated[int | None, Help("how many more there are, if not all are named", 1)] = None
    permissions: Annotated[tuple[Held, ...], Help("what it may do, and by what")] = ()


@dataclass(frozen=True, slots=True)
class Whoami(Request[You]):
    """Say whom the daemon takes you for, and what you may do; who may do nothing is refused this too."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One way to the root key."""

    kind: Annotated[SlotKind, Help("what kind of slot it is")]


@dataclass(frozen=True, slots=True)
class Bound:
    """Something that is bounded, and how much of it is used."""

    name: Annotated[str, Help("what it is")]
    used: Annotated[int, Help("how much of it is used", 0)]
    most: Annotated[int, Help("how much there may be", 0)]


@dataclass(frozen=True, slots=True)
class DaemonStatus(Reply):
    """The state of the daemon. What only an open keyring can tell is left out while it is sealed.

    So is what not everybody may know: the numbers of secrets are for who may see all or administers, the
    revision and all bounds but one's own quota for who administers.
    """

    version: Annotated[str, Help("the daemon's version")]
    mode: Annotated[Mode, Help("whom it serves")]
    state: Annotated[SealState, Help("whether the keyring is open")]
    reason: Annotated[str | None, Help("if it is sealed: why, and what to do")] = None
    keyring_version: Annotated[int | None, Help("the version of the keyring that seals now", 1)] = None
    slots: Annotated[tuple[Slot, ...], Help("the ways to the root key")] = ()
    store: Annotated[str | None, Help("the kind of store")] = None
    revision: Annotated[int | None, Help("how many changes the store has seen", 0)] = None
    read_only: Annotated[bool | None, Help("whether the store lacks changes that were answered")] = None
    persistent: Annotated[int | None, Help("how many secrets are in the store", 0)] = None
    ephemeral: Annotated[int | None, Help("how many secrets are in memory only", 0)] = None
    memory_wiping: Annotated[bool, Help("whether what the daemon frees was found to be overwritten")] = False
    memory_locked: Annotated[MemoryLock, Help("how much of its memory is kept out of swap")] = MemoryLock.NO
    peer_handles: Annotated[
        bool, Help("whether the kernel gives handles of processes; else no grant by unit or executable matches")
    ] = False
    peer_executables: Annotated[
        bool, Help("whether the daemon may see which files others' processes run; else no grant by executable matches")
    ] = False
    bounds: Annotated[
        tuple[Bound, ...],
        Help("what is bounded: to administrators everything, and to others than root their own quota"),
    ] = ()


@dataclass(frozen=True, slots=True)
class Status(Request[DaemonStatus]):
    """Say how the daemon is, to whoever may do anything at all; a sealed daemon answers this alone."""


@dataclass(frozen=True, slots=True)
class Measured(Reply):
    """What the daemon has counted since its start."""

    text: Annotated[str, Help("in Prometheus' text format")]


@dataclass(frozen=True, slots=True)
class Metrics(Request[Measured]):
    """Give counts and durations of operations, by how they ended, and the daemon's state, for monitoring."""


class AuditLevel(Enum):
    """What an operation does to the secrets' secrecy and state; what reveals or changes is recorded."""

    NONE = "none"
    REVEAL = "reveal"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of the table.

    Attributes:
        name: on the native wire.
        request, reply: the dataclasses that say what it takes and gives.
        permission: what a caller must hold, first for anything at all, then for the object; None for what
            every caller may ask who holds any permission.
        audit: whether it reveals or changes something.
    """

    name: str
    request: type[Request[Reply]]
    reply: type[Reply]
    permission: Permission | None
    audit: AuditLevel

    @property
    def help(self) -> str:
        """What the operation does, in a sentence or two."""
        return " ".join((self.request.__doc__ or "").split())


OPERATIONS: tuple[Operation, ...] = (
    Operation("allocate-id", AllocateId, Changed, Permission.APPEND, AuditLevel.CHANGE),
    Operation("set-xml", SetXml, Changed, Permission.APPEND, AuditLevel.CHANGE),
    Operation("define", Define, Changed, Permission.APPEND, AuditLevel.CHANGE),
    Operation("get-xml", GetXml, GotXml, Permission.READ, AuditLevel.NONE),
    Operation("set-value", SetValue, Changed, Permission.APPEND, AuditLevel.CHANGE),
    Operation("generate-value", GenerateValue, Changed, Permission.APPEND, AuditLevel.CHANGE),
    Operation("get-value", GetValue, GotValue, Permission.READ_SECURE, AuditLevel.REVEAL),
    Operation("delete", Delete, Deleted, Permission.DELETE, AuditLevel.CHANGE),
    Operation("list", List, Listed, Permission.SEARCH, AuditLevel.NONE),
    Operation("count", Count, Counted, Permission.SEARCH, AuditLevel.NONE),
    Operation("lookup-by-id", LookupById, FoundEntry, Permission.GETATTR, AuditLevel.NONE),
    Operation("lookup-by-usage", LookupByUsage, Found, Permission.GETATTR, AuditLevel.NONE),
    Operation("subscribe", Subscribe, Subscribed, Permission.SEARCH, AuditLevel.NONE),
    Operation("unsubscribe", Unsubscribe, Unsubscribed, None, AuditLevel.NONE),
    Operation("secret-get-lifecycle", SecretGetLifecycle, SecretLifecycle, Permission.READ, AuditLevel.NONE),
    Operation("secret-archive", SecretArchive, Changed, Permission.ARCHIVE, AuditLevel.CHANGE),
    Operation("secret-restore", SecretRestore, Changed, Permission.ARCHIVE, AuditLevel.CHANGE),
    Operation("secret-attach", SecretAttach, Changed, Permission.ARCHIVE, AuditLevel.CHANGE),
    Operation("secret-detach", SecretDetach, Changed, Permission.ARCHIVE, AuditLevel.CHANGE),
    Operation("secret-protect", SecretProtect, Changed, Permission.ARCHIVE, AuditLevel.CHANGE),
    Operation("secret-unprotect", SecretUnprotect, Changed, Permission.ARCHIVE, AuditLevel.CHANGE),
    Operation(
        "secret-schedule-deletion",
        SecretScheduleDeletion,
        SecretDeletionScheduled,
        Permission.DELETE,
        AuditLevel.CHANGE,
    ),
    Operation("secret-cancel-deletion", SecretCancelDeletion, Changed, Permission.DELETE, AuditLevel.CHANGE),
    Operation("key-create", KeyCreate, KeyChanged, Permission.KEY_ADMIN, AuditLevel.CHANGE),
    Operation("key-import", KeyImport, KeyChanged, Permission.KEY_ADMIN, AuditLevel.CHANGE),
    Operation("key-list", KeyList, KeysListed, Permission.GETATTR, AuditLevel.NONE),
    Operation("key-describe", KeyDescribe, KeyDescribed, Permission.GETATTR, AuditLevel.NONE),
    Operation("key-update", KeyUpdate, KeyChanged, Permission.KEY_ADMIN, AuditLevel.CHANGE),
    Operation("key-enable", KeyEnable, KeyChanged, Permission.KEY_ADMIN, AuditLevel.CHANGE),
    Operation("key-disable", KeyDisable, KeyChanged, Permission.KEY_ADMIN, AuditLevel.CHANGE),
    Operation("key-rotate", KeyRotate, KeyRotated, Permission.KEY_ADMIN, AuditLevel.CHANGE),
    Operation("key-archive", KeyArchive, KeyChanged, Permission.ARCHIVE, AuditLevel.CHANGE),
    Operation("key-restore", KeyRestore, KeyChanged, Permission.ARCHIVE, AuditLevel.CHANGE),
    Operation("key-attach", KeyAttach, KeyChanged, Permission.ARCHIVE, AuditLevel.CHANGE),
    Operation("key-detach", KeyDetach, KeyChanged, Permission.ARCHIVE, AuditLevel.CHANGE),
    Operation("key-schedule-deletion", KeyScheduleDeletion, KeyDeletionScheduled, Permission.DELETE, AuditLevel.CHANGE),
    Operation("key-cancel-deletion", KeyCancelDeletion, KeyChanged, Permission.DELETE, AuditLevel.CHANGE),
    Operation("key-delete", KeyDelete, KeyDeleted, Permission.DELETE, AuditLevel.CHANGE),
    Operation("key-default", KeyDefault, DefaultKey, Permission.KEY_ADMIN, AuditLevel.CHANGE),
    Operation("key-export", KeyExport, KeyExported, Permission.EXPORT, AuditLevel.REVEAL),
    Operation("generate-data-key", GenerateDataKey, DataKey, Permission.GENERATE_WRAPPED, AuditLevel.REVEAL),
    Operation("encrypt", Encrypt, Encrypted, Permission.ENCRYPT, AuditLevel.NONE),
    Operation("decrypt", Decrypt, Decrypted, Permission.DECRYPT, AuditLevel.REVEAL),
    Operation("rewrap", Rewrap, Encrypted, Permission.ENCRYPT, AuditLevel.NONE),
    Operation("grant-add", GrantAdd, GrantAdded, Permission.ADMIN, AuditLevel.CHANGE),
    Operation("grant-list", GrantList, GrantsListed, Permission.ADMIN, AuditLevel.NONE),
    Operation("grant-show", GrantShow, GrantShown, Permission.ADMIN, AuditLevel.NONE),
    Operation("grant-remove", GrantRemove, GrantRemoved, Permission.ADMIN, AuditLevel.CHANGE),
    Operation("explain", Explain, Explained, Permission.ADMIN, AuditLevel.NONE),
    Operation("seal-status", SealStatus, SealReport, Permission.ADMIN, AuditLevel.NONE),
    Operation("seal-rotate", SealRotate, SealRotated, Permission.ADMIN, AuditLevel.CHANGE),
    Operation("seal-retire", SealRetire, SealRetired, Permission.ADMIN, AuditLevel.CHANGE),
    Operation("check", Check, Checked, Permission.ADMIN, AuditLevel.NONE),
    Operation("store-accept", StoreAccept, StoreAccepted, Permission.ADMIN, AuditLevel.CHANGE),
    Operation("backup", Backup, BackupPart, Permission.ADMIN, AuditLevel.REVEAL),
    Operation("restore", Restore, RestoreTaken, Permission.ADMIN, AuditLevel.CHANGE),
    Operation("metrics", Metrics, Measured, Permission.ADMIN, AuditLevel.NONE),
    Operation("whoami", Whoami, You, None, AuditLevel.NONE),
    Operation("status", Status, DaemonStatus, None, AuditLevel.NONE),
)

BY_NAME: dict[str, Operation] = {operation.name: operation for operation in OPERATIONS}
BY_REQUEST: dict[type[Request[Reply]], Operation] = {operation.request: operation for operation in OPERATIONS}

EVENTS: dict[str, type[Event]] = {
    "defined": SecretDefined,
    "changed": SecretChanged,
    "value-changed": ValueChanged,
    "deleted": SecretDeleted,
    "lost": EventsLost,
}
"""What subscribers are told, by its name on the native wire."""
