"""A key as the core holds it, and the plain text of its record: canonical JSON, specified in docs/storage-format.md.

One spelling for one meaning: what does not read back to the same bytes is refused.  So a member or a format that a
later version added makes a record say nothing at all here; it never makes a key do more than was meant.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from secretd import limits
from secretd.core import lifecycleform
from secretd.core.access import KeyTarget
from secretd.crypto import canonical
from secretd.errors import SecretdError, StoreCorruptError
from secretd.keys import KeyBackend, KeyDocument, KeyId, KeyOrigin, KeyUsage, Tag, key_id_of
from secretd.lifecycle import NOTHING_BEFELL, Lifecycle

_FORMAT: Final = 1
_NUMBER_MOST: Final = 2**63 - 1
_COUNTER_MOST: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a key, but its bytes.

    Attributes:
        created: when it was made or imported, in seconds since 1970.
        material: the change counter of the record that has its bytes.
        origin: where those came from.
        uses: how often it sealed, at most; 0 while it is the newest, as those are counted in a record of their own.
        hint: what the PBS key file that it came from says of its password.
        modified: when that file was changed last, in seconds since 1970.
    """

    created: int
    material: int
    origin: KeyOrigin
    uses: int = 0
    hint: str | None = None
    modified: int | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """All of a key but its bytes.

    Attributes:
        document: what is said of it, with its id.
        created: when it was made, in seconds since 1970.
        versions: at least one and at most limits.KEY_VERSIONS; the first has the number 1, and the last seals.
        disabled: whether it is disabled, whatever befell it beside.
        lifecycle: what befell it.
        backend: where its bytes are.
        target: the key as access judges it, each time that anybody asks for it.
    """

    document: KeyDocument
    created: int
    versions: tuple[Version, ...]
    disabled: bool = False
    lifecycle: Lifecycle = NOTHING_BEFELL
    backend: KeyBackend = KeyBackend.LOCAL
    target: KeyTarget = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", KeyTarget(self.id, frozenset(self.document.tags)))

    @property
    def id(self) -> KeyId:
        """Its id."""
        if self.document.id is None:
            raise RuntimeError("a key that is kept has an id")
        return self.document.id

    @property
    def version(self) -> int:
        """The number of the version that seals."""
        return len(self.versions)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a key that was destroyed.

    Attributes:
        id: its id, which is not used again.
        destroyed: when that was, in seconds since 1970.
        versions: of how many versions, from 1 on, the bytes may still be there.
    """

    id: KeyId
    destroyed: int
    versions: int


def to_bytes(kept: Key | Tombstone) -> bytes:
    """Write a key, or a tombstone, as it is kept."""
    return canonical.dump(_tombstone(kept) if isinstance(kept, Tombstone) else _key(kept))


def from_bytes(plaintext: bytes) -> Key | Tombstone:
    """Read what ``to_bytes`` wrote.

    Raises:
        StoreCorruptError: it did not write this; as the record was authentic, another program of ours did.
    """
    kept = _try_read(plaintext)
    if kept is None or to_bytes(kept) != plaintext:
        raise StoreCorruptError("a key is in a form this version does not know")
    return kept


def _key(key: Key) -> dict[str, object]:
    document = key.document
    return {
        "backend": key.backend.value,
        "created": key.created,
        "description": document.description,
        "disabled": key.disabled,
        "exportable": document.exportable,
        "format": _FORMAT,
        "id": key.id,
        "lifecycle": lifecycleform.to_json(key.lifecycle),
        "rotation": document.rotation,
        "tags": {tag.name: tag.text for tag in document.tags},
        "usage": document.usage.value,
        "versions": [_version(version) for version in key.versions],
    }


def _version(version: Version) -> dict[str, object]:
    return {
        "created": version.created,
        "hint": version.hint,
        "material": version.material,
        "modified": version.modified,
        "origin": version.origin.value,
        "uses": version.uses,
    }


def _tombstone(tombstone: Tombstone) -> dict[str, object]:
    return {
        "destroyed": tombstone.destroyed,
        "format": _FORMAT,
        "id": tombstone.id,
        "versions": tombstone.versions,
    }


def _try_read(plaintext: bytes) -> Key | Tombstone | None:
    # Raised from here, a StoreCorruptError would carry the parser's error, and that carries the plaintext.
    try:
        members = json.loads(plaintext.decode("ascii"))
        if not isinstance(members, dict):
            return None
        return _read_tombstone(members) if "destroyed" in members else _read_key(members)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, SecretdError):
        return None


def _read_key(members: dict[str, Any]) -> Key:
    lifecycle = lifecycleform.from_json(members["lifecycle"])
    versions = tuple(map(_read_version, members["versions"]))
    if lifecycle.protected or not 0 < len(versions) <= limits.KEY_VERSIONS:
        raise ValueError("not what to_bytes writes")
    rotation = members["rotation"]
    document = KeyDocument(
        _read_id(members["id"]),
        KeyUsage(members["usage"]),
        _text(members["description"]),
        tuple(Tag(name, _text(text) or "") for name, text in members["tags"].items()),
        _flag(members["exportable"]),
        None if rotation is None else _number(rotation),
    )
    return Key(
        document,
        _number(members["created"]),
        versions,
        _flag(members["disabled"]),
        lifecycle,
        KeyBackend(members["backend"]),
    )


def _read_version(members: dict[str, Any]) -> Version:
    modified = members["modified"]
    return Version(
        _number(members["created"]),
        _number(members["material"], least=1, most=_COUNTER_MOST),
        KeyOrigin(members["origin"]),
        _number(members["uses"]),
        _text(members["hint"]),
        None if modified is None else _number(modified),
    )


def _read_tombstone(members: dict[str, Any]) -> Tombstone:
    versions = _number(members["versions"], most=limits.KEY_VERSIONS)
    return Tombstone(_read_id(members["id"]), _number(members["destroyed"]), versions)


def _read_id(member: str) -> KeyId:
    key = key_id_of(member)
    if key is None:
        raise ValueError("not what to_bytes writes")
    # In another case it is written as it should be, and so refused by the comparison.
    return key


def _number(member: object, *, least: int = 0, most: int = _NUMBER_MOST) -> int:
    # Compared alone these would pass: true is written as it was, and so is a number with a fraction.
    if type(member) is not int or not least <= member <= most:
        raise TypeError("not of the types that to_bytes writes")
    return member


def _text(member: object) -> str | None:
    if not isinstance(member, str | None):
        raise TypeError("not of the types that to_bytes writes")
    return member


def _flag(member: object) -> bool:
    if type(member) is not bool:
        raise TypeError("not of the types that to_bytes writes")
    return member
