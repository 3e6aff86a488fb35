"""The nouns of grants: whom one names, what it permits, which secrets and keys it reaches, and until when.

Constructors refuse whatever docs/access.md refuses, so that a grant that is there can be written, read again, kept
and judged, and nothing in it has to be looked at twice.  What a grant means for a caller and a secret is
core/matching.py's.

Source: docs/access.md, "Permissions" and "Grants".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final
from uuid import UUID

from secretd import limits
from secretd.errors import InvalidDocumentError
from secretd.keys import KeyId, Tag, key_id_of
from secretd.model import Permission, UsageType, check_text

LARGEST_ID: Final = 2**32 - 2
"""Of users and groups: the number above it is none, but chown(2)'s word for leaving an owner as he is."""

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]+\.service")  # systemd.unit(5), "Description"
_UNIT_CHARACTERS: Final = 255  # the same: UNIT_NAME_MAX with its zero byte
_TEMPLATE = re.compile(r".*@\.service")
_OF_A_USER = re.compile(r"user(?:-runtime-dir)?@.*\.service")  # systemd.special(7), "user.slice"
_KEY_PATTERN = re.compile("[A-Za-z0-9_.*-]+")  # what docs/keys.md lets an id have, and stars
_SHA256 = re.compile("[0-9a-f]{64}")
_PLAIN_PATH = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[^/]+)+")


# What is permitted.


_OF_BOTH: Final = frozenset({Permission.GETATTR, Permission.DELETE, Permission.ARCHIVE})

OF_KEYS: Final = _OF_BOTH | frozenset(
    {
        *(Permission.ENCRYPT, Permission.DECRYPT, Permission.GENERATE, Permission.GENERATE_WRAPPED),
        *(Permission.EXPORT, Permission.KEY_ADMIN),
    }
)
"""What can be permitted on a key."""

OF_SECRETS: Final = (frozenset(Permission) - OF_KEYS) | _OF_BOTH
"""What can be permitted on a secret, or on all of them."""


class PermissionSet(Enum):
    """A ready-made set of permissions, by its name in a document."""

    ALL = "all"
    READ_ONLY = "read-only"
    NO_DELETE = "no-delete"
    APPEND_ONLY = "append-only"
    DELETE_ONLY = "delete-only"
    KEY_USER = "key-user"
    KEY_ENCRYPTER = "key-encrypter"
    KEY_ADMINISTRATOR = "key-administrator"


_READING = frozenset({Permission.SEARCH, Permission.GETATTR, Permission.READ, Permission.READ_SECURE})
_APPENDING = frozenset({Permission.APPEND, Permission.SAVE})

PERMISSIONS_OF: Mapping[PermissionSet, frozenset[Permission]] = MappingProxyType(
    {
        PermissionSet.ALL: OF_SECRETS - {Permission.ADMIN},
        PermissionSet.READ_ONLY: _READING,
        PermissionSet.NO_DELETE: _READING | _APPENDING,
        PermissionSet.APPEND_ONLY: _APPENDING,
        PermissionSet.DELETE_ONLY: frozenset({Permission.SEARCH, Permission.GETATTR, Permission.DELETE}),
        PermissionSet.KEY_USER: frozenset(
            {Permission.GETATTR, Permission.ENCRYPT, Permission.DECRYPT, Permission.GENERATE}
        ),
        PermissionSet.KEY_ENCRYPTER: frozenset({Permission.GETATTR, Permission.ENCRYPT, Permission.GENERATE_WRAPPED}),
        PermissionSet.KEY_ADMINISTRATOR: frozenset(
            {Permission.GETATTR, Permission.DELETE, Permission.ARCHIVE, Permission.KEY_ADMIN}
        ),
    }
)
"""What each ready-made set permits. Source: docs/access.md, "Permissions"."""


# Whom it is for.


class PrincipalKind(Enum):
    """By what evidence a principal is known."""

    USER = "user"
    GROUP = "group"
    UNIT = "unit"
    ANYONE = "anyone"


