"""The ``<key>`` document: read strictly, and written in one form.

read_key() holds a document to schemas/key.rng, and what it says to the constructors of secretd/keys.py; what one of
them refuses is told with its place.  An empty description is none, and tags stand in the order of their names.

Source: docs/keys.md, "What a key is".
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from secretd import limits
from secretd.documents.escape import escape, escape_attribute
from secretd.documents.scalars import KEY_ID, YES_NO
from secretd.documents.secret import placed
from secretd.documents.shapes import KEY, KEY_USAGE, ROTATION_DAYS
from secretd.documents.validation import Grammar, read_strictly
from secretd.keys import KeyDocument, KeyUsage, Tag

_GRAMMAR = Grammar("key.rng", "key", KEY)


def read_key(body: bytes) -> KeyDocument:
    """Read a document that must be as schemas/key.rng says.

    Raises:
        InvalidXmlError: it is not well-formed, or holds what no document here may hold.
        InvalidDocumentError: the schema does not allow it, or docs/keys.md refuses what it says.
    """
    return key_from(read_strictly(body, limits.KEY_DOCUMENT_BYTES, _GRAMMAR))


def write_key(key: KeyDocument) -> str:
    """Write a key's document in its one form, indented by two spaces, a line feed at the end."""
    return "".join(f"{'  ' * depth}{line}\n" for depth, line in _lines(key))


def write_key_compactly(key: KeyDocument) -> str:
    """Write the same on one line, as it stands in a message."""
    return "".join(line for _, line in _lines(key))


def key_from(key: etree._Element) -> KeyDocument:
    """Read a ``<key>`` that a schema has accepted.

    Raises:
        InvalidDocumentError: docs/keys.md refuses what it says.
    """
    key_id, rotation = key.findtext("id"), key.find("rotation")
    return placed(
        key,
        KeyDocument,
        id=None if key_id is None else KEY_ID.parse(key_id),
        usage=KEY_USAGE.parse(key.findtext("usage", KeyUsage.ENCRYPT_DECRYPT.value)),
        description=key.findtext("description") or None,
        tags=tuple(placed(tag, Tag, tag.get("name", ""), tag.text or "") for tag in key.iterfind("tag")),
        exportable=key.get("exportable") == "yes",
        rotation=None if rotation is None else ROTATION_DAYS.parse(rotation.get("days", "")),
    )


def _lines(key: KeyDocument) -> Iterator[tuple[int, str]]:
    yield 0, f"<key exportable='{YES_NO.format(key.exportable)}'>"
    if key.id is not None:
        yield 1, f"<id>{key.id}</id>"
    yield 1, f"<usage>{key.usage.value}</usage>"
    if key.description:
        yield 1, f"<description>{escape(key.description)}</description>"
    for tag in key.tags:
        yield 1, f"<tag name='{escape_attribute(tag.name)}'>{escape(tag.text)}</tag>"
    if key.rotation is not None:
        yield 1, f"<rotation days='{key.rotation}'/>"
    yield 0, "</key>"
