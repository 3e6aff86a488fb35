"""What stands in an attribute: how each type is written, recognised and described.

The rules it keeps: one spelling for one meaning (but for the case of a UUID's digits), no white space around
it, and the schema (``rng``) accepts exactly what ``parse`` does.

Source: docs/protocol.md, "How an operation is written".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from secretd.fields import Field, Help
from secretd.keys import KeyId, key_id_of
from secretd.model import Digest
from secretd.moments import format_time, parse_time

_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BARE_UUID = re.compile("[0-9a-fA-F]{32}")
_DIGEST = re.compile("[0-9a-f]{32}")
_NUMBER = re.compile("0|[1-9][0-9]{0,18}")
_LARGEST = 2**63 - 1
_YES_NO = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class Scalar:
    """How one type looks as text.

    Attributes:
        phrase: what it is, for an error: "a UUID".
        rng: the RelaxNG pattern that says the same.
        parse: gives the value, or None if the text is no such thing.
        format: writes a value; never makes a character that needs escaping.
    """

    phrase: str
    rng: str
    parse: Callable[[str], Any]
    format: Callable[[Any], str]


def parse_uuid(text: str) -> UUID | None:
    """Read a UUID of 36 characters, in either case."""
    return UUID(text) if _UUID.fullmatch(text) else None


def parse_libvirt_uuid(text: str) -> UUID | None:
    """Read a UUID as libvirt's schema has it: of 36 characters, or of 32 without the dashes."""
    return UUID(text) if _UUID.fullmatch(text) or _BARE_UUID.fullmatch(text) else None


def parse_yes_no(text: str) -> bool | None:
    """Read ``yes`` or ``no``."""
    return _YES_NO.get(text)


def number(low: int, high: int) -> Scalar:
    """Make the scalar of the numbers from ``low`` to ``high``, both inclusive."""

    def parse(text: str) -> int | None:
        # The pattern comes first: it bounds the digits, so int() cannot be made to work long.
        value = int(text) if _NUMBER.fullmatch(text) else -1
        return value if low <= value <= high else None

    phrase = f"a number from {low} to {high}" if high < _LARGEST else f"a number from {low}"
    rng = (
        '<data type="nonNegativeInteger">'
        f'<param name="pattern">{_NUMBER.pattern}</param>'
        f'<param name="minInclusive">{low}</param>'
        f'<param name="maxInclusive">{high}</param>'
        "</data>"
    )
    return Scalar(phrase, rng, parse, str)


def one_of(words: Mapping[str, Any], write: Callable[[Any], str]) -> Scalar:
    """Make the scalar of a closed set of words, and of what each stands for."""
    rng = "<choice>" + "".join(f'<value type="string">{word}</value>' for word in words) + "</choice>"
    return Scalar(f"one of {', '.join(words)}", rng, words.get, write)


def enumeration(members: type[Enum]) -> Scalar:
    """Make the scalar of an Enum of words."""
    return one_of({member.value: member for member in members}, lambda member: str(member.value))


UUID_TEXT = Scalar("a UUID", '<ref name="uuid"/>', parse_uuid, str)
LIBVIRT_UUID = Scalar("a UUID", '<ref name="libvirt-uuid"/>', parse_libvirt_uuid, str)
YES_NO = Scalar("yes or no", '<ref name="yes-no"/>', parse_yes_no, lambda value: "yes" if value else "no")
MOMENT = Scalar("a moment like 2027-12-31T23:59:59Z", '<ref name="moment"/>', parse_time, format_time)
KEY_ID = Scalar("a UUID or a name of a key", '<ref name="key-id"/>', key_id_of, str)
_DIGEST_TEXT = Scalar(
    "a digest of 32 lower-case hex digits",
    '<ref name="digest"/>',
    lambda text: Digest(text) if _DIGEST.fullmatch(text) else None,
    str,
)


def _bounded(bounds: Help) -> Scalar:
    low = 0 if bounds.low is None else bounds.low
    return number(low, _LARGEST if bounds.high is None else bounds.high)


_SCALARS: dict[object, Callable[[Help], Scalar]] = {
    UUID: lambda _: UUID_TEXT,
    Digest: lambda _: _DIGEST_TEXT,
    KeyId: lambda _: KEY_ID,
    datetime: lambda _: MOMENT,
    bool: lambda _: YES_NO,
    int: _bounded,
}


def scalar_of(field: Field) -> Scalar | None:
    """Give how a field is written as an attribute, or None if it is written as an element."""
    if field.many:
        return None
    # First: Digest and KeyId are no classes, which issubclass() would not take.
    if field.type in _SCALARS:
        return _SCALARS[field.type](field.help)
    return enumeration(field.type) if issubclass(field.type, Enum) else None
