"""The nouns of secretd: plain, typed, without I/O.

What stands here is what every room speaks of; how it looks in XML, on a wire or at rest is the business of
the rooms that put it there.  Constructors refuse what can be said in no document (see limits), so that a
value of these types can always be written.
"""

from __future__ import annotations

import hmac
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum
from typing import NewType, NoReturn
from uuid import UUID

from secretd import limits
from secretd.errors import InvalidDocumentError, InvalidValueError

Digest = NewType("Digest", str)
"""32 lower-case hex digits of a keyed hash over an object's id and change counters."""

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class SecretValue:
    """The value of a secret: 1 to 65,536 bytes that show themselves to nobody by accident.

    Its repr hides the bytes, it compares in constant time, and it does not pickle.  It has no str of its own
    and no hash.  Reading the bytes is always spelled ``.reveal()``.
    """

    __slots__ = ("_bytes",)
    __hash__ = None  # type: ignore[assignment]  # a hash would be a fingerprint of the value

    def __init__(self, value: bytes | bytearray | memoryview) -> None:
        """Keep a copy of ``value``.

        Raises:
            InvalidValueError: the value is empty or longer than limits.VALUE_BYTES.
            TypeError: it is no bytes.
        """
        if not value:
            raise InvalidValueError("a value may not be empty")
        if len(value) > limits.VALUE_BYTES:
            raise InvalidValueError(f"a value may have at most {limits.VALUE_BYTES} bytes")
        try:
            self._bytes = bytes(value)
        except TypeError:
            # Python's own error speaks of an encoding of a text, as if one could be given here.
            raise TypeError("a value is bytes: encode a text first") from None

    def reveal(self) -> bytes:
        """Give the bytes themselves."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._bytes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretValue):
            return NotImplemented
        return hmac.compare_digest(self._bytes, other._bytes)

    def __repr__(self) -> str:
        return "SecretValue(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SecretValue is never pickled or copied")


class UsageType(Enum):
    """What kind of thing a secret opens. Source: libvirt's virSecretUsageType; ``none`` has no id."""

    __hash__ = object.__hash__  # members are single, and Enum's own is a call of Python

    NONE = "none"
    VOLUME = "volume"
    CEPH = "ceph"
    ISCSI = "iscsi"
    TLS = "tls"
    VTPM = "vtpm"


@dataclass(frozen=True, slots=True)
class Usage:
    """What one secret is for: a type other than none, and the id of the thing; unique over all secrets.

    Raises:
        InvalidDocumentError: the type is none, or the id is empty, too long or holds what XML cannot.
    """

    type: UsageType
    id: str

    def __post_init__(self) -> None:
        if self.type is UsageType.NONE:
            raise InvalidDocumentError("a usage of type none has no id")
        if not self.id:
            raise InvalidDocumentError("a usage needs an id")
        check_text(self.id, "a usage id", limits.USAGE_ID_BYTES)


@dataclass(frozen=True, slots=True)
class Attributes:
    """All that is said of a secret beside its id and its value. No usage is libvirt's usage of type none.

    Raises:
        InvalidDocumentError: the description is too long or holds what XML cannot.
    """

    usage: Usage | None = None
    description: str | None = None
    ephemeral: bool = False
    private: bool = False

    def __post_init__(self) -> None:
        if self.description is not None:
            check_text(self.description, "a description", limits.DESCRIPTION_BYTES)


@dataclass(frozen=True, slots=True)
class SecretDocument:
    """What a ``<secret>`` document says: attributes, and the id if it names one."""

    attributes: Attributes
    id: UUID | None = None


class Permission(Enum):
    """What a caller may be allowed to do, in libvirt's terms as far as libvirt has one for it.

    Source: libvirt's access/viraccessperm.h; docs/access.md, "Permissions"; docs/keys.md, "Permissions".
    """

    __hash__ = object.__hash__  # members are single, and Enum's own is a call of Python

    SEARCH = "search"
    GETATTR = "getattr"
    READ = "read"
    READ_SECURE = "read-secure"
    APPEND = "append"
    WRITE = "write"
    SAVE = "save"
    DELETE = "delete"
    ARCHIVE = "archive"
    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    GENERATE = "generate"
    GENERATE_WRAPPED = "generate-wrapped"
    EXPORT = "export"
    KEY_ADMIN = "key-admin"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Unit:
    """The system service that a process belongs to.

    Attributes:
        name: of the unit, such as ``nginx.service``.
        invocation: systemd's id of its present run, 32 hex digits; None if systemd does not say.
    """

    name: str
    invocation: str | None = None


