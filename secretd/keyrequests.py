"""What the operations on keys and with keys take and give.

Their rows are in secretd.operations, with all others.  Source: docs/keys.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from secretd import limits
from secretd.fields import Help
from secretd.keys import (
    Blob,
    ContextPair,
    DataKeySpec,
    KeyBackend,
    KeyDocument,
    KeyFormat,
    KeyId,
    KeyKdf,
    KeyOrigin,
    KeyState,
)
from secretd.lifecycle import Reference, ReferenceKind
from secretd.model import Digest, SecretValue
from secretd.requests import Reply, Request

_Key = Annotated[KeyId, Help("the key's id")]
_Given = Annotated[Digest | None, Help("make the change only if the key's digest is still this one")]
_Digest = Annotated[Digest, Help("the key's digest")]
_Version = Annotated[int, Help("the version of the key", 1)]
_Context = Annotated[tuple[ContextPair, ...], Help("what the blob is bound to: to be given again, whole, to open it")]
_KeyOrDefault = Annotated[KeyId | None, Help("the key's id; the default key if none is given")]
_Blob = Annotated[Blob, Help("what the key sealed")]


# Keys.


@dataclass(frozen=True, slots=True)
class KeyChanged(Reply):
    """The reply to a change: which key, and its digest from now on."""

    key: _Key
    digest: _Digest


@dataclass(frozen=True, slots=True)
class KeyCreate(Request[KeyChanged]):
    """Make a key, whose bytes are made inside; make an id if none is given."""

    document: Annotated[KeyDocument, Help("what is said of it, and the id if there is one")]


@dataclass(frozen=True, slots=True)
class KeyImport(Request[KeyChanged]):
    """Make a key of bytes that are given: 32 as they are, or a key file of Proxmox Backup Server."""

    document: Annotated[KeyDocument, Help("what is said of it, and the id if there is one")]
    value: Annotated[SecretValue, Help("the bytes, or the file")]
    format: Annotated[KeyFormat, Help("which of them it is")] = KeyFormat.RAW
    password: Annotated[SecretValue | None, Help("that of the file, if it is protected")] = None


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key of a list."""

    key: _Key
    digest: _Digest
    state: Annotated[KeyState, Help("what it can be used for")]
    version: Annotated[int, Help("the version that seals", 1)]
    backend: Annotated[KeyBackend, Help("where its bytes are")]
    default: Annotated[bool, Help("whether it is used where no key is named")]
    description: Annotated[str | None, Help("what the key is for, to people")] = None


@dataclass(frozen=True, slots=True)
class KeysListed(Reply):
    """A page of the keys."""

    entries: Annotated[tuple[KeyEntry, ...], Help("the keys, in the order of their ids")]
    truncated: Annotated[bool, Help("whether there is more")]
    next_marker: Annotated[KeyId | None, Help("where the next page starts, if there is more")] = None


