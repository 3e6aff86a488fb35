"""Makes the schemas of requests, replies and events from the table of operations.

The files schemas/request.rng, reply.rng and event.rng are what this module writes (by contrib/generate); they are
checked in so that others can read and use them, and a test compares.  The order of elements is free, as
docs/protocol.md promises.

Source: RELAX NG specification (OASIS, 3 December 2001); W3C XML Schema part 2 for the types.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from secretd.documents.shapes import ERROR, EVENT, REPLY, REQUEST, Attribute, Child, Shape

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<!-- Made by contrib/generate from the table of operations (secretd/operations.py): not to be edited. -->\n"
)
_GRAMMAR = (
    '<grammar xmlns="http://relaxng.org/ns/structure/1.0"'
    ' datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">'
    '<include href="grant.rng"><start>{start}</start></include>{definitions}</grammar>'
)


def request_schema() -> str:
    """Write the schema of requests."""
    content = _attributes(REQUEST) + _choice(REQUEST, "request")
    return _grammar(f'<element name="request">{content}</element>', _definitions(REQUEST, "request"))


def reply_schema() -> str:
    """Write the schema of replies: to a request by its serial, to what is no request by its ordinal."""
    results = Shape(children={name: child for name, child in REPLY.children.items() if name != "error"})
    serial, message = (_attribute(name, REPLY.attributes[name].scalar.rng) for name in ("serial", "message"))
    error = '<ref name="reply.error"/>'
    by_serial = f"<group>{serial}<choice>{_choices(results, 'reply')}{error}</choice></group>"
    by_ordinal = f"<group>{message}{error}</group>"
    start = f'<element name="reply"><choice>{by_serial}{by_ordinal}</choice></element>'
    error_definition = f'<define name="reply.error">{_element("error", ERROR)}</define>'
    return _grammar(start, _definitions(results, "reply") + error_definition)


def event_schema() -> str:
    """Write the schema of events."""
    return _grammar(f'<element name="event">{_choice(EVENT, "event")}</element>', _definitions(EVENT, "event"))


def _grammar(start: str, definitions: str) -> str:
    root = etree.fromstring(_GRAMMAR.format(start=start, definitions=definitions))
    etree.indent(root)
    return f"{_HEAD}{etree.tostring(root, encoding='unicode')}\n"


def _choice(shape: Shape, prefix: str) -> str:
    return f"<choice>{_choices(shape, prefix)}</choice>"


def _choices(shape: Shape, prefix: str) -> str:
    return "".join(f'<ref name="{prefix}.{name}"/>' for name in shape.children)


def _definitions(shape: Shape, prefix: str) -> str:
    return "".join(
        f'<define name="{prefix}.{name}">{_element(name, child.shape)}</define>'
        for name, child in shape.children.items()
    )


def _element(name: str, shape: Shape) -> str:
    if shape.definition:
        return f'<ref name="{shape.definition}"/>'
    return f'<element name="{name}">{_content(shape) or "<empty/>"}</element>'


def _content(shape: Shape) -> str:
    children = list(_children(shape))
    inner = "".join(children)
    if len(children) > 1:
        inner = f"<interleave>{inner}</interleave>"
    return _attributes(shape) + inner + (shape.text.rng if shape.text else "")


def _children(shape: Shape) -> Iterator[str]:
    for name, child in shape.children.items():
        element = _element(name, child.shape)
        wrap = _wrapper(child)
        yield f"<{wrap}>{element}</{wrap}>" if wrap else element


def _wrapper(child: Child) -> str | None:
    if child.many:
        return "zeroOrMore"
    return None if child.required else "optional"


def _attributes(shape: Shape) -> str:
    return "".join(_optional(name, attribute) for name, attribute in shape.attributes.items())


def _optional(name: str, attribute: Attribute) -> str:
    written = _attribute(name, attribute.scalar.rng)
    return written if attribute.required else f"<optional>{written}</optional>"


def _attribute(name: str, rng: str) -> str:
    return f'<attribute name="{name}">{rng}</attribute>'
