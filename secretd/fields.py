"""The fields that requests, replies, events and their parts are made of: what each means and how it is written.

How a field is written follows from its type alone:

    UUID, Digest, bool, int, an Enum    an attribute (``secret='...'``, ``private='yes'``, ``limit='10'``)
    KeyId, datetime                     an attribute (``key='nightly'``, ``due='2027-12-31T23:59:59Z'``)
    str                                 a child element with text
    SecretValue, Blob                   a child element with base64
    Usage, SecretDocument               ``<usage>``, ``<secret>``
    Grant, KeyDocument                  ``<grant>``, ``<key>``
    a tuple of a dataclass              one child element each, named by the field, written by these rules

Names have ``-`` in XML where Python has ``_``; a field with a default may be left out.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class Help:
    """What a field means, and for a number its bounds (both inclusive)."""

    text: str
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a request, a reply or a part of one, as the table's readers need it.

    Attributes:
        name: in Python.
        xml_name: in XML.
        type: the type without None; for a tuple, the type of its members.
        many: whether it is a tuple.
        required: whether it must be given.
        help: what it means, and its bounds.
    """

    name: str
    xml_name: str
    type: type
    many: bool
    required: bool
    help: Help


_known: dict[type, tuple[Field, ...]] = {}
"""What was listed before: all readers and writers of messages ask, and to read the hints of a class takes long."""


def fields_of(record: type) -> tuple[Field, ...]:
    """List the fields of a request, a reply or a part of one, in the order of the class."""
    if record not in _known:
        hints = get_type_hints(record, include_extras=True)
        _known[record] = tuple(_field(item.name, hints[item.name], item.default is MISSING) for item in fields(record))
    return _known[record]


def _field(name: str, hint: object, required: bool) -> Field:
    plain, info = get_args(hint)[:2]
    many = get_origin(plain) is tuple
    if many:
        plain = get_args(plain)[0]
        required = False
    elif get_origin(plain) in (Union, UnionType):
        plain = next(member for member in get_args(plain) if member is not type(None))
    kind = _singular(name) if many else name
    return Field(name, kind.replace("_", "-"), plain, many, required, info)


def _singular(name: str) -> str:
    return name.removesuffix("ies") + "y" if name.endswith("ies") else name.removesuffix("s")
