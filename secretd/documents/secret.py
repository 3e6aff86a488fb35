"""The ``<secret>`` document: its two readings, and the one form in which it is written.

read_secret() holds a document to schemas/secret.rng.  read_libvirt_secret() reads as libvirt does, for the
libvirt door: what it does not know is passed over, and of an element that is there twice the first counts.
Whatever the schema allows, both read alike.

Neither makes an id: a document without one has none.  An empty description is none, and so is a usage of type
none, as in libvirt.

Source: docs/protocol.md, "The secret's document"; libvirt 12.8, conf/secret_conf.c, util/virxml.c
(virXPathString), util/viruuid.c (virUUIDParse).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar
from uuid import UUID

from lxml import etree

from secretd import limits
from secretd.documents.diagnosis import place
from secretd.documents.escape import escape
from secretd.documents.scalars import YES_NO, parse_libvirt_uuid, parse_yes_no
from secretd.documents.scan import UnknownNames, scan
from secretd.documents.shapes import SECRET, USAGE_CHILDREN, USAGE_TYPE
from secretd.documents.validation import Grammar, parse, read_strictly
from secretd.errors import InvalidDocumentError, InvalidXmlError
from secretd.model import Attributes, SecretDocument, Usage, UsageType

P = ParamSpec("P")
T = TypeVar("T")

_GRAMMAR = Grammar("secret.rng", "secret", SECRET)
_SPACE = " \t\n\v\f\r"
_PAIRS = re.compile("(?:[- ]*[0-9a-fA-F]{2}){16}")


def read_secret(body: bytes) -> SecretDocument:
    """Read a document that must be as schemas/secret.rng says.

    Raises:
        InvalidXmlError: it is not well-formed, or holds what no document here may hold.
        InvalidDocumentError: the schema does not allow it, or a text is too long.
    """
    return secret_from(read_strictly(body, limits.DOCUMENT_BYTES, _GRAMMAR))


def read_libvirt_secret(body: bytes, unknown: UnknownNames, *, validate: bool) -> SecretDocument:
    """Read a document as libvirt does.

    Args:
        body: the document, in UTF-8.
        unknown: the names that the caller's uid has brought so far.
        validate: hold it to schemas/secret.rng first, as VIR_SECRET_DEFINE_VALIDATE asks.

    Raises:
        InvalidXmlError: it is not well-formed, holds what no document here may hold, or is no secret to libvirt.
        InvalidDocumentError: ``validate``, and the schema does not allow it; or a text is too long.
    """
    scan(body, limits.DOCUMENT_BYTES, unknown)
    root = parse(body)
    if validate:
        _GRAMMAR.check(root)
    if etree.QName(root).localname != "secret":
        raise InvalidXmlError(f"{place(root)}unexpected root element, expecting <secret>")
    usage = _libvirt_usage(root)
    description = _first_text(root, "description")
    ephemeral, private = _libvirt_flag(root, "ephemeral"), _libvirt_flag(root, "private")
    attributes = _placed(root, Attributes, usage, description, ephemeral, private)
    return SecretDocument(attributes, _libvirt_id(root))


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
    attributes = _placed(secret, Attributes, _usage_of(secret), description, ephemeral, private)
    return SecretDocument(attributes, None if uuid is None else parse_libvirt_uuid(uuid))


def usage_from(usage: etree._Element) -> Usage:
    """Read a ``<usage>`` of a type other than none that a schema has accepted.

    Raises:
        InvalidDocumentError: the id is too long.
    """
    return _placed(usage, Usage, USAGE_TYPE.parse(usage.get("type", "")), usage[0].text or "")


def _usage_of(secret: etree._Element) -> Usage | None:
    usage, volume = secret.find("usage"), secret.find("volume")
    if volume is not None:
        return _placed(volume, Usage, UsageType.VOLUME, volume.text or "")
    return None if usage is None or not len(usage) else usage_from(usage)


def _placed(element: etree._Element, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Make a noun of the model; if it refuses, say where in the document."""
    try:
        return make(*args, **kwargs)
    except InvalidDocumentError as error:
        raise InvalidDocumentError(place(element) + error.message) from None


# What libvirt reads. An attribute or text that is empty counts as one that is not there.


def _first_text(root: etree._Element, path: str) -> str | None:
    found = root.find(path)
    return None if found is None else "".join(found.itertext()) or None


def _libvirt_flag(root: etree._Element, name: str) -> bool:
    text = root.get(name)
    flag = parse_yes_no(text) if text else False
    if flag is None:
        raise InvalidXmlError(f"{place(root)}invalid value of '{name}' in <secret>")
    return flag


def _libvirt_id(root: etree._Element) -> UUID | None:
    text = _first_text(root, "uuid")
    if text is None:
        return None
    digits = text.strip(_SPACE)
    if not _PAIRS.fullmatch(digits):
        raise InvalidXmlError(f"{place(root)}malformed <uuid> element")
    return UUID(digits.replace(" ", "").replace("-", ""))


def _libvirt_usage(root: etree._Element) -> Usage | None:
    usage = root.find("usage")
    if usage is None:
        volume = _first_text(root, "volume")
        return None if volume is None else _placed(root, Usage, UsageType.VOLUME, volume)
    kind = USAGE_TYPE.parse(usage.get("type", ""))
    if kind is None:
        raise InvalidXmlError(f"{place(usage)}unknown secret usage type in <usage>")
    if kind is UsageType.NONE:
        return None
    tag = USAGE_CHILDREN[kind]
    usage_id = _first_text(usage, tag)
    if usage_id is None:
        raise InvalidXmlError(f"{place(usage)}usage of type {kind.value} specified, but <{tag}> is missing")
    return _placed(usage, Usage, kind, usage_id)
