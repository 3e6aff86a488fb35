"""The schemas as files, and all names that stand in them: no other name is known to a document of ours.

Element names and attribute names are kept apart.  The schemas are read from the package, wherever it is
installed, and never through libxml2's own loading of files.
"""

from __future__ import annotations

from importlib.resources import files

from lxml import etree

_RNG = "{http://relaxng.org/ns/structure/1.0}"
_SCHEMAS = ("secret.rng", "request.rng", "reply.rng", "event.rng", "key.rng", "grant.rng")


def load_schema(name: str) -> etree._Element:
    """Read a schema of the package, with what it includes put in its place.

    Source: RELAX NG specification, section 4.7: what the include itself defines stands for the included one.
    Of that the schemas use ``<start>`` only.
    """
    grammar = _read(name)
    for include in grammar.findall(f"{_RNG}include"):
        included = load_schema(include.attrib["href"])
        for start in included.findall(f"{_RNG}start"):
            included.remove(start)
        grammar.extend(list(included))
        grammar.extend(list(include))
        grammar.remove(include)
    return grammar


def _read(name: str) -> etree._Element:
    return etree.fromstring((files("secretd.schemas") / name).read_bytes())


def _names(kind: str) -> frozenset[str]:
    return frozenset(found.attrib["name"] for schema in _SCHEMAS for found in _read(schema).iter(f"{_RNG}{kind}"))


ELEMENTS = _names("element")
"""Every element that a document of ours may hold."""

ATTRIBUTES = _names("attribute")
"""Every attribute that a document of ours may hold."""