INTERPRETERS: Final = (
    *("sh", "bash*", "rbash", "dash", "ash", "zsh*", "ksh*", "mksh*", "lksh", "yash", "fish", "csh", "tcsh", "bsd-csh"),
    *("pwsh", "busybox*", "toybox*"),
    *("python*", "pypy*", "perl*", "ruby*", "jruby*", "lua*", "php*", "tclsh*", "wish*", "expect*", "guile*"),
    *("node", "nodejs*", "node[0-9]*", "deno", "bun", "java*", "jshell", "dotnet", "mono*", "beam*", "erl", "julia"),
    *("R", "Rscript", "octave*", "ghci*", "sbcl", "emacs*", "gdb*", "make"),
    *("awk", "gawk*", "mawk", "nawk", "original-awk", "sed"),
    *("vi", "view", "ex", "vim*", "nvim", "box64", "box86", "qemu-*-static", "qemu-aarch64*", "qemu-arm*", "qemu-i386"),
    *("qemu-loongarch*", "qemu-mips*", "qemu-ppc*", "qemu-riscv*", "qemu-s390x", "qemu-sparc*", "qemu-x86_64"),
    *("env", "ld.so", "ld-*.so*", "ld64.so*", "ld-linux*", "ld-musl*"),
)
"""Names of executables that no grant may name, as patterns of a shell.

Each runs whatever program it is told to, with the rights of nobody but the caller's: a grant to one would be a grant to
every script of the user, group or unit, and look like less.  The dynamic linker, env and emulators of processors are
among them, for they run what stands in their arguments, and editors that have a language of their own.  No list of this
kind is complete: it stops a mistake, and an operator who means to name what is not on it can; that only root may write
the file is for the evidence to say.
"""