@dataclass(frozen=True, slots=True)
class KeyList(Request[KeysListed]):
    """List the keys that you may see."""

    limit: Annotated[int, Help("at most so many entries", 1, limits.PAGE_ENTRIES)] = 100
    marker: Annotated[KeyId | None, Help("the next marker of the page before")] = None
    archived: Annotated[bool, Help("also those that are archived, or wait for their deletion")] = False


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One version of a key."""

    number: Annotated[int, Help("its number", 1)]
    created: Annotated[datetime, Help("when it was made, or imported")]
    origin: Annotated[KeyOrigin, Help("where its bytes came from")]
    uses: Annotated[int, Help("how often it sealed, at most", 0)]


@dataclass(frozen=True, slots=True)
class KeyDescribed(Reply):
    """All that is known of a key, but its bytes."""

    digest: _Digest
    document: Annotated[KeyDocument, Help("what is said of it")]
    state: Annotated[KeyState, Help("what it can be used for")]
    version: Annotated[int, Help("the version that seals", 1)]
    backend: Annotated[KeyBackend, Help("where its bytes are")]
    default: Annotated[bool, Help("whether it is used where no key is named")]
    created: Annotated[datetime, Help("when it was made")]
    rotated: Annotated[datetime | None, Help("when it got its newest version, if that is not its first")] = None
    archived: Annotated[datetime | None, Help("when it was archived, if it is")] = None
    due: Annotated[datetime | None, Help("when it will be destroyed, if it is to be")] = None
    versions: Annotated[tuple[KeyVersion, ...], Help("its versions")] = ()
    references: Annotated[tuple[Reference, ...], Help("who needs it")] = ()


@dataclass(frozen=True, slots=True)
class KeyDescribe(Request[KeyDescribed]):
    """Say all that is known of a key, but its bytes."""

    key: _Key


@dataclass(frozen=True, slots=True)
class KeyUpdate(Request[KeyChanged]):
    """Replace what is said of a key, so that what is not given is dropped; its id, usage and exportable stay."""

    key: _Key
    document: Annotated[KeyDocument, Help("what is said of it; an id in it must be the key's")]
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class KeyEnable(Request[KeyChanged]):
    """Let a disabled key be used again."""

    key: _Key
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class KeyDisable(Request[KeyChanged]):
    """Let a key neither seal nor open anything."""

    key: _Key
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class KeyRotated(Reply):
    """The reply to a rotation."""

    key: _Key
    digest: _Digest
    version: Annotated[int, Help("the version that seals from now on", 1)]


@dataclass(frozen=True, slots=True)
class KeyRotate(Request[KeyRotated]):
    """Give a key a new version, which seals from now on; older ones still open what they sealed."""

    key: _Key
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class KeyArchive(Request[KeyChanged]):
    """Take a key out of new use; what it sealed can still be opened."""

    key: _Key
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class KeyRestore(Request[KeyChanged]):
    """Make an archived key again what it was before."""

    key: _Key
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class KeyDeletionScheduled(Reply):
    """The reply to a deletion that waits."""

    key: _Key
    digest: _Digest
    due: Annotated[datetime, Help("when the key will be destroyed")]


@dataclass(frozen=True, slots=True)
class KeyScheduleDeletion(Request[KeyDeletionScheduled]):
    """Have a key destroyed after some days, in which it can be used for nothing but can be had back."""

    key: _Key
    days: Annotated[int, Help("how many days", limits.WINDOW_DAYS_LEAST, limits.WINDOW_DAYS)] = int(limits.WINDOW_DAYS)
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class KeyCancelDeletion(Request[KeyChanged]):
    """Have a key not destroyed after all: it is again what it was before."""

    key: _Key
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class KeyDeleted(Reply):
    """The reply to a destruction: nothing is left but that the id is taken."""


@dataclass(frozen=True, slots=True)
class KeyDelete(Request[KeyDeleted]):
    """Destroy a key at once: it is disabled or archived, and nobody needs it."""

    key: _Key
    confirm: Annotated[KeyId, Help("the key's id, once more")]
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class KeyAttach(Request[KeyChanged]):
    """Note that a consumer needs a key, or needs it otherwise than before."""

    key: _Key
    consumer: Annotated[str, Help("who needs it")]
    kind: Annotated[ReferenceKind, Help("for new use too, or only to open what is there")] = ReferenceKind.ACTIVE
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class KeyDetach(Request[KeyChanged]):
    """Note that a consumer needs a key no more."""

    key: _Key
    consumer: Annotated[str, Help("who needed it")]
    digest: _Given = None


@dataclass(frozen=True, slots=True)
class DefaultKey(Reply):
    """The reply to a change of the default key."""


@dataclass(frozen=True, slots=True)
class KeyDefault(Request[DefaultKey]):
    """Have a key used where none is named, instead of the one before; or none, if none is given."""

    key: Annotated[KeyId | None, Help("the key's id")] = None


@dataclass(frozen=True, slots=True)
class KeyExported(Reply):
    """The bytes of a key."""

    version: _Version
    value: Annotated[SecretValue, Help("the bytes, or the file")]
    fingerprint: Annotated[str, Help("by which Proxmox Backup Server knows it: 32 bytes in hex, joined by ':'")]


@dataclass(frozen=True, slots=True)
class KeyExport(Request[KeyExported]):
    """Give the bytes of an exportable key: 32 as they are, or a key file of Proxmox Backup Server."""

    key: _Key
    version: Annotated[int | None, Help("which version; the one that seals if none is given", 1)] = None
    format: Annotated[KeyFormat, Help("as what")] = KeyFormat.RAW
    kdf: Annotated[KeyKdf, Help("of a file: what derives from the password the key that protects it")] = KeyKdf.NONE
    password: Annotated[SecretValue | None, Help("of a file: its password from now on")] = None
    hint: Annotated[str | None, Help("of a protected file: what shall remind of the password")] = None


# With keys.


@dataclass(frozen=True, slots=True)
class DataKey(Reply):
    """A data key."""

    key: _Key
    version: _Version
    blob: _Blob
    value: Annotated[SecretValue | None, Help("the data key in the clear, if that was asked for")] = None


@dataclass(frozen=True, slots=True)
class GenerateDataKey(Request[DataKey]):
    """Make a key for one object: in the clear, to use now, and sealed in a blob, to keep."""

    key: _KeyOrDefault = None
    spec: Annotated[DataKeySpec, Help("what it is for")] = DataKeySpec.AES_256
    clear: Annotated[bool, Help("whether it is given in the clear too")] = True
    context: _Context = ()


@dataclass(frozen=True, slots=True)
class Encrypted(Reply):
    """What was sealed."""

    key: _Key
    version: _Version
    blob: _Blob


@dataclass(frozen=True, slots=True)
class Encrypt(Request[Encrypted]):
    """Seal some bytes by a key."""

    value: Annotated[SecretValue, Help("the bytes")]
    key: _KeyOrDefault = None
    context: _Context = ()


@dataclass(frozen=True, slots=True)
class Decrypted(Reply):
    """What was in a blob."""

    key: _Key
    version: _Version
    value: Annotated[SecretValue, Help("what was sealed")]


@dataclass(frozen=True, slots=True)
class Decrypt(Request[Decrypted]):
    """Open a blob."""

    blob: _Blob
    key: Annotated[KeyId | None, Help("the only key that may have sealed it, if one is given")] = None
    context: _Context = ()


@dataclass(frozen=True, slots=True)
class Rewrap(Request[Encrypted]):
    """Seal what is in a blob anew, under the newest version of its key or of another; none of it is shown."""

    blob: _Blob
    key: Annotated[KeyId | None, Help("the key to seal it by; the one that sealed it if none is given")] = None
    context: _Context = ()
