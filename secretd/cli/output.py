"""Writing what a command gives: JSON for programs, text and tables for people.

JSON follows from the table of operations: the names are the fields' own, a secret's value is base64, what is
not known is null.  For people, a character that could steer a terminal is shown as its escape.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from uuid import UUID

import click

from secretd.cli.colours import heading
from secretd.cli.users import describe_account
from secretd.client import write_grant, write_key, write_secret
from secretd.fields import Field, fields_of
from secretd.grantrequests import Held, Need, NeededOn
from secretd.grants import (
    EveryKey,
    EverySecret,
    Grant,
    KeyLike,
    KeyScope,
    KeyTagged,
    Principal,
    Scope,
    ThatKey,
    ThatSecret,
    UsageLike,
)
from secretd.keys import Blob, KeyDocument
from secretd.model import Permission, SecretDocument, SecretValue, Usage
from secretd.moments import format_time
from secretd.operations import EVENTS, Bound, Entry, Event, Reply
from secretd.storerequests import KeyringVersions, Problem

_EVENT_NAMES = {event: name for name, event in EVENTS.items()}

# C1 controls are legal in XML, and some terminals obey them. A character reference means the same.
_CONTROLS = re.compile("[\x7f-\x9f]")


class ReaderGoneError(Exception):
    """Who read standard output wants no more of it: no failure of anyone's, and nothing to complain about."""


def write_bytes(content: bytes) -> None:
    """Write exactly these bytes to standard output, at once.

    Raises:
        ReaderGoneError: the other end of the pipe is closed.
        click.ClickException: they cannot all be written, for another reason.
    """
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        # What is still in the buffer would be tried again at exit, and complained about twice.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError from None
        raise click.ClickException(f"cannot write the answer: {error.strerror}") from None


def write_text(text: str) -> None:
    """Write a text to standard output, in UTF-8 wherever we are, as XML and JSON want it."""
    write_bytes(text.encode())


def printable(text: str) -> str:
    """Show a text on one line, with an escape for each character that is not printed as itself."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def as_json(reply: Reply | Sequence[object], more: Mapping[str, object] = MappingProxyType({})) -> str:
    """Spell a reply, or what a list is of, as JSON.

    Args:
        reply: what the daemon answered, or a list of grants or of parts of replies.
        more: what is known of it besides, by name; for a reply alone.
    """
    content = {**_record(reply), **more} if isinstance(reply, Reply) else list(map(_member, reply))
    return json.dumps(content, indent=2) + "\n"


def event_as_json(event: Event) -> str:
    """Spell an event as JSON, on a line of its own."""
    return json.dumps({"event": _EVENT_NAMES[type(event)], **_record(event)}) + "\n"


def as_xml(document: SecretDocument | Grant | KeyDocument) -> str:
    """Spell a document in its one form, safe to look at."""
    match document:
        case Grant():
            text = write_grant(document)
        case KeyDocument():
            text = write_key(document)
        case SecretDocument():
            text = write_secret(document)
    return _CONTROLS.sub(lambda control: f"&#{ord(control[0])};", text)


def entries_table(entries: Iterable[Entry], *, long: bool = False, states: bool = False, headed: bool = True) -> str:
    """Draw a list as virsh does, or a longer one that has the flags of each secret too, or the state of each.

    Args:
        entries: what is listed.
        long, states: whether it has the flags, and the states.
        headed: whether the table has its head.
    """
    flags = _FLAGS if long else {}
    columns = ["UUID", *flags, *(["State"] if states else []), "Usage"]
    return draw(
        columns if headed else [""] * len(columns),
        [
            (
                str(entry.secret),
                *(yes_no(getattr(entry, name)) for name in flags.values()),
                *([_describe_state(entry)] if states else []),
                # The last, for it may be as long as it likes.
                describe_usage(entry.usage),
            )
            for entry in entries
        ],
    )


def entry_table(entry: Entry) -> str:
    """Draw what a list says of one secret, a line each, as virsh's commands do whose names end in -info."""
    flags = {name: yes_no(getattr(entry, field)) for name, field in _FLAGS.items()}
    state = {"State": _describe_state(entry)} if entry.out_of_use else {}
    said = {"UUID": str(entry.secret), "Usage": describe_usage(entry.usage), **flags, **state, "Digest": entry.digest}
    return draw(["", ""], [(f"{name}:", text) for name, text in said.items()])