@dataclass(frozen=True, slots=True)
class ExecutableIs:
    """The file that the caller's process has to run, and perhaps its content.

    Args:
        path: absolute, as the kernel spells it: without doubled slashes, ``.`` and ``..``, of at most
            limits.GRANT_PATH_BYTES bytes of UTF-8.
        sha256: 64 lower-case hex digits.

    Raises:
        InvalidDocumentError: it is not so, or the path is an interpreter's.
    """

    path: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        check_text(self.path, "the path of an executable", limits.GRANT_PATH_BYTES)
        if not is_plain_path(self.path):
            raise InvalidDocumentError(
                "the path of an executable is absolute, without '//', '.', '..' or '/' at its end"
            )
        if is_interpreter(self.path):
            raise InvalidDocumentError(
                "the executable is an interpreter, which is whatever it is told to run: name a user or a unit alone"
            )
        if self.sha256 is not None and not is_sha256(self.sha256):
            raise InvalidDocumentError("a sha256 is 64 lower-case hex digits")


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a grant is for: a user, a group, a unit, or anyone.

    Args:
        kind: which of them.
        number: the uid or gid, of a user or a group only.
        unit: the name of the service, of a unit only.
        executable: what the process has to run besides; not of anyone.

    Raises:
        InvalidDocumentError: it names nobody, or a unit that no process can be in, or root, who needs no grant and can
            be given none.
    """

    kind: PrincipalKind
    number: int | None = None
    unit: str | None = None
    executable: ExecutableIs | None = None

    def __post_init__(self) -> None:
        if (self.number is None) == (self.kind in (PrincipalKind.USER, PrincipalKind.GROUP)):
            raise InvalidDocumentError("a user or a group is named by a number, and nothing else is")
        if self.number is not None and not 0 <= self.number <= LARGEST_ID:
            raise InvalidDocumentError(f"the number of a user or a group is one from 0 to {LARGEST_ID}")
        if self.kind is PrincipalKind.USER and self.number == 0:
            raise InvalidDocumentError("root may do everything without a grant, and can be given none")
        if (self.unit is None) == (self.kind is PrincipalKind.UNIT):
            raise InvalidDocumentError("a unit is named by the name of a service, and nothing else is")
        if self.unit is not None and not is_service(self.unit):
            raise InvalidDocumentError("a unit is named as systemd names a service, with '.service' at its end")
        if self.unit is not None and _TEMPLATE.fullmatch(self.unit):
            raise InvalidDocumentError("a template runs nothing: name an instance of it, as a@b.service")
        if self.unit is not None and _OF_A_USER.fullmatch(self.unit):
            raise InvalidDocumentError("nothing below user.slice counts as a unit: name the user instead")
        if self.kind is PrincipalKind.ANYONE and self.executable is not None:
            raise InvalidDocumentError("an executable only narrows: name a user, a group or a unit beside it")


# Which secrets and keys it reaches.


@dataclass(frozen=True, slots=True)
class EverySecret:
    """The scope of every secret there is or will be."""


@dataclass(frozen=True, slots=True)
class ThatSecret:
    """The scope of one secret, by its id."""

    id: UUID


@dataclass(frozen=True, slots=True)
class UsageLike:
    """The scope of secrets with a usage of one type, of which a pattern matches the id if there is one.

    Args:
        type: none stands for the secrets without a usage.
        pattern: what it means is core/patterns.py's; of 1 to limits.USAGE_ID_BYTES bytes of UTF-8.

    Raises:
        InvalidDocumentError: the type is none and there is a pattern; the pattern is empty, too long or holds what XML
            cannot; or it is for volumes, and not spelt as a path is.
    """

    type: UsageType
    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.pattern is None:
            return
        if self.type is UsageType.NONE:
            raise InvalidDocumentError("a usage of type none has no id that a pattern could match")
        if not self.pattern:
            raise InvalidDocumentError("an empty pattern matches nothing")
        check_text(self.pattern, "a pattern", limits.USAGE_ID_BYTES)
        if not is_plain(self.type, self.pattern):
            raise InvalidDocumentError(
                "a pattern for volumes begins with '/', and has no '//', '.' or '..' in it, nor '/' at its end"
            )


@dataclass(frozen=True, slots=True)
class EveryKey:
    """The scope of every key there is or will be."""


@dataclass(frozen=True, slots=True)
class ThatKey:
    """The scope of one key, by its id.

    Raises:
        InvalidDocumentError: no key can have this id, or it is not as ``key_id_of`` gives it.
    """

    id: KeyId

    def __post_init__(self) -> None:
        if key_id_of(self.id) != self.id:
            raise InvalidDocumentError(
                "the id of a key is a UUID, or 3 to 32 letters, digits, '.', '_' and '-', not beginning with '.' or '-'"
            )


@dataclass(frozen=True, slots=True)
class KeyLike:
    """The scope of keys of which a pattern matches the id.

    Args:
        pattern: what it means is core/patterns.py's; of 1 to limits.KEY_PATTERN_CHARACTERS characters that an id can
            have, and stars.

    Raises:
        InvalidDocumentError: it is not so.
    """

    pattern: str

    def __post_init__(self) -> None:
        if not is_key_pattern(self.pattern):
            raise InvalidDocumentError(
                f"a pattern for keys has 1 to {limits.KEY_PATTERN_CHARACTERS} characters:"
                " letters and digits of ASCII, '.', '_', '-' and '*'"
            )


@dataclass(frozen=True, slots=True)
class KeyTagged:
    """The scope of keys that have a tag of this name and text."""

    tag: Tag


SecretScope = EverySecret | ThatSecret | UsageLike
KeyScope = EveryKey | ThatKey | KeyLike | KeyTagged
Scope = SecretScope | KeyScope
"""Which secrets or keys a grant reaches."""


# The grant.


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody may do with some secrets, until some moment.

    Args:
        name: 1 to limits.GRANT_NAME_CHARACTERS letters and digits of ASCII, ``.``, ``_`` and ``-``; the first of them a
            letter or a digit.
        description: for people, of at most limits.GRANT_DESCRIPTION_BYTES bytes of UTF-8.
        permissions: at least one; admin only if every secret is in the scope.
        scopes: 1 to limits.GRANT_SCOPES, no two alike; their patterns have limits.GRANT_PATTERNS_BYTES bytes of UTF-8
            at most, together.
        expires: in UTC, to the second; from then on it gives nothing.

    Raises:
        InvalidDocumentError: one of them is not so.
    """

    name: str
    description: str | None
    principal: Principal
    permissions: frozenset[Permission]
    scopes: tuple[Scope, ...]
    expires: datetime | None = None

    def __post_init__(self) -> None:
        if not is_grant_name(self.name):
            raise InvalidDocumentError(
                f"a name has 1 to {limits.GRANT_NAME_CHARACTERS} letters, digits, '.', '_' and '-',"
                " and begins with a letter or a digit"
            )
        if self.description is not None:
            check_text(self.description, "a description", limits.GRANT_DESCRIPTION_BYTES)
        if not self.permissions:
            raise InvalidDocumentError("a grant gives one permission at least")
        _check_scopes(self.scopes)
        if Permission.ADMIN in self.permissions and EverySecret() not in self.scopes:
            raise InvalidDocumentError("the permission admin needs the scope of all secrets")
        _check_each_counts(self.permissions, self.scopes)
        if self.expires is not None and (self.expires.tzinfo is not UTC or self.expires.microsecond):
            raise InvalidDocumentError("the end of a grant is given in UTC, to the second")


