"""The ``<value>`` element: strict base64, or the word that the value travels as a descriptor beside the message.

To the schema a value is text; what it says is decoded here, outside libxml2.  Each value has exactly one
spelling: the standard alphabet, padded, unused bits zero, no white space.  Its errors never quote it.

Source: RFC 4648, sections 3.2 to 3.5 and 4; docs/protocol.md, "Values".
"""

from __future__ import annotations

import binascii

from lxml import etree

from secretd import limits
from secretd.documents.diagnosis import place
from secretd.errors import InvalidValueError
from secretd.model import SecretValue

_MOST_CHARACTERS = (limits.VALUE_BYTES + 2) // 3 * 4


def by_descriptor(value: etree._Element) -> bool:
    """Say whether a ``<value>`` announces a descriptor."""
    return value.get("descriptor") == "yes"


def value_from(value: etree._Element, carried: SecretValue | None) -> SecretValue:
    """Read a ``<value>``.

    Args:
        value: the element.
        carried: what came in a descriptor beside its message.

    Raises:
        InvalidValueError: it is empty, too long or not canonical base64, or a descriptor is announced and none
            came, or the value is there twice.
    """
    text = value.text or ""
    if not by_descriptor(value):
        return SecretValue(_decode(value, text))
    if text:
        raise InvalidValueError(f"{place(value)}<value> announces a descriptor, and holds text too")
    if carried is None:
        raise InvalidValueError(f"{place(value)}<value> announces a descriptor, and none came with the message")
    return carried


def write_value(value: SecretValue, *, descriptor: bool) -> str:
    """Write a ``<value>``, as text or as travelling by descriptor."""
    if descriptor:
        return "<value descriptor='yes'/>"
    return f"<value>{_encode(value.reveal())}</value>"


def decode(text: str) -> bytes | None:
    """Decode canonical base64; None if it is anything else."""
    try:
        decoded = binascii.a2b_base64(text.encode("ascii", "replace"))
    except binascii.Error:
        return None
    # Python's decoder passes over much that is no base64; writing again tells the one spelling from all others.
    return decoded if _encode(decoded) == text else None


def _encode(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _decode(value: etree._Element, text: str) -> bytes:
    if not text:
        raise InvalidValueError(f"{place(value)}<value> is empty")
    # Before decoding, so that work and memory are bounded by what a value may be.
    if len(text) > _MOST_CHARACTERS:
        raise InvalidValueError(f"{place(value)}a value may have at most {limits.VALUE_BYTES} bytes")
    decoded = decode(text)
    if decoded is None:
        raise InvalidValueError(f"{place(value)}<value> is not canonical base64")
    return decoded
