"""The look at a document before libxml2 sees it, which never forgets a name that it has met.

It holds a document to its size, its depth and its names, and makes sure that it is well-formed.  It refuses
every document type declaration (so that there is no entity but the five), every encoding but UTF-8, and, unless
unknown names are admitted, every processing instruction.  It keeps no text, and its errors quote none: they say
what is wrong, the line, and at most a name of our vocabulary.

What breaks a bound ends the scan at once.  A name that is not of our vocabulary does not: the rest is still
held to being well-formed, so that a request can be answered by its serial.

Source: DESIGN, "The XML"; XML 1.0 (fifth edition), sections 2.1, 2.8 and 4.3.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn
from xml.parsers import expat

from secretd import limits
from secretd.documents.vocabulary import ATTRIBUTES, ELEMENTS
from secretd.errors import InvalidDocumentError, InvalidXmlError

_INVALID_TOKEN = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]
_MALFORMED = {
    expat.errors.codes[message]: sentence
    for message, sentence in (
        (expat.errors.XML_ERROR_NO_ELEMENTS, "the document ends too early"),
        (expat.errors.XML_ERROR_UNCLOSED_TOKEN, "a tag or comment has no end"),
        (expat.errors.XML_ERROR_PARTIAL_CHAR, "a character is cut off"),
        (expat.errors.XML_ERROR_INVALID_TOKEN, "a character that may not stand there, or is not UTF-8"),
        (expat.errors.XML_ERROR_TAG_MISMATCH, "an end tag is not that of the open element"),
        (expat.errors.XML_ERROR_DUPLICATE_ATTRIBUTE, "an attribute is given twice"),
        (expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT, "something follows the end of the document"),
        (expat.errors.XML_ERROR_UNDEFINED_ENTITY, "an entity that XML does not define"),
        (expat.errors.XML_ERROR_BAD_CHAR_REF, "a reference to a character that XML cannot carry"),
        (expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION, "a CDATA section has no end"),
        (expat.errors.XML_ERROR_MISPLACED_XML_PI, "the XML declaration is not at the very start"),
    )
}


_LONG_SPACE = re.compile(rb"[ \t\r\n]{16,}")
"""White space that may stand between tags: libxml2 never forgets a piece of 16 to 59 characters that does."""

_PLAIN_SPACE = re.compile(rb"(?:\r?\n)*(?: *|\t*)")
"""What indents. Of this there are a few thousand different pieces of that length, whoever writes them."""


class UnknownNames:
    """The names outside our vocabulary that one uid has brought so far, and how many it may bring.

    The caller keeps one for each uid and hands it to every reading for that uid.

    Args:
        limit: how many different names.
    """

    def __init__(self, limit: int = limits.UNKNOWN_NAMES_PER_UID) -> None:
        self._limit = limit
        self._seen: set[int] = set()

    def admit(self, name: str | bytes) -> bool:
        """Count a name, if it is new; say whether it may pass."""
        # The hash alone, which is keyed for each process: a name may quote a value, and need not be kept.
        key = hash(name)
        if key not in self._seen and len(self._seen) >= self._limit:
            return False
        self._seen.add(key)
        return True


_ODD_SPACES = UnknownNames(limits.ODD_SPACES)
"""Of all documents of this process whose reader has no allowance of its own."""


@dataclass(frozen=True, slots=True)
class UnknownName:
    """The first name in a document that is not of our vocabulary.

    Attributes:
        line: where it is.
        parents: the open elements, outermost first, those of our vocabulary only.
        is_attribute: whether it is an attribute's; its element is then the last of ``parents``.
    """

    line: int
    parents: tuple[str, ...]
    is_attribute: bool

    def error(self) -> InvalidDocumentError:
        """Say so without the name itself, for it may quote a value."""
        what = "attribute" if self.is_attribute else "element"
        place = f"{'of' if self.is_attribute else 'in'} <{self.parents[-1]}>" if self.parents else "at the root"
        return InvalidDocumentError(f"line {self.line}: an unknown {what} {place}")


@dataclass(frozen=True, slots=True)
class Scanned:
    """A document that is well-formed and within its bounds.

    Attributes:
        root: the name of its root element.
        attributes: those of the root.
        unknown: the first name that is not of our vocabulary, if there is one.
    """

    root: str
    attributes: dict[str, str]
    unknown: UnknownName | None


def scan(
    body: bytes,
    most_bytes: int,
    allowance: UnknownNames | None = None,
    most_elements: int = limits.DOCUMENT_ELEMENTS,
) -> Scanned:
    """Look through a document.

    Args:
        body: the document, in UTF-8.
        most_bytes: how long it may be.
        allowance: admits names that are not of our vocabulary, and processing instructions with such a target;
            without it the first name is reported.
        most_elements: how many it may have.

    Raises:
        InvalidXmlError: it is not well-formed, breaks a bound, or uses what no document here may use.
    """
    if len(body) > most_bytes:
        raise InvalidXmlError(f"a document may have at most {most_bytes} bytes")
    # Expat turns to UTF-16 by itself where it seems to meet it, whatever it was told; but its "<" has a zero byte.
    zero = body.find(0)
    if zero >= 0:
        raise _malformed(body.count(b"\n", 0, zero) + 1, _INVALID_TOKEN)
    _hold_spaces(body, allowance or _ODD_SPACES)
    return _Scan(allowance, most_elements).run(body)


def _hold_spaces(body: bytes, allowance: UnknownNames) -> None:
    """Refuse white space that is like no other, once there was too much of such: see _LONG_SPACE."""
    for found in _LONG_SPACE.finditer(body):
        if not _PLAIN_SPACE.fullmatch(found[0]) and not allowance.admit(found[0]):
            line = body.count(b"\n", 0, found.start()) + 1
            raise InvalidXmlError(f"line {line}: white space of a form that too many documents had; indent by spaces")


class _Scan:
    def __init__(self, allowance: UnknownNames | None, most_elements: int) -> None:
        self._allowance = allowance
        self._most_elements = most_elements
        self._elements = 0
        self._open: list[str] = []
        self._root = ""
        self._root_attributes: list[str] = []
        self._unknown: UnknownName | None = None
        self._parser = expat.ParserCreate(encoding="UTF-8")
        self._parser.ordered_attributes = True
        self._parser.XmlDeclHandler = self._declaration
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.ProcessingInstructionHandler = self._instruction
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def run(self, body: bytes) -> Scanned:
        failure: tuple[int, int] | None = None
        try:
            self._parser.Parse(body, True)
        except expat.ExpatError as error:
            failure = (error.lineno, error.code)
        finally:
            self._let_go()
        if failure:
            raise _malformed(*failure)
        attributes = dict(zip(self._root_attributes[::2], self._root_attributes[1::2], strict=True))
        return Scanned(self._root, attributes, self._unknown)

    def _let_go(self) -> None:
        # Parser and handlers hold each other: cut, so that what they saw is freed now and not by a later collection.
        parser = self._parser
        parser.XmlDeclHandler = parser.StartDoctypeDeclHandler = parser.ProcessingInstructionHandler = None
        parser.StartElementHandler = parser.EndElementHandler = None

    def _start(self, name: str, attributes: list[str]) -> None:
        parents = self._open
        if not parents:
            self._root, self._root_attributes = name, attributes
        self._elements += 1
        if self._elements > self._most_elements:
            self._refuse(f"more than {self._most_elements} elements")
        if len(parents) >= limits.DOCUMENT_DEPTH:
            self._refuse(f"elements more than {limits.DOCUMENT_DEPTH} deep")
        if len(attributes) > 2 * limits.ELEMENT_ATTRIBUTES:
            self._refuse(f"an element with more than {limits.ELEMENT_ATTRIBUTES} attributes")
        if name not in ELEMENTS:
            self._meet(name, is_attribute=False)
        parents.append(name)
        if not ATTRIBUTES.issuperset(attributes[::2]):
            self._meet_attributes(attributes)

    def _end(self, _name: str) -> None:
        self._open.pop()

    def _meet_attributes(self, attributes: list[str]) -> None:
        for name, value in zip(attributes[::2], attributes[1::2], strict=True):
            if name not in ATTRIBUTES:
                self._meet(name, is_attribute=True)
            if name.partition(":")[0] == "xmlns":
                # libxml2 never forgets a namespace's URI either.
                self._meet(value, is_attribute=True)

    def _meet(self, name: str, *, is_attribute: bool) -> None:
        if len(name.encode()) > limits.NAME_BYTES:
            self._refuse(f"a name of more than {limits.NAME_BYTES} bytes")
        if self._allowance is None:
            self._note(is_attribute)
        elif not self._allowance.admit(name):
            self._refuse("more unknown names than one user may bring")

    def _note(self, is_attribute: bool) -> None:
        if self._unknown is None:
            parents = tuple(name for name in self._open if name in ELEMENTS)
            self._unknown = UnknownName(self._parser.CurrentLineNumber, parents, is_attribute)

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.upper() != "UTF-8":
            self._refuse("an encoding other than UTF-8")

    def _doctype(self, *_declared: object) -> None:
        self._refuse("a document type declaration")

    def _instruction(self, target: str, _data: str) -> None:
        if self._allowance is None:
            self._refuse("a processing instruction")
        # libxml2 keeps the target as it keeps a name; the parser drops the instruction.
        self._meet(target, is_attribute=False)

    def _refuse(self, what: str) -> NoReturn:
        raise InvalidXmlError(f"line {self._parser.CurrentLineNumber}: {what}, which no document here may have")


def _malformed(line: int, code: int) -> InvalidXmlError:
    kind = _MALFORMED.get(code)
    return InvalidXmlError(f"line {line}: not well-formed XML" + (f": {kind}" if kind else ""))
