"""Requests, replies and their parts: between dataclasses and elements, as the table of operations says.

A codec is made once for each dataclass, from its fields; nothing is looked up in the table afterwards.  It
reads what a schema has accepted, and writes what the schema accepts.  What is None is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lxml import etree

from secretd import limits
from secretd.documents.diagnosis import place
from secretd.documents.escape import escape
from secretd.documents.grant import grant_from, write_grant_compactly
from secretd.documents.key import key_from, write_key_compactly
from secretd.documents.scalars import Scalar, scalar_of
from secretd.documents.secret import secret_from, usage_from, write_secret_compactly, write_usage
from secretd.documents.shapes import may_be_carried, tag_of
from secretd.documents.values import blob_from, value_from, write_blob, write_value
from secretd.errors import InvalidDocumentError
from secretd.fields import Field, fields_of
from secretd.grants import Grant
from secretd.keys import Blob, KeyDocument
from secretd.model import SecretDocument, SecretValue, Usage, check_text

Reader = Callable[[etree._Element, SecretValue | None], Any]
"""Reads an element; the value is what came in a descriptor beside the message."""

Writer = Callable[[Any, bool], str]
"""Writes an element; the flag says that a value travels in a descriptor beside the message."""


@dataclass(frozen=True, slots=True)
class _Attribute:
    name: str
    xml_name: str
    scalar: Scalar

    def read(self, element: etree._Element, text: str) -> Any:
        value = self.scalar.parse(text)
        if value is None:
            sentence = f"the attribute {self.xml_name} of <{element.tag!s}> is not {self.scalar.phrase}"
            raise InvalidDocumentError(place(element) + sentence)
        return value


@dataclass(frozen=True, slots=True)
class _Child:
    name: str
    many: bool
    read: Reader
    write: Writer


class Codec:
    """Between one dataclass and the element that it is written as.

    Args:
        record: the dataclass.
        tag: the element's name.
    """

    def __init__(self, record: type, tag: str) -> None:
        self._record = record
        self._tag = tag
        self._attributes: list[_Attribute] = []
        self._children: dict[str, _Child] = {}
        for item in fields_of(record):
            scalar = scalar_of(item)
            if scalar:
                self._attributes.append(_Attribute(item.name, item.xml_name, scalar))
            else:
                self._children[tag_of(item)] = _child(item)
        # What a message is written by, at hand: every call writes one, at each end.
        self._written_attributes = [(each.name, each.xml_name, each.scalar.format) for each in self._attributes]
        self._written_children = [(child.name, child.many, child.write) for child in self._children.values()]

    def read(self, element: etree._Element, carried: SecretValue | None) -> Any:
        """Read an element that a schema has accepted.

        Args:
            element: the element.
            carried: what came in a descriptor beside its message.

        Raises:
            InvalidDocumentError: a text in it is too long.
            InvalidValueError: see values.value_from().
            InvalidRequestError: see values.blob_from(), or a part of it refuses what it is made of.
        """
        given: dict[str, Any] = {}
        for attribute in self._attributes:
            text = element.get(attribute.xml_name)
            if text is not None:
                given[attribute.name] = attribute.read(element, text)
        if self._children:
            self._read_children(element, carried, given)
        return self._record(**given)

    def _read_children(self, element: etree._Element, carried: SecretValue | None, given: dict[str, Any]) -> None:
        several: dict[str, list[Any]] = {child.name: [] for child in self._children.values() if child.many}
        for part in element:
            child = self._children[str(part.tag)]
            value = child.read(part, carried)
            if child.many:
                several[child.name].append(value)
            else:
                given[child.name] = value
        given.update((name, tuple(values)) for name, values in several.items())

    def write(self, record: Any, by_descriptor: bool = False) -> str:
        """Write a dataclass as its element.

        Raises:
            InvalidDocumentError: a text has a character that XML cannot carry.
        """
        start = f"<{self._tag}"
        for name, xml_name, spell in self._written_attributes:
            value = getattr(record, name)
            if value is not None:
                start += f" {xml_name}='{spell(value)}'"
        children = ""
        for name, many, write in self._written_children:
            value = getattr(record, name)
            if many:
                children += "".join([write(part, by_descriptor) for part in value])
            elif value is not None:
                children += write(value, by_descriptor)
        return f"{start}>{children}</{self._tag}>" if children else f"{start}/>"


def _text(item: Field) -> tuple[Reader, Writer]:
    tag = item.xml_name

    def write(text: str, _: bool) -> str:
        check_text(text, f"<{tag}>", limits.MESSAGE_BYTES)
        return f"<{tag}>{escape(text)}</{tag}>"

    return lambda element, _: element.text or "", write


_MODEL: Mapping[type, tuple[Reader, Writer]] = MappingProxyType(
    {
        SecretDocument: (lambda element, _: secret_from(element), lambda document, _: write_secret_compactly(document)),
        Usage: (lambda element, _: usage_from(element), lambda usage, _: write_usage(usage)),
        KeyDocument: (lambda element, _: key_from(element), lambda key, _: write_key_compactly(key)),
        Grant: (lambda element, _: grant_from(element), lambda grant, _: write_grant_compactly(grant)),
    }
)
"""How the nouns of the model that name their own element are read and written, wherever they stand."""


def _value(item: Field) -> tuple[Reader, Writer]:
    tag, carried = item.xml_name, may_be_carried(item)
    return value_from, lambda value, by_descriptor: write_value(tag, value, descriptor=carried and by_descriptor)


def _blob(item: Field) -> tuple[Reader, Writer]:
    return lambda element, _: blob_from(element), lambda blob, _: write_blob(item.xml_name, blob)


_NAMED: Mapping[type, Callable[[Field], tuple[Reader, Writer]]] = MappingProxyType(
    {str: _text, SecretValue: _value, Blob: _blob}
)
"""How what is written as an element that the field names is read and written."""


def _child(item: Field) -> _Child:
    if item.type in _MODEL:
        read, write = _MODEL[item.type]
    elif item.type in _NAMED:
        read, write = _NAMED[item.type](item)
    else:
        part = Codec(item.type, item.xml_name)
        read, write = part.read, part.write
    return _Child(item.name, item.many, read, write)
