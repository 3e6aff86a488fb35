"""Elements that hold bytes: strict base64, or the word that a value travels as a descriptor beside the message.

To the schema they are text; what it says is decoded here, outside libxml2.  Bytes have exactly one spelling: the
standard alphabet, padded, unused bits zero, no white space.  Its errors never quote them.  A descriptor is announced
by ``<value>`` alone, which the schemas see to.

Source: RFC 4648, sections 3.2 to 3.5 and 4; docs/protocol.md, "Values".
"""

from __future__ import annotations

import binascii

from lxml import etree

from secretd import limits
from secretd.documents.diagnosis import place
from secretd.errors import InvalidRequestError, InvalidValueError
from secretd.keys import Blob
from secretd.model import SecretValue


def by_descriptor(value: etree._Element) -> bool:
    """Say whether a ``<value>`` announces a descriptor."""
    return value.get("descriptor") == "yes"


def value_from(value: etree._Element, carried: SecretValue | None) -> SecretValue:
    """Read a ``<value>``, or a ``<password>``, which never announces a descriptor.

    Args:
        value: the element.
        carried: what came in a descriptor beside its message.

    Raises:
        InvalidValueError: it is empty, too long or not canonical base64, or a descriptor is announced and none
            came, or the value is there twice.
    """
    if not by_descriptor(value):
        return SecretValue(_decode(value, limits.VALUE_BYTES, InvalidValueError))
    if value.text:
        raise InvalidValueError(f"{place(value)}<value> announces a descriptor, and holds text too")
    if carried is None:
        raise InvalidValueError(f"{place(value)}<value> announces a descriptor, and none came with the message")
    return carried


def write_value(tag: str, value: SecretValue, *, descriptor: bool) -> str:
    """Write a ``<value>``, as text or as travelling by descriptor; or a ``<password>``, as text."""
    if descriptor:
        return f"<{tag} descriptor='yes'/>"
    return f"<{tag}>{_encode(value.reveal())}</{tag}>"


def blob_from(blob: etree._Element) -> Blob:
    """Read a ``<blob>``.

    Raises:
        InvalidRequestError: it is empty, too long or not canonical base64.
    """
    return Blob(_decode(blob, limits.BLOB_BYTES, InvalidRequestError))


def write_blob(tag: str, blob: Blob) -> str:
    """Write a ``<blob>``."""
    return f"<{tag}>{_encode(blob.data)}</{tag}>"


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


def _decode(element: etree._Element, most_bytes: int, error: type[InvalidRequestError]) -> bytes:
    text = element.text or ""
    if not text:
        raise error(f"{place(element)}<{element.tag!s}> is empty")
    # Before decoding, so that work and memory are bounded by what the bytes may be.
    if len(text) > (most_bytes + 2) // 3 * 4:
        raise error(f"{place(element)}<{element.tag!s}> may have at most {most_bytes} bytes")
    decoded = decode(text)
    if decoded is None:
        raise error(f"{place(element)}<{element.tag!s}> is not canonical base64")
    return decoded
