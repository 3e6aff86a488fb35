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


def _new_parser() -> etree.XMLParser[etree._Element]:
    return etree.XMLParser(
        encoding="utf-8",
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
    etree.fromstring(b"<nothing/>", _PARSER)
    etree.clear_error_log()
    raise InvalidXmlError(f"line {line}: not well-formed XML")


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
        if fault:
            raise fault


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