def _describe_state(entry: Entry) -> str:
    return entry.out_of_use.value if entry.out_of_use else "in-use"


def grants_table(grants: Iterable[Grant], now: datetime, *, headed: bool = True) -> str:
    """Draw grants, a line each."""
    columns = ["Name", "Who", "May", "Until", "Of"]
    return draw(
        columns if headed else [""] * len(columns),
        [
            (
                grant.name,
                printable(describe_principal(grant.principal)),
                ",".join(one.value for one in Permission if one in grant.permissions),
                _describe_end(grant.expires, now) if grant.expires else "-",
                # The last, for it may be as long as it likes.
                printable(", ".join(map(_describe_scope, grant.scopes))),
            )
            for grant in grants
        ],
    )


def needs_table(needs: Iterable[Need], *, headed: bool = True) -> str:
    """Draw what a request needs, a line each."""
    columns = ["Permission", "On", "Held", "By"]
    return draw(
        columns if headed else [""] * len(columns),
        [
            (need.name.value if need.name else "any", _NEEDED_ON[need.on], yes_no(need.held), _describe_source(need))
            for need in needs
        ],
    )


def held_table(held: Iterable[Held]) -> str:
    """Draw what a caller may do, a line each."""
    return draw(["May", "By"], [(one.name.value, _describe_source(one)) for one in held])


def records_table(records: Sequence[object]) -> str:
    """Draw parts of a reply that are alike, a line each; nothing if there are none."""
    if not records:
        return ""
    fields = fields_of(type(records[0]))
    rows = [tuple(printable(_describe(field, getattr(record, field.name))) for field in fields) for record in records]
    return draw([field.xml_name.capitalize() for field in fields], rows)


def fields_table(reply: Reply, sources: Mapping[str, str] = MappingProxyType({})) -> str:
    """Draw the fields of a reply, a line each; what is not known, and tables of their own, are left out.

    Args:
        reply: what the daemon answered.
        sources: from where each is known, by name; then that has a column of its own.
    """
    given = ((field, getattr(reply, field.name)) for field in fields_of(type(reply)) if field.type not in _TABLES)
    rows: list[tuple[str, ...]] = [
        (
            field.name.replace("_", "-"),
            *([sources.get(field.name, "")] if sources else []),
            # The last, for it may be as long as it likes.
            printable(_describe(field, value)),
        )
        for field, value in given
        if value is not None
    ]
    return draw(["What", "Known from", "Is"] if sources else ["", ""], rows)


_TABLES = (Bound, Held, KeyringVersions, Problem)
"""The parts of replies that have a table of their own."""

_NEEDED_ON = {
    NeededOn.SOMETHING: "something",
    NeededOn.AS_IT_IS: "the secret as it is",
    NeededOn.AS_IT_WOULD_BE: "the secret as it would be",
    NeededOn.KEY_AS_IT_IS: "the key as it is",
    NeededOn.KEY_AS_IT_WOULD_BE: "the key as it would be",
}

_FLAGS = {"Value": "has_value", "Ephemeral": "ephemeral", "Private": "private"}
"""What is said with yes and no of a secret, and the fields that say it."""


def _record(record: object) -> dict[str, object]:
    return {field.name: _spell(getattr(record, field.name)) for field in fields_of(type(record))}


def _spell(value: object) -> object:
    if isinstance(value, tuple):
        return list(map(_member, value))
    spell = next((spell for cls, spell in _JSON.items() if isinstance(value, cls)), None)
    return spell(value) if spell else value


def _member(value: object) -> dict[str, object]:
    """Spell what a list is of."""
    return _spell_grant(value) if isinstance(value, Grant) else _record(value)


def _spell_grant(grant: Grant) -> dict[str, object]:
    principal = grant.principal
    executable = principal.executable
    return {
        "name": grant.name,
        "description": grant.description,
        "principal": {
            "kind": principal.kind.value,
            "number": principal.number,
            "unit": principal.unit,
            "executable": executable and {"path": executable.path, "sha256": executable.sha256},
        },
        "permissions": [one.value for one in Permission if one in grant.permissions],
        "scopes": list(map(_spell_scope, grant.scopes)),
        "expires": grant.expires and format_time(grant.expires),
    }


