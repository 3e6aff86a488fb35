"""The nouns of keys: what one is called, what is said of it, and what it seals for.

Constructors refuse whatever docs/keys.md refuses, so that a key that is there can be written and kept, and nothing in
it has to be looked at twice.

Source: docs/keys.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, NewType
from uuid import UUID

from secretd import limits
from secretd.errors import InvalidDocumentError, InvalidRequestError
from secretd.fields import Help
from secretd.model import check_text

KeyId = NewType("KeyId", str)
"""The id of a key: a UUID of 36 characters in lower case, or a name; see ``key_id_of``."""

_NAME = re.compile("[A-Za-z0-9_][A-Za-z0-9._-]{2,31}")  # Proxmox Backup Server's rule for sync keys
_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def key_id_of(text: str) -> KeyId | None:
    """Read the id of a key: a UUID in either case, or a name of 3 to 32 characters; None if it is neither."""
    if _UUID.fullmatch(text):
        return KeyId(str(UUID(text)))
    return KeyId(text) if _NAME.fullmatch(text) else None


class KeyUsage(Enum):
    """What a key is for."""

    ENCRYPT_DECRYPT = "encrypt-decrypt"


class KeyState(Enum):
    """What a key can be used for; docs/keys.md has the table."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    ARCHIVED = "archived"
    PENDING_DELETION = "pending-deletion"


class KeyBackend(Enum):
    """Where a key's bytes are."""

    LOCAL = "local"


class KeyOrigin(Enum):
    """Where the bytes of a version came from."""

    GENERATED = "generated"
    IMPORTED = "imported"


class KeyFormat(Enum):
    """How the bytes of a key are written outside: 32 bytes as they are, or a key file of Proxmox Backup Server."""

    RAW = "raw"
    PBS = "pbs"


class KeyKdf(Enum):
    """What derives, from a password, the key that protects a PBS key file."""

    NONE = "none"
    SCRYPT = "scrypt"
    PBKDF2 = "pbkdf2"


class DataKeySpec(Enum):
    """What a data key is for, and so how long it is. Source: the names of AWS KMS, which RustFS has too."""

    AES_128 = "AES_128"
    AES_256 = "AES_256"

    @property
    def length(self) -> int:
        """Its length in bytes."""
        return 16 if self is DataKeySpec.AES_128 else 32


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """Something that is said of a key, by a name.

    Args:
        name: 1 to limits.TAG_NAME_CHARACTERS characters.
        text: at most limits.TAG_TEXT_CHARACTERS characters.

    Raises:
        InvalidDocumentError: one of them is not so, or holds what XML cannot.
    """

    name: str
    text: str

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidDocumentError("a tag needs a name")
        for what, text, most in (
            ("the name of a tag", self.name, limits.TAG_NAME_CHARACTERS),
            ("the text of a tag", self.text, limits.TAG_TEXT_CHARACTERS),
        ):
            check_text(text, what, 4 * most)
            if len(text) > most:
                raise InvalidDocumentError(f"{what} may have at most {most} characters")


@dataclass(frozen=True, slots=True)
class KeyDocument:
    """What a ``<key>`` document says: all that people say of a key, and the id if it names one.

    Args:
        description: for people, at most limits.KEY_DESCRIPTION_BYTES bytes of UTF-8.
        tags: at most limits.KEY_TAGS, sorted, each name once; given in any order.
        exportable: whether its bytes may be had outside.
        rotation: after so many days it gets a new version, 1 to limits.ROTATION_DAYS; None: never by itself.

    Raises:
        InvalidDocumentError: one of them is not so, or holds what XML cannot.
    """

    id: KeyId | None = None
    usage: KeyUsage = KeyUsage.ENCRYPT_DECRYPT
    description: str | None = None
    tags: tuple[Tag, ...] = ()
    exportable: bool = False
    rotation: int | None = None

    def __post_init__(self) -> None:
        if self.description is not None:
            check_text(self.description, "a description", limits.KEY_DESCRIPTION_BYTES)
        if len(self.tags) > limits.KEY_TAGS:
            raise InvalidDocumentError(f"a key may have at most {limits.KEY_TAGS} tags")
        if len({tag.name for tag in self.tags}) < len(self.tags):
            raise InvalidDocumentError("a tag is named twice")
        if self.rotation is not None and not 1 <= self.rotation <= limits.ROTATION_DAYS:
            raise InvalidDocumentError(f"a key is rotated after 1 to {limits.ROTATION_DAYS} days")
        object.__setattr__(self, "tags", tuple(sorted(self.tags)))


@dataclass(frozen=True, slots=True)
class ContextPair:
    """One pair of an encryption context."""

    name: Annotated[str, Help("what the text is of")]
    text: Annotated[str, Help("the text")]


def context_of(pairs: Iterable[ContextPair]) -> dict[str, str]:
    """Give an encryption context as a map.

    Raises:
        InvalidRequestError: a name is empty or there twice, or there is more than docs/keys.md allows.
    """
    context: dict[str, str] = {}
    for pair in pairs:
        if not pair.name or pair.name in context:
            raise InvalidRequestError("a name in the encryption context is empty, or there twice")
        context[pair.name] = pair.text
    _check_context(context)
    return context


def _check_context(context: dict[str, str]) -> None:
    names, texts = [len(name.encode()) for name in context], [len(text.encode()) for text in context.values()]
    if len(context) > limits.CONTEXT_PAIRS:
        raise InvalidRequestError(f"an encryption context may have at most {limits.CONTEXT_PAIRS} pairs")
    if max(names, default=0) > limits.CONTEXT_NAME_BYTES:
        raise InvalidRequestError(
            f"a name in an encryption context may have at most {limits.CONTEXT_NAME_BYTES} bytes of UTF-8"
        )
    if max(texts, default=0) > limits.CONTEXT_TEXT_BYTES:
        raise InvalidRequestError(
            f"a text in an encryption context may have at most {limits.CONTEXT_TEXT_BYTES} bytes of UTF-8"
        )
    if sum(names) + sum(texts) > limits.CONTEXT_BYTES:
        raise InvalidRequestError(f"an encryption context may have at most {limits.CONTEXT_BYTES} bytes of UTF-8")


@dataclass(frozen=True, slots=True)
class Blob:
    """What a key sealed: 1 to limits.BLOB_BYTES bytes, whose form docs/storage-format.md says.

    Raises:
        InvalidRequestError: it is empty or longer.
    """

    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 < len(self.data) <= limits.BLOB_BYTES:
            raise InvalidRequestError(f"a blob has 1 to {limits.BLOB_BYTES} bytes")