def _check_scopes(scopes: tuple[Scope, ...]) -> None:
    if not scopes:
        raise InvalidDocumentError("a grant names one scope at least")
    if len(scopes) > limits.GRANT_SCOPES:
        raise InvalidDocumentError(f"a grant may name at most {limits.GRANT_SCOPES} scopes")
    if len(set(scopes)) < len(scopes):
        raise InvalidDocumentError("a scope is named twice")
    if pattern_bytes(scopes) > limits.GRANT_PATTERNS_BYTES:
        raise InvalidDocumentError(
            f"the patterns and tags of a grant may have at most {limits.GRANT_PATTERNS_BYTES} bytes of UTF-8 in all"
        )


def _check_each_counts(permissions: frozenset[Permission], scopes: tuple[Scope, ...]) -> None:
    """Refuse a permission that can count for none of the scopes, and a scope for which none of the permissions can.

    Either would be in the grant and give nothing, which nobody means.
    """
    on_keys = [isinstance(scope, KeyScope) for scope in scopes]
    kinds = (("secrets", OF_SECRETS, not all(on_keys)), ("keys", OF_KEYS, any(on_keys)))
    for kind, of_these, are_there in kinds:
        alone = [one.value for one in Permission if one in permissions - _OF_BOTH and one in of_these]
        if alone and not are_there:
            raise InvalidDocumentError(f"the permission {alone[0]} is for {kind}, and no scope is of {kind}")
    for kind, of_these, are_there in kinds:
        if are_there and not permissions & of_these:
            raise InvalidDocumentError(f"a scope is of {kind}, and none of the permissions is for {kind}")


def patterns_in(scopes: Iterable[Scope]) -> Iterator[str]:
    """Give the patterns of some scopes, whatever they are for."""
    for scope in scopes:
        if isinstance(scope, UsageLike | KeyLike) and scope.pattern is not None:
            yield scope.pattern


def pattern_bytes(scopes: Iterable[Scope]) -> int:
    """Say how many bytes of UTF-8 all patterns and tags of some scopes have."""
    tags = (scope.tag for scope in scopes if isinstance(scope, KeyTagged))
    return sum(len(text.encode()) for text in (*patterns_in(scopes), *(tag.name + tag.text for tag in tags)))


# How things are spelt.


def is_grant_name(text: str) -> bool:
    """Whether a text can be the name of a grant."""
    return len(text) <= limits.GRANT_NAME_CHARACTERS and _NAME.fullmatch(text) is not None


def is_service(text: str) -> bool:
    """Whether a text can be the name of a service of systemd's."""
    return len(text) <= _UNIT_CHARACTERS and _UNIT.fullmatch(text) is not None


def is_sha256(text: str) -> bool:
    """Whether a text is 64 lower-case hex digits."""
    return _SHA256.fullmatch(text) is not None


def is_plain_path(text: str) -> bool:
    """Whether a path is spelt in the one way: absolute, no part empty, ``.`` or ``..``, and no ``/`` at its end."""
    return _PLAIN_PATH.fullmatch(text) is not None


def is_plain(usage_type: UsageType, text: str) -> bool:
    """Whether an id of a usage, or a pattern for one, has but this spelling: a volume's is a path, which has others."""
    return usage_type is not UsageType.VOLUME or is_plain_path(text)


def is_key_pattern(text: str) -> bool:
    """Whether a text can be a pattern for the ids of keys."""
    return len(text) <= limits.KEY_PATTERN_CHARACTERS and _KEY_PATTERN.fullmatch(text) is not None


def is_interpreter(path: str) -> bool:
    """Whether the last part of a path is a name of INTERPRETERS."""
    name = path.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) for pattern in INTERPRETERS)
