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

_GROUP = re.compile("[(](?![?])")
"""Where in a pattern a group begins that is read."""

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
    """A child element: its pattern, and what reads its one group, or all of them if it has several."""

    pattern: str
    read: Callable[[Any], Any]


class ExactForm:
    """How our own writer spells one dataclass as an element.

    Args:
        record: the dataclass.
        tag: the element's name.
    """

    def __init__(self, record: type, tag: str) -> None:
        self._record = record
        self._texts: list[tuple[str, int, Callable[[str], Any]]] = []
        self._nouns: list[tuple[str, slice, Callable[[Groups], Any]]] = []
        self._lists: dict[str, tuple[Any, ...]] = {}
        attributes, children, may_be_empty, taken = "", "", True, 0
        # Attributes stand before all children, whatever the order of the fields is.
        for item in sorted(fields_of(record), key=lambda item: scalar_of(item) is None):
            if scalar := scalar_of(item):
                self._texts.append((item.name, taken, _surely(scalar.parse)))
                attributes += _optional(f" {item.xml_name}='{_SCALAR}'", item)
                taken += 1
                continue
            child = _child(item)
            groups = len(_GROUP.findall(child.pattern))
            if groups == 1:
                self._texts.append((item.name, taken, child.read))
            else:
                self._nouns.append((item.name, slice(taken, taken + groups), child.read))
            if item.many:
                self._lists[item.name] = ()
            children += _optional(child.pattern, item)
            may_be_empty = may_be_empty and not item.required
            taken += groups
        ends = ["/>"] * may_be_empty + [f">{children}</{tag}>"] * bool(children)
        self.pattern = f"<{tag}{attributes}(?:{'|'.join(ends)})"

    def read(self, groups: Groups) -> Any:
        """Make the dataclass of what the groups of the pattern hold.

        Raises:
            SecretdError, _OtherSpelling: a field is not right.
        """
        given: dict[str, Any] = dict(self._lists)
        for name, group, read in self._texts:
            text = groups[group]
            if text is not None:
                given[name] = read(text)
        for name, several, read_all in self._nouns:
            said = groups[several]
            if said[0] is not None:
                given[name] = read_all(said)
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
        self._name = self._start.groups
        self._end = re.escape(end)
        self._forms = forms
        self._patterns: dict[str, re.Pattern[str]] = {}

    def read(self, body: bytes) -> tuple[Groups, Any] | None:
        """Read a message that is spelt exactly so.

        Returns:
            The groups of the start and the element's name, and the dataclass; None for any other message.
        """
        text = body.decode("ascii", "replace")
        start = self._start.match(text)
        name = start[self._name] if start else ""
        if not start or name not in self._forms:
            return None
        element = (self._patterns.get(name) or self._compile(name)).fullmatch(text, start.start(self._name) - 1)
        if element is None:
            return None
        try:
            return start.groups(), self._forms[name].read(element.groups())
        except (SecretdError, _OtherSpelling):
            return None

    def _compile(self, name: str) -> re.Pattern[str]:
        """Make a pattern where it is first needed: to make all of them takes a good part of a start."""
        self._patterns[name] = re.compile(self._forms[name].pattern + self._end)
        return self._patterns[name]


def has_exact_form(record: type) -> bool:
    """Say whether messages with a dataclass have a form here: those with a grant or a key, which are seldom, do not."""
    return all(item.type not in (Grant, KeyDocument) for item in fields_of(record))


def _optional(pattern: str, item: Field) -> str:
    return pattern if item.required or item.many else f"(?:{pattern})?"


def _sure(value: Any) -> Any:
    if value is None:
        raise _OtherSpelling
    return value


def _surely(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: _sure(parse(text))


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


_MODEL: Mapping[type, tuple[str, Callable[[Groups], Any]]] = MappingProxyType(
    {
        SecretDocument: (_SECRET, _secret),
        Usage: (_USAGE, _usage),
    }
)
"""How the nouns of the model that name their own element are spelt and read: the pattern, and what reads its groups."""

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
        return _Child(f"<{item.xml_name}>({pattern})</{item.xml_name}>", read)
    return _Child(*_MODEL[item.type])


def _many(item: Field) -> _Child:
    part = ExactForm(item.type, tag_of(item))
    one = re.compile(part.pattern)

    def read(text: str) -> tuple[Any, ...]:
        return tuple([part.read(found.groups()) for found in one.finditer(text)])

    return _Child(f"((?:{_GROUP.sub('(?:', part.pattern)})*)", read)
