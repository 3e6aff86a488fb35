"""The plain text of a grant's record: canonical JSON, specified in docs/storage-format.md.

One spelling for one meaning: what does not read back to the same bytes is refused.  So a member or a format that a
later version added makes a record say nothing at all here; it never makes a grant give more than was meant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from secretd.crypto import canonical
from secretd.errors import SecretdError, StoreCorruptError
from secretd.grants import (
    EveryKey,
    EverySecret,
    ExecutableIs,
    Grant,
    KeyLike,
    KeyScope,
    KeyTagged,
    Principal,
    PrincipalKind,
    Scope,
    ThatKey,
    ThatSecret,
    UsageLike,
)
from secretd.keys import Tag
from secretd.model import Permission, UsageType
from secretd.moments import format_time, parse_time

_FORMAT: Final = 1


def to_bytes(grant: Grant) -> bytes:
    """Write a grant as it is kept."""
    return canonical.dump(
        {
            "access-key": None,
            "conditions": None,
            "description": grant.description,
            "expires": None if grant.expires is None else format_time(grant.expires),
            "format": _FORMAT,
            "limits": None,
            "name": grant.name,
            "permissions": sorted(permission.value for permission in grant.permissions),
            "principal": _principal(grant.principal),
            "scopes": [_scope(scope) for scope in grant.scopes],
        }
    )


def from_bytes(plaintext: bytes) -> Grant:
    """Read what ``to_bytes`` wrote.

    Raises:
        StoreCorruptError: it did not write this; as the record was authentic, another program of ours did.
    """
    grant = _try_read(plaintext)
    if grant is None or to_bytes(grant) != plaintext:
        raise StoreCorruptError("a grant is in a form this version does not know")
    return grant


def _principal(principal: Principal) -> dict[str, object]:
    executable = principal.executable
    return {
        "executable": None if executable is None else {"path": executable.path, "sha256": executable.sha256},
        "kind": principal.kind.value,
        "number": principal.number,
        "unit": principal.unit,
    }


def _scope(scope: Scope) -> list[str | None]:
    match scope:
        case EverySecret():
            return ["all"]
        case ThatSecret():
            return ["secret", str(scope.id)]
        case UsageLike():
            return ["usage", scope.type.value, scope.pattern]
        case _:
            return _key_scope(scope)


def _key_scope(scope: KeyScope) -> list[str | None]:
    match scope:
        case EveryKey():
            return ["keys"]
        case ThatKey():
            return ["key", scope.id]
        case KeyLike():
            return ["key-pattern", scope.pattern]
        case KeyTagged():
            return ["key-tag", scope.tag.name, scope.tag.text]


def _try_read(plaintext: bytes) -> Grant | None:
    # Raised from here, a StoreCorruptError would carry the parser's error, and that carries the plaintext.
    try:
        return _read(json.loads(plaintext.decode("ascii")))
    except (ValueError, TypeError, LookupError, RecursionError, SecretdError):
        return None


def _read(members: dict[str, Any]) -> Grant:
    expires = members["expires"]
    return Grant(
        name=members["name"],
        description=members["description"],
        principal=_read_principal(members["principal"]),
        permissions=frozenset(Permission(permission) for permission in members["permissions"]),
        scopes=tuple(_READERS[kind](*named) for kind, *named in members["scopes"]),
        # What is no moment is written as none, and so refused by the comparison.
        expires=None if expires is None else parse_time(expires),
    )


def _read_principal(members: dict[str, Any]) -> Principal:
    number, executable = members["number"], members["executable"]
    # Compared alone this would pass: a number with a fraction is written as one.
    if type(number) not in (int, type(None)):
        raise TypeError("not of the types that to_bytes writes")
    return Principal(
        PrincipalKind(members["kind"]),
        number,
        members["unit"],
        None if executable is None else ExecutableIs(executable["path"], executable["sha256"]),
    )


_READERS: Mapping[str, Callable[..., Scope]] = {
    "all": EverySecret,
    "secret": lambda spelled: ThatSecret(UUID(spelled)),
    "usage": lambda kind, pattern: UsageLike(UsageType(kind), pattern),
    "keys": EveryKey,
    "key": ThatKey,
    "key-pattern": KeyLike,
    "key-tag": lambda name, text: KeyTagged(Tag(name, text)),
}