@dataclass(frozen=True, slots=True)
class Executable:
    """The file that a process runs.

    Attributes:
        path: absolute, as the kernel spells it.
        trusted: nobody but root can write the file at this path or put another there, and it is the one that runs.
    """

    path: str
    trusted: bool


class Process(ABC):
    """The process that a caller is: what the kernel says of it beyond its ids.

    Each is looked up when it is first asked for, and kept.  None means that it is not known, or was not certain to
    be about this process; nothing is raised.
    """

    @abstractmethod
    def unit(self) -> Unit | None:
        """Say which system service it belongs to."""

    @abstractmethod
    def executable(self) -> Executable | None:
        """Say which file it runs."""

    @abstractmethod
    def sha256(self) -> str | None:
        """Give the hash of the file it runs, 64 lower-case hex digits; None if that is not trusted or too large.

        The whole file is read, once for each version of it: to be asked only of one that a grant names.
        """


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: what the kernel says of the peer, and what the socket it came by allows.

    Attributes:
        uid, gid, groups, pid: from the kernel at connect; pid is 0 where it belongs to another namespace.
        read_only: came by a ``-ro`` socket: never writes and never has a value revealed.
        elevated: proved to be the host's machinery; lifts only the bar of private.
        label: the security label, if a security module gives one.
        known: the kernel says which user it is; if not, uid stands for many, and the caller may do nothing at all.
        process: what else is known of the process; None if the kernel gives no handle of it.
        standing: what the grants that he was last judged by found out of his ids.
    """

    uid: int
    gid: int
    pid: int
    groups: tuple[int, ...] = ()
    read_only: bool = False
    elevated: bool = False
    label: str | None = None
    known: bool = True
    process: Process | None = field(default=None, compare=False, repr=False)
    standing: object = field(default=None, init=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What the kernel lets the daemon know of its callers beyond their ids.

    Attributes:
        handles: it gives a handle of a caller's process, so that its unit can be known.
        executables: it also lets the daemon see which file another user's process runs.
    """

    handles: bool = False
    executables: bool = False


class Mode(Enum):
    """Whom the daemon serves: the whole host, or the one user who runs it."""

    SYSTEM = "system"
    SESSION = "session"


class SlotKind(Enum):
    """What kind of slot it is: where the key that leads to the root key is kept."""

    LOCAL_FILE = "local-file"
    CREDENTIAL = "credential"


class SealState(Enum):
    """Whether the keyring could be opened."""

    OPEN = "open"
    SEALED = "sealed"


@dataclass(frozen=True, slots=True)
class SealStatus:
    """The state of the seal, and if it is sealed, why, and what to do about it."""

    state: SealState
    reason: str | None = None
    keyring_version: int | None = None
    slots: tuple[SlotKind, ...] = ()


class MemoryLock(Enum):
    """Whether the memory that values are in is kept out of swap: all of it, or nothing is promised."""

    ALL = "all"
    NO = "no"


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """What was found out of the daemon's own memory.

    Attributes:
        wiping: what is freed is overwritten: values were freed and could not be found again.
        locked: whether it is kept out of swap.
    """

    wiping: bool = False
    locked: MemoryLock = MemoryLock.NO


def check_text(text: str, what: str, most_bytes: int) -> None:
    """Refuse a text that no document can hold.

    Args:
        text: the text to judge.
        what: how the error names it.
        most_bytes: its bound, in bytes of UTF-8.

    Raises:
        InvalidDocumentError: it is too long, or has a character that XML 1.0 (section 2.2) cannot carry.
    """
    if _NOT_XML.search(text):
        raise InvalidDocumentError(f"{what} holds a character that XML cannot carry")
    if len(text) > most_bytes or len(text.encode()) > most_bytes:
        raise InvalidDocumentError(f"{what} may have at most {most_bytes} bytes of UTF-8")
