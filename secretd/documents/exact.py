"""Messages in the one spelling that our own writers give them, read without a parser.

Nearly every message is written by codecs.py, at one end or the other, and so is known but for its fields.  From the
same fields of the table this module makes a pattern for each, and reads the fields out of it.  A message that is not of
this spelling, or has a field that is not right, is not judged here at all: the reader gives None, and the parsers and
the schema give the verdict and say what is wrong.  What it does read they would read alike, which a property test
holds (tests/documents/test_exact.py).

The rules it keeps: printable ASCII and no reference, so that there is nothing to expand or to normalise; and every
field goes through the same ``parse`` and the same constructors as on the long way.

Source: docs/adr/0016.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from secretd.documents.scalars import YES_NO, parse_uuid, scalar_of
from secretd.documents.shapes import USAGE_CHILDREN, USAGE_TYPE, tag_of
from secretd.documents.values import decode
from secretd.errors import SecretdError
from secretd.fields import Field, fields_of
from secretd.grants import Grant
from secretd.keys import Blob, KeyDocument
from secretd.model import Attributes, SecretDocument, SecretValue, Usage

_SCALAR = "([0-9A-Za-z:._-]+)"
TEXT = "[ -%'-;=?-~]+"
"""Printable ASCII but ``&``, ``<`` and ``>``."""

_USAGE = f"<usage type='([a-z]+)'><([a-z]+)>({TEXT})</([a-z]+)></usage>"
_SECRET = (
    f"<secret ephemeral='{_SCALAR}' private='{_SCALAR}'>(?:<uuid>{_SCALAR}</uuid>)?"
    f"(?:<description>({TEXT})</description>)?(?:{_USAGE})?</secret>"
)

Groups = Sequence[Any]
"""What a pattern's groups hold: texts, or None for what is not there."""


class _OtherSpelling(Exception):  # noqa: N818  # no failure: somebody else has to read it
    pass


@dataclass(frozen=True, slots=True)
class _Child:
    """A child element: its pattern, the number of groups in that, and what they say."""

    name: str
    pattern: str
    groups: int
    read: Callable[[Groups], Any]
    many: bool = False


class ExactForm:
    """How our own writer spells one dataclass as an element.

    Args:
        record: the dataclass.
        tag: the element's name.
    """

    def __init__(self, record: type, tag: str) -> None:
        self._record = record
        self._attributes: list[tuple[str, Callable[[str], Any]]] = []
        self._children: list[_Child] = []
        attributes, children, may_be_empty = "", "", True
        for item in fields_of(record):
            scalar = scalar_of(item)
            if scalar:
                self._attributes.append((item.name, scalar.parse))
                attributes += _optional(f" {item.xml_name}='{_SCALAR}'", item)
            else:
                self._children.append(child := _child(item))
                children += _optional(child.pattern, item)
                may_be_empty = may_be_empty and not item.required
        ends = ["/>"] * may_be_empty + [f">{children}</{tag}>"] * bool(children)
        self.pattern = f"<{tag}{attributes}(?:{'|'.join(ends)})"
        self.groups = re.compile(self.pattern).groups

    def read(self, groups: Groups) -> Any:
        """Make the dataclass of what the groups of the pattern hold.

        Raises:
            SecretdError, _OtherSpelling: a field is not right.
        """
        given = {}
        for (name, parse), text in zip(self._attributes, groups, strict=False):
            if text is not None:
                given[name] = _sure(parse(text))
        first = len(self._attributes)
        for child in self._children:
            if child.many or groups[first] is not None:
                given[child.name] = child.read(groups[first : first + child.groups])
            first += child.groups
        return self._record(**given)


class ExactReader:
    """Reads a kind of message: a start, one element, an end.

    Args:
        start: the pattern of what stands before the element.
        end: what stands behind it.
        forms: of the elements, by name.
    """

    def __init__(self, start: str, end: str, forms: Mapping[str, ExactForm]) -> None:
        self._start = re.compile(f"{start}<([a-z-]+)")
        self._forms = {name: (form, re.compile(form.pattern + re.escape(end))) for name, form in forms.items()}

    def read(self, body: bytes) -> tuple[Groups, Any] | None:
        """Read a message that is spelt exactly so.

        Returns:
            The groups of the start and the element's name, and the dataclass; None for any other message.
        """
        text = body.decode("ascii", "replace")
        start = self._start.match(text)
        if start is None or start[start.lastindex or 0] not in self._forms:
            return None
        form, pattern = self._forms[start[start.lastindex or 0]]
        element = pattern.fullmatch(text, start.start(start.lastindex or 0) - 1)
        if element is None:
            return None
        try:
            return start.groups(), form.read(element.groups())
        except (SecretdError, _OtherSpelling):
            return None


def has_exact_form(record: type) -> bool:
    """Say whether messages with a dataclass have a form here: those with a grant or a key, which are seldom, do not."""
    return all(item.type not in (Grant, KeyDocument) for item in fields_of(record))


def _optional(pattern: str, item: Field) -> str:
    return pattern if item.required or item.many else f"(?:{pattern})?"


def _sure(value: Any) -> Any:
    if value is None:
        raise _OtherSpelling
    return value


def _usage(groups: Groups) -> Usage:
    kind = USAGE_TYPE.parse(groups[0])
    if not USAGE_CHILDREN.get(kind) == groups[1] == groups[3]:
        raise _OtherSpelling
    return Usage(kind, groups[2])


def _secret(groups: Groups) -> SecretDocument:
    ephemeral, private, secret, description, *usage = groups
    attributes = Attributes(
        None if usage[0] is None else _usage(usage),
        description,
        _sure(YES_NO.parse(ephemeral)),
        _sure(YES_NO.parse(private)),
    )
    return SecretDocument(attributes, None if secret is None else _sure(parse_uuid(secret)))


_MODEL: Mapping[type, tuple[str, int, Callable[[Groups], Any]]] = MappingProxyType(
    {
        SecretDocument: (_SECRET, 8, _secret),
        Usage: (_USAGE, 4, _usage),
    }
)
"""How the nouns of the model that name their own element are spelt and read: the pattern, its groups, the reader."""

_NAMED: Mapping[type, tuple[str, Callable[[str], Any]]] = MappingProxyType(
    {
        str: (TEXT, lambda text: text),
        SecretValue: ("[^<]+", lambda text: SecretValue(_sure(decode(text)))),
        Blob: ("[^<]+", lambda text: Blob(_sure(decode(text)))),
    }
)
"""How what is written as an element that the field names is spelt and read: the pattern of its text, the reader."""


def _child(item: Field) -> _Child:
    if item.many:
        return _many(item)
    if item.type in _NAMED:
        pattern, read = _NAMED[item.type]
        return _Child(item.name, f"<{item.xml_name}>({pattern})</{item.xml_name}>", 1, lambda groups: read(groups[0]))
    return _Child(item.name, *_MODEL[item.type])


def _many(item: Field) -> _Child:
    part = ExactForm(item.type, tag_of(item))
    one = re.compile(part.pattern)

    def read(groups: Groups) -> tuple[Any, ...]:
        return tuple(part.read(found.groups()) for found in one.finditer(groups[0] or ""))

    return _Child(item.name, f"((?:{re.sub('[(](?![?])', '(?:', part.pattern)})*)", 1, read, many=True)
