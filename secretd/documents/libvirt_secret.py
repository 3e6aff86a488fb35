"""The ``<secret>`` document as libvirt reads it, for the libvirt door.

What libvirt does not know is passed over, of an element that is there twice the first counts, and an attribute or a
text that is empty counts as one that is not there.  Everything that is wrong is a LibvirtError with the code and the
domain that libvirt answers with; its message is our own, and quotes nothing of the document.

The bounds and the refusals of scan() hold here too, and what breaks them is as if it were malformed: libvirt answers so
where its own parser's bounds are broken.  All differences are listed in docs/libvirt-documents.md.

Source: libvirt's daemon, 12.8, as it answers (tests/vectors/libvirt-documents.json).
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from uuid import UUID

from lxml import etree

from secretd import limits
from secretd.documents.diagnosis import place
from secretd.documents.libvirt_exact import read_exactly
from secretd.documents.scalars import Scalar, one_of, parse_yes_no
from secretd.documents.scan import UnknownNames, scan
from secretd.documents.secret import placed
from secretd.documents.shapes import SECRET, USAGE_CHILDREN, USAGE_TYPE, Attribute, Child, Shape
from secretd.documents.validation import Grammar, parse_loosely
from secretd.errors import InvalidRequestError, LibvirtCode, LibvirtDomain, LibvirtError
from secretd.model import Attributes, SecretDocument, Usage, UsageType

_MALFORMED = (LibvirtCode.XML_DETAIL, LibvirtDomain.SECRET)
_INVALID = (LibvirtCode.XML_INVALID_SCHEMA, LibvirtDomain.XML)
_NO_SECRET = (LibvirtCode.XML_ERROR, LibvirtDomain.XML)
_WRONG_FLAG = (LibvirtCode.XML_ERROR, LibvirtDomain.SECRET)
_WRONG_TYPE = (LibvirtCode.XML_ERROR, LibvirtDomain.XML)
_WRONG_UUID = (LibvirtCode.INTERNAL_ERROR, LibvirtDomain.SECRET)
_NO_USAGE_ID = (LibvirtCode.INTERNAL_ERROR, LibvirtDomain.SECRET)
_TOO_LONG = (LibvirtCode.XML_ERROR, LibvirtDomain.SECRET)

_SPACE = " \t\n\v\f\r"
_PAIRS = re.compile("(?:[- ]*[0-9a-fA-F]{2}){16}")

_PATH = Scalar("an absolute path on one line", '<ref name="libvirt.path"/>', re.compile("/[^\n\r]+").fullmatch, str)
_NAME = Scalar("a name on one line without a slash", '<ref name="libvirt.name"/>', re.compile("[^/\n]+").fullmatch, str)
_TYPE = one_of({kind.value: kind for kind in USAGE_CHILDREN}, lambda kind: str(kind.value))
_USAGE = Shape(
    {"type": Attribute(_TYPE, required=True)},
    {"volume": Child(Shape(text=_PATH)), "name": Child(Shape(text=_NAME)), "target": Child(Shape(text=_NAME))},
)
_PARTS = {name: SECRET.children[name] for name in ("uuid", "description")} | {"usage": Child(_USAGE)}
_GRAMMAR = Grammar("libvirt-secret.rng", "secret", replace(SECRET, children=_PARTS))

_DECLARED = re.compile(
    rb"""(<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?P<q>['"])1\.[0-9]*(?P=q))"""
    rb"""[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?P<p>['"])(?P<name>[A-Za-z][A-Za-z0-9._-]*)(?P=p)"""
)
"""An XML declaration up to its encoding. Source: XML 1.0, sections 2.8 and 4.3.3."""

_CODECS: Mapping[bytes, str] = MappingProxyType(
    {
        b"UTF-8": "utf-8",
        b"UTF8": "utf-8",
        b"US-ASCII": "ascii",
        b"ASCII": "ascii",
        b"ISO-8859-1": "iso-8859-1",
        b"ISO_8859-1": "iso-8859-1",
        b"ISO8859-1": "iso-8859-1",
        b"LATIN1": "iso-8859-1",
        b"ISO-8859-15": "iso-8859-15",
        b"WINDOWS-1252": "cp1252",
        b"CP1252": "cp1252",
    }
)
"""UTF-8, and encodings of one byte a character in which ASCII is as it is there: none can hide markup from the scan."""


def read_libvirt_secret(body: bytes, unknown: UnknownNames, *, validate: bool) -> SecretDocument:
    """Read a document as libvirt does.

    Args:
        body: the document; as in C, what follows a NUL byte is no part of it.
        unknown: the names that the caller's uid has brought so far.
        validate: hold it to schemas/libvirt-secret.rng first, as VIR_SECRET_DEFINE_VALIDATE asks.

    Raises:
        LibvirtError: it is malformed, no secret, or has something in it that libvirt refuses, or that we do.
    """
    exact = read_exactly(body) if not validate else None
    return exact or _read_whole(body, unknown, validate=validate)


def _read_whole(body: bytes, unknown: UnknownNames, *, validate: bool) -> SecretDocument:
    with _answered(_MALFORMED):
        text = _in_utf8(body.partition(b"\0")[0])
        scan(text, limits.DOCUMENT_BYTES, unknown)
        root = parse_loosely(text)
    if _local_name(root.tag) != "secret":
        raise _fault(_NO_SECRET, root, "the root element is not <secret>")
    if validate:
        with _answered(_INVALID):
            _GRAMMAR.check(root)
    return _document(root)


@contextmanager
def _answered(kind: tuple[LibvirtCode, LibvirtDomain]) -> Iterator[None]:
    """Answer what our own readers refuse with libvirt's code and domain."""
    try:
        yield
    except InvalidRequestError as error:
        raise LibvirtError(*kind, error.message) from None


def _fault(kind: tuple[LibvirtCode, LibvirtDomain], element: etree._Element, sentence: str) -> LibvirtError:
    return LibvirtError(*kind, place(element) + sentence)


def _in_utf8(body: bytes) -> bytes:
    """Give a document in UTF-8, and have it say so, if it declares an encoding of ours.

    A byte that the encoding has no character for becomes a lone surrogate, which the scan refuses as no UTF-8.
    """
    marked = body.startswith(BOM_UTF8)
    declared = _DECLARED.match(body, len(BOM_UTF8) if marked else 0)
    if not declared or len(body) > limits.DOCUMENT_BYTES:
        return body
    # To libvirt the mark says more than the declaration.
    codec = "utf-8" if marked else _CODECS.get(declared["name"].upper())
    if codec is None:
        return body
    text = body[declared.end() :].decode(codec, "surrogateescape").encode("utf-8", "surrogatepass")
    return declared[1] + b" encoding='UTF-8'" + text


# What libvirt reads, in its order.


def _document(root: etree._Element) -> SecretDocument:
    ephemeral, private = _flag(root, "ephemeral"), _flag(root, "private")
    secret_id = _id(root)
    with _answered(_TOO_LONG):
        usage, description = _usage(root), _first_text(root, "description")
        return SecretDocument(placed(root, Attributes, usage, description, ephemeral, private), secret_id)


def _flag(root: etree._Element, name: str) -> bool:
    text = root.get(name)
    flag = parse_yes_no(text) if text else False
    if flag is None:
        raise _fault(_WRONG_FLAG, root, f"the attribute {name} of <secret> is not yes or no")
    return flag


def _id(root: etree._Element) -> UUID | None:
    text = _first_text(root, "uuid")
    if text is None:
        return None
    digits = text.strip(_SPACE)
    if not _PAIRS.fullmatch(digits):
        raise _fault(_WRONG_UUID, root, "<uuid> does not hold a UUID")
    return UUID(digits.replace(" ", "").replace("-", ""))


def _usage(root: etree._Element) -> Usage | None:
    usage = root.find("usage")
    if usage is None:
        # The short form, which libvirt does not know: a document means the same at both doors.
        volume = _first_text(root, "volume")
        return None if volume is None else placed(root, Usage, UsageType.VOLUME, volume)
    kind = USAGE_TYPE.parse(_type(usage))
    if kind is None:
        raise _fault(_WRONG_TYPE, usage, f"the attribute type of <usage> is not {USAGE_TYPE.phrase}")
    if kind is UsageType.NONE:
        return None
    tag = USAGE_CHILDREN[kind]
    usage_id = _first_text(usage, tag)
    if usage_id is None:
        raise _fault(_NO_USAGE_ID, usage, f"<usage> of type {kind.value} needs the element <{tag}>")
    return placed(usage, Usage, kind, usage_id)


def _type(usage: etree._Element) -> str:
    # Of this attribute alone libvirt does not ask for the namespace.
    return next((str(text) for name, text in usage.items() if _local_name(name) == "type"), "")


def _first_text(root: etree._Element, path: str) -> str | None:
    found = root.find(path)
    return None if found is None else "".join(found.itertext()) or None


def _local_name(name: object) -> str:
    # Not etree.QName, which refuses a prefix of no namespace.
    return str(name).rpartition("}")[2]
