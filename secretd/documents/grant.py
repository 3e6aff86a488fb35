"""The ``<grant>`` document: read strictly, and written in one form.

read_grant() holds a document to schemas/grant.rng, and what it says to the constructors of secretd/grants.py; what one
of them refuses is told with its place.  A ready-made set of permissions is written as what it permits, so that a
document says by itself what it gives, and permissions stand in one order.

Source: docs/access.md, "Grants".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from lxml import etree

from secretd import limits
from secretd.documents.escape import escape, escape_attribute
from secretd.documents.scalars import KEY_ID, MOMENT, UUID_TEXT
from secretd.documents.secret import placed
from secretd.documents.shapes import GRANT, GRANT_ID, PERMISSION, PERMISSION_SET, USAGE_TYPE
from secretd.documents.validation import Grammar, read_strictly
from secretd.grants import (
    PERMISSIONS_OF,
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
from secretd.model import Permission

_GRAMMAR = Grammar("grant.rng", "grant", GRANT)


def read_grant(body: bytes) -> Grant:
    """Read a document that must be as schemas/grant.rng says.

    Raises:
        InvalidXmlError: it is not well-formed, or holds what no document here may hold.
        InvalidDocumentError: the schema does not allow it, or docs/access.md refuses what it says.
    """
    return grant_from(read_strictly(body, limits.DOCUMENT_BYTES, _GRAMMAR))


def write_grant(grant: Grant) -> str:
    """Write a grant in its one form, indented by two spaces, a line feed at the end."""
    return "".join(f"{'  ' * depth}{line}\n" for depth, line in _lines(grant))


def write_grant_compactly(grant: Grant) -> str:
    """Write the same on one line, as it stands in a message."""
    return "".join(line for _, line in _lines(grant))


# What the schema allows.


def grant_from(grant: etree._Element) -> Grant:
    """Read a ``<grant>`` that the schema has accepted.

    Raises:
        InvalidDocumentError: docs/access.md refuses what it says.
    """
    expires = grant.findtext("expires")
    return placed(
        grant,
        Grant,
        name=grant.findtext("name", ""),
        description=grant.findtext("description") or None,
        principal=_principal_from(grant.iterfind("principal/*")),
        permissions=_permissions_from(grant),
        scopes=tuple(_SCOPES[str(scope.tag)](scope) for scope in grant.iterfind("scope/*")),
        expires=None if expires is None else MOMENT.parse(expires),
    )


def _principal_from(children: Iterator[etree._Element]) -> Principal:
    # The executable may stand before whom it narrows.
    named, *executables = sorted(children, key=lambda child: child.tag == "executable")
    number = named.get("uid") or named.get("gid")
    return placed(
        named,
        Principal,
        PrincipalKind(str(named.tag)),
        None if number is None else GRANT_ID.parse(number),
        named.get("name"),
        _executable_from(executables[0]) if executables else None,
    )


def _executable_from(executable: etree._Element) -> ExecutableIs:
    return placed(executable, ExecutableIs, executable.get("path", ""), executable.get("sha256"))


def _permissions_from(grant: etree._Element) -> frozenset[Permission]:
    (allow,) = grant.iterfind("allow")
    ready_made = allow.get("set")
    if ready_made is not None:
        return PERMISSIONS_OF[PERMISSION_SET.parse(ready_made)]
    return frozenset(PERMISSION.parse(one.get("name", "")) for one in allow)


def _usage_from(usage: etree._Element) -> UsageLike:
    return placed(usage, UsageLike, USAGE_TYPE.parse(usage.get("type", "")), usage.get("pattern"))


def _key_from(key: etree._Element) -> ThatKey | KeyLike | KeyTagged:
    key_id, pattern, tag = key.get("id"), key.get("pattern"), key.get("tag")
    if key_id is not None:
        return placed(key, ThatKey, KEY_ID.parse(key_id))
    if pattern is not None:
        return placed(key, KeyLike, pattern)
    return KeyTagged(placed(key, Tag, tag or "", key.get("value", "")))


_SCOPES: Mapping[str, Callable[[etree._Element], Scope]] = MappingProxyType(
    {
        "all": lambda _: EverySecret(),
        "secret": lambda secret: ThatSecret(UUID_TEXT.parse(secret.get("uuid", ""))),
        "usage": _usage_from,
        "keys": lambda _: EveryKey(),
        "key": _key_from,
    }
)


# The one form.


def _lines(grant: Grant) -> Iterator[tuple[int, str]]:
    yield 0, "<grant>"
    yield 1, f"<name>{grant.name}</name>"
    if grant.description:
        yield 1, f"<description>{escape(grant.description)}</description>"
    yield 1, "<principal>"
    yield from ((2, line) for line in _principal_lines(grant.principal))
    yield 1, "</principal>"
    yield 1, "<allow>"
    yield from ((2, f"<permission name='{one.value}'/>") for one in Permission if one in grant.permissions)
    yield 1, "</allow>"
    yield 1, "<scope>"
    yield from ((2, _scope_line(scope)) for scope in grant.scopes)
    yield 1, "</scope>"
    if grant.expires is not None:
        yield 1, f"<expires>{MOMENT.format(grant.expires)}</expires>"
    yield 0, "</grant>"


def _principal_lines(principal: Principal) -> Iterator[str]:
    match principal.kind:
        case PrincipalKind.USER:
            yield f"<user uid='{principal.number}'/>"
        case PrincipalKind.GROUP:
            yield f"<group gid='{principal.number}'/>"
        case PrincipalKind.UNIT:
            yield f"<unit name='{principal.unit}'/>"
        case PrincipalKind.ANYONE:
            yield "<anyone/>"
    executable = principal.executable
    if executable is not None:
        content = "" if executable.sha256 is None else f" sha256='{executable.sha256}'"
        yield f"<executable path='{escape_attribute(executable.path)}'{content}/>"


def _scope_line(scope: Scope) -> str:
    match scope:
        case EverySecret():
            return "<all/>"
        case ThatSecret():
            return f"<secret uuid='{scope.id}'/>"
        case UsageLike():
            pattern = "" if scope.pattern is None else f" pattern='{escape_attribute(scope.pattern)}'"
            return f"<usage type='{scope.type.value}'{pattern}/>"
        case _:
            return _key_scope_line(scope)


def _key_scope_line(scope: KeyScope) -> str:
    match scope:
        case EveryKey():
            return "<keys/>"
        case ThatKey():
            return f"<key id='{scope.id}'/>"
        case KeyLike():
            return f"<key pattern='{scope.pattern}'/>"
        case KeyTagged():
            return f"<key tag='{escape_attribute(scope.tag.name)}' value='{escape_attribute(scope.tag.text)}'/>"
