"""What is wrong with a document that a schema refused: the line, the element, and what was expected there.

libxml2's own messages are vague and quote the document, so they are not used: the tree is held against the
shapes instead, outermost element first, and the first difference is told.  Names of the document are told
only if they are of our vocabulary, its text never.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from lxml import etree

from secretd.documents.shapes import USAGE_CHILDREN, USAGE_TYPE, Shape
from secretd.documents.vocabulary import ATTRIBUTES, ELEMENTS
from secretd.errors import InvalidDocumentError

_WHITE_SPACE = " \t\r\n"  # XML 1.0, section 2.3: no other is


def explain(root: etree._Element, expected: str, shape: Shape, line: int) -> InvalidDocumentError:
    """Find the first thing that is wrong.

    Args:
        root: the document, already refused.
        expected: the name its root should have.
        shape: what that should hold.
        line: where the schema's complaint was, for what the shapes cannot tell.
    """
    if root.tag != expected:
        return _fault(root, f"{_named(root)} at the root, where <{expected}> is expected")
    return next(_faults(root, shape), InvalidDocumentError(f"line {line}: <{expected}> is not as the schema says"))


def place(element: etree._Element) -> str:
    """Say where an element is, to begin an error with."""
    return f"line {element.sourceline}: "


def _fault(element: etree._Element, sentence: str) -> InvalidDocumentError:
    return InvalidDocumentError(place(element) + sentence)


def _named(element: etree._Element) -> str:
    return f"<{element.tag!s}>" if element.tag in ELEMENTS else "an unknown element"


def _faults(element: etree._Element, shape: Shape) -> Iterator[InvalidDocumentError]:
    yield from _attribute_faults(element, shape)
    yield from _text_faults(element, shape)
    yield from _child_faults(element, shape)
    for sentence in _FURTHER.get(str(element.tag), _nothing_further)(element):
        yield _fault(element, sentence)
    for child in element:
        yield from _faults(child, shape.children[str(child.tag)].shape)


def _attribute_faults(element: etree._Element, shape: Shape) -> Iterator[InvalidDocumentError]:
    for name, text in element.items():
        known = shape.attributes.get(str(name))
        if known is None:
            which = f"the attribute {name}" if name in ATTRIBUTES else "an unknown attribute"
            yield _fault(element, f"{_named(element)} may not have {which}")
        elif known.scalar.parse(str(text)) is None:
            yield _fault(element, f"the attribute {name} of {_named(element)} is not {known.scalar.phrase}")
    for name, attribute in shape.attributes.items():
        if attribute.required and name not in element.attrib:
            yield _fault(element, f"{_named(element)} needs the attribute {name}")


def _text_faults(element: etree._Element, shape: Shape) -> Iterator[InvalidDocumentError]:
    if shape.text is None:
        if any(text and text.strip(_WHITE_SPACE) for text in (element.text, *(child.tail for child in element))):
            yield _fault(element, f"{_named(element)} may not hold text")
    elif shape.text.parse(element.text or "") is None:
        yield _fault(element, f"{_named(element)} does not hold {shape.text.phrase}")


def _child_faults(element: etree._Element, shape: Shape) -> Iterator[InvalidDocumentError]:
    for child in element:
        if child.tag not in shape.children:
            yield _fault(child, f"{_named(child)} may not stand in {_named(element)}")
    given = Counter(str(child.tag) for child in element)
    for name, known in shape.children.items():
        if known.required and not given[name]:
            yield _fault(element, f"{_named(element)} needs the element <{name}>")
        if given[name] > 1 and not known.many:
            yield _fault(element, f"{_named(element)} may hold one <{name}> only")


# What the shapes do not say, because it depends on something else in the same element.


def _usage(usage: etree._Element) -> Iterator[str]:
    kind = USAGE_TYPE.parse(usage.get("type", ""))
    wanted = USAGE_CHILDREN.get(kind)
    parent = usage.getparent()
    if parent is not None and parent.tag == "key":
        return
    if parent is not None and parent.tag == "scope":
        if wanted is None and "pattern" in usage.attrib:
            yield f"<usage> of type {kind.value} may not have the attribute pattern"
        return
    if wanted is None and parent is not None and parent.tag != "secret":
        yield f"<usage> of type {kind.value} names nothing"
    if wanted and usage.find(wanted) is None:
        yield f"<usage> of type {kind.value} needs the element <{wanted}>"
    for child in usage:
        if child.tag != wanted:
            yield f"<usage> of type {kind.value} may not hold <{child.tag!s}>"


def _secret(secret: etree._Element) -> Iterator[str]:
    if secret.find("usage") is not None and secret.find("volume") is not None:
        yield "<secret> may hold <usage> or <volume>, not both"


def _principal(principal: etree._Element) -> Iterator[str]:
    named = [str(child.tag) for child in principal if child.tag != "executable"]
    if len(named) != 1:
        yield "<principal> must hold one of <user>, <group>, <unit> and <anyone>"
    elif named == ["anyone"] and len(principal) > 1:
        yield "<executable> may not stand beside <anyone>"


def _allow(allow: etree._Element) -> Iterator[str]:
    if ("set" in allow.attrib) == (len(allow) > 0):
        yield "<allow> needs either the attribute set or <permission> at least once"


def _scope(scope: etree._Element) -> Iterator[str]:
    if not len(scope):
        yield "<scope> must hold <all>, <secret>, <usage>, <keys> or <key> at least once"


_KEY_SCOPES = ({"id"}, {"pattern"}, {"tag", "value"})


def _key(key: etree._Element) -> Iterator[str]:
    parent = key.getparent()
    if parent is not None and parent.tag == "scope" and set(key.attrib) not in _KEY_SCOPES:
        yield "<key> needs one of: the attribute id; the attribute pattern; the attributes tag and value"


def _request(request: etree._Element) -> Iterator[str]:
    if len(request) != 1:
        yield "<request> must hold one operation"


def _reply(reply: etree._Element) -> Iterator[str]:
    if ("serial" in reply.attrib) == ("message" in reply.attrib):
        yield "<reply> needs either the attribute serial or the attribute message"
    if len(reply) != 1:
        yield "<reply> must hold one result"
    elif "message" in reply.attrib and reply[0].tag != "error":
        yield "<reply> to a message must hold <error>"


def _nothing_further(_element: etree._Element) -> Iterator[str]:
    return iter(())


_FURTHER: Mapping[str, Callable[[etree._Element], Iterator[str]]] = MappingProxyType(
    {
        "usage": _usage,
        "secret": _secret,
        "principal": _principal,
        "allow": _allow,
        "scope": _scope,
        "key": _key,
        "request": _request,
        "reply": _reply,
    }
)