def _spell_scope(scope: Scope) -> dict[str, object]:
    match scope:
        case EverySecret():
            return {"all": True}
        case ThatSecret():
            return {"secret": str(scope.id)}
        case UsageLike():
            return {"usage": scope.type.value, "pattern": scope.pattern}
        case _:
            return _spell_key_scope(scope)


def _spell_key_scope(scope: KeyScope) -> dict[str, object]:
    match scope:
        case EveryKey():
            return {"keys": True}
        case ThatKey():
            return {"key": scope.id}
        case KeyLike():
            return {"key_pattern": scope.pattern}
        case KeyTagged():
            return {"key_tag": scope.tag.name, "value": scope.tag.text}


def _spell_document(document: SecretDocument) -> dict[str, object]:
    attributes = document.attributes
    return {
        "id": _spell(document.id),
        "description": attributes.description,
        "usage": _spell(attributes.usage),
        "ephemeral": attributes.ephemeral,
        "private": attributes.private,
    }


def _spell_key(document: KeyDocument) -> dict[str, object]:
    return {
        "id": document.id,
        "usage": document.usage.value,
        "description": document.description,
        "tags": {tag.name: tag.text for tag in document.tags},
        "exportable": document.exportable,
        "rotation": document.rotation,
    }


_JSON: dict[type, Callable[..., object]] = {
    UUID: str,
    Enum: lambda member: member.value,
    Usage: lambda usage: {"type": usage.type.value, "id": usage.id},
    SecretValue: lambda value: base64.b64encode(value.reveal()).decode(),
    SecretDocument: _spell_document,
    KeyDocument: _spell_key,
    Blob: lambda blob: base64.b64encode(blob.data).decode(),
    datetime: format_time,
    Grant: _spell_grant,
}


def describe_usage(usage: Usage | None) -> str:
    """Say what a secret is for, on one line."""
    # virsh's word for a secret of usage type none.
    return printable(f"{usage.type.value} {usage.id}") if usage else "Unused"


def describe_principal(principal: Principal) -> str:
    """Say whom a grant is for: of a user or a group the name that it has here, too."""
    named = principal.unit if principal.number is None else describe_account(principal.kind, principal.number)
    runs = f"running {principal.executable.path}" if principal.executable else None
    return " ".join(filter(None, (principal.kind.value, named, runs)))


def _describe_end(end: datetime, now: datetime) -> str:
    return f"{format_time(end)}{', which is past' if end <= now else ''}"


def _describe_scope(scope: Scope) -> str:
    match scope:
        case EverySecret():
            return "all"
        case ThatSecret():
            return f"secret {scope.id}"
        case UsageLike():
            return f"{scope.type.value} {scope.pattern}" if scope.pattern is not None else scope.type.value
        case _:
            return _describe_key_scope(scope)


def _describe_key_scope(scope: KeyScope) -> str:
    match scope:
        case EveryKey():
            return "keys"
        case ThatKey():
            return f"key {scope.id}"
        case KeyLike():
            return f"keys {scope.pattern}"
        case KeyTagged():
            return f"keys {scope.tag.name}={scope.tag.text}"


def _describe_source(held: Need | Held) -> str:
    return "the owner's right" if held.owner else ", ".join(grant.name for grant in held.grants) or "-"


def _describe(field: Field, value: object) -> str:
    if isinstance(value, tuple):
        members = [part for member in value for part in _record(member).values()]
        return ", ".join(map(str, members)) or "none"
    if field.type is bool:
        return yes_no(bool(value))
    return str(_spell(value))


def yes_no(flag: bool) -> str:
    """Say for people whether something is so."""
    return "yes" if flag else "no"


def draw(headings: list[str], rows: list[tuple[str, ...]]) -> str:
    """Draw rows.

    Args:
        headings: of the columns; all empty for a table without a head.
        rows: their cells, each printable on one line.
    """
    # rich takes longer to import than all the rest of secretctl, and few commands draw a table.
    from secretd.cli.tables import draw  # noqa: PLC0415

    drawn = draw(headings, rows)
    if not any(headings):
        return drawn
    first, rest = drawn.split("\n", maxsplit=1)
    return f"{heading(first, sys.stdout)}\n{rest}"
