"""The ``<secret>`` document: the strict reading, and the one form in which it is written.

read_secret() holds a document to schemas/secret.rng; libvirt's own, liberal reading is libvirt_secret.py's.
Whatever the schema allows, both read alike.

Neither makes an id: a document without one has none.  An empty description is none, and so is a usage of type
none, as in libvirt.

Source: docs/protocol.md, "The secret's document".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from lxml import etree

from secretd import limits
from secretd.documents.diagnosis import place
from secretd.documents.escape import escape
from secretd.documents.scalars import YES_NO, parse_libvirt_uuid
from secretd.documents.shapes import SECRET, USAGE_CHILDREN, USAGE_TYPE
from secretd.documents.validation import Grammar, read_strictly
from secretd.errors import InvalidDocumentError
from secretd.model import Attributes, SecretDocument, Usage, UsageType

P = ParamSpec("P")
T = TypeVar("T")

_GRAMMAR = Grammar("secret.rng", "secret", SECRET)


def read_secret(body: bytes) -> SecretDocument:
    """Read a document that must be as schemas/secret.rng says.

    Raises:
        InvalidXmlError: it is not well-formed, or holds what no document here may hold.
        InvalidDocumentError: the schema does not allow it, or a text is too long.
    """
    return secret_from(read_strictly(body, limits.DOCUMENT_BYTES, _GRAMMAR))


def write_secret(document: SecretDocument) -> str:
    """Write a document in its one form: libvirt's order, indented by two spaces, a line feed at the end."""
    return "".join(f"{'  ' * depth}{line}\n" for depth, line in _lines(document))


def write_secret_compactly(document: SecretDocument) -> str:
    """Write the same on one line, as it stands in a message."""
    return "".join(line for _, line in _lines(document))


def write_usage(usage: Usage) -> str:
    """Write a usage on one line, as it stands in a message."""
    return "".join(_usage_lines(usage))


def _lines(document: SecretDocument) -> Iterator[tuple[int, str]]:
    attributes = document.attributes
    ephemeral, private = YES_NO.format(attributes.ephemeral), YES_NO.format(attributes.private)
    yield 0, f"<secret ephemeral='{ephemeral}' private='{private}'>"
    if document.id is not None:
        yield 1, f"<uuid>{document.id}</uuid>"
    if attributes.description:
        yield 1, f"<description>{escape(attributes.description)}</description>"
    if attributes.usage is not None:
        start, usage_id, end = _usage_lines(attributes.usage)
        yield from ((1, start), (2, usage_id), (1, end))
    yield 0, "</secret>"


def _usage_lines(usage: Usage) -> tuple[str, str, str]:
    tag = USAGE_CHILDREN[usage.type]
    return f"<usage type='{usage.type.value}'>", f"<{tag}>{escape(usage.id)}</{tag}>", "</usage>"


# What the schema allows.


def secret_from(secret: etree._Element) -> SecretDocument:
    """Read a ``<secret>`` that a schema has accepted.

    Raises:
        InvalidDocumentError: a text in it is too long.
    """
    uuid = secret.findtext("uuid")
    description = secret.findtext("description") or None
    ephemeral, private = (secret.get(name) == "yes" for name in ("ephemeral", "private"))
    attributes = placed(secret, Attributes, _usage_of(secret), description, ephemeral, private)
    return SecretDocument(attributes, None if uuid is None else parse_libvirt_uuid(uuid))


def usage_from(usage: etree._Element) -> Usage:
    """Read a ``<usage>`` of a type other than none that a schema has accepted.

    Raises:
        InvalidDocumentError: the id is too long.
    """
    return placed(usage, Usage, USAGE_TYPE.parse(usage.get("type", "")), usage[0].text or "")


def _usage_of(secret: etree._Element) -> Usage | None:
    usage, volume = secret.find("usage"), secret.find("volume")
    if volume is not None:
        return placed(volume, Usage, UsageType.VOLUME, volume.text or "")
    return None if usage is None or not len(usage) else usage_from(usage)


def placed(element: etree._Element, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Make a noun of the model; if it refuses, say where in the document.

    Raises:
        InvalidDocumentError: a text in it is too long.
    """
    try:
        return make(*args, **kwargs)
    except InvalidDocumentError as error:
        raise InvalidDocumentError(place(element) + error.message) from None
