"""From bytes to a tree that a schema accepts: libxml2, kept on a short lead.

The parser opens nothing, resolves nothing, drops comments, and takes UTF-8 for granted, as the scan before it
did.  No text of libxml2 leaves this module, and what it wrote down about a refused document is overwritten,
because it may quote that document.
"""

from __future__ import annotations

from lxml import etree

from secretd import limits
from secretd.documents.diagnosis import explain
from secretd.documents.scan import scan
from secretd.documents.shapes import Shape
from secretd.documents.vocabulary import load_schema
from secretd.errors import InvalidDocumentError, InvalidXmlError

_NOTHING = etree.Element("nothing")


def _new_parser(*, recover: bool = False) -> etree.XMLParser[etree._Element]:
    return etree.XMLParser(
        encoding="utf-8",
        recover=recover,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        # An xml:id would be kept as long as a name is.
        collect_ids=False,
    )


_PARSER = _new_parser()
_LOOSE_PARSER = _new_parser(recover=True)
_ERRORS_TOLD = 100  # libxml2's XML_MAX_ERRORS: of one document it tells no more


def parse(body: bytes) -> etree._Element:
    """Make a tree of a document that scan() has passed.

    Raises:
        InvalidXmlError: libxml2 finds fault with it nonetheless (a prefix of no namespace, say).
    """
    try:
        return etree.fromstring(body, _PARSER)
    except etree.XMLSyntaxError as error:
        line = error.lineno
    # Outside the handler, so that the exception that may quote the document is not kept as the context of ours.
    _forget(_PARSER)
    raise InvalidXmlError(f"line {line}: not well-formed XML")


def parse_loosely(body: bytes) -> etree._Element:
    """Make a tree as parse() does, but pass over whatever is wrong with prefixes and namespaces alone.

    A prefix of no namespace is then a part of the name, as it is to libvirt.

    Raises:
        InvalidXmlError: libxml2 finds another fault, or so many that it does not tell them all.
    """
    try:
        root = etree.fromstring(body, _LOOSE_PARSER)
        line = _line_of_a_fault(_LOOSE_PARSER.error_log.filter_from_errors())
    except etree.XMLSyntaxError as error:
        line = error.lineno or 1
    _forget(_LOOSE_PARSER)
    if line is None:
        return root
    raise InvalidXmlError(f"line {line}: not well-formed XML")


def _line_of_a_fault(errors: etree._ListErrorLog) -> int | None:
    # What libxml2 recovered from may be left out of the tree: of a wrong prefix alone it is known that nothing is.
    faults = (entry.line for entry in errors if entry.domain != etree.ErrorDomains.NAMESPACE)
    return next(faults, errors[-1].line if len(errors) >= _ERRORS_TOLD else None)


def _forget(parser: etree.XMLParser[etree._Element]) -> None:
    etree.fromstring(b"<nothing/>", parser)
    etree.clear_error_log()


class Grammar:
    """A schema, ready to judge.

    Args:
        schema: the name of its file.
        root: the name of the element it is about.
        shape: what that element holds, to explain what is wrong.
    """

    def __init__(self, schema: str, root: str, shape: Shape) -> None:
        self._schema = etree.RelaxNG(load_schema(schema))
        self._root = root
        self._shape = shape

    def fault(self, root: etree._Element) -> InvalidDocumentError | None:
        """Judge a document; say what is wrong with it, if anything is."""
        if self._schema.validate(root):
            return None
        line = self._schema.error_log[0].line
        self._schema.validate(_NOTHING)
        etree.clear_error_log()
        return explain(root, self._root, self._shape, line)

    def check(self, root: etree._Element) -> None:
        """Refuse a document that the schema does not allow.

        Raises:
            InvalidDocumentError: names the line and the element.
        """
        fault = self.fault(root)
        try:
            if fault:
                raise fault
        finally:
            # It holds this frame once it was raised, and the frame the document: cut, so that both are freed now.
            del fault


def read_strictly(
    body: bytes, most_bytes: int, grammar: Grammar, most_elements: int = limits.DOCUMENT_ELEMENTS
) -> etree._Element:
    """Read a document that must be of our vocabulary, and as the schema says.

    Raises:
        InvalidXmlError: it is not well-formed, or holds what no document here may hold.
        InvalidDocumentError: the schema does not allow it.
    """
    unknown = scan(body, most_bytes, most_elements=most_elements).unknown
    if unknown:
        raise unknown.error()
    root = parse(body)
    grammar.check(root)
    return root
