"""The one way in which text becomes part of an XML document.

Text is written as libvirt writes it (virBufferEscapeString), quotation marks too, so that its clients and ours see
the same document.  The longest escape has six bytes, on which limits.DESCRIPTION_BYTES counts.  A carriage return
becomes a character reference, for a parser must turn a bare one into a line feed (XML 1.0, section 2.11).
"""

from __future__ import annotations

import re

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", '"': "&quot;", "\r": "&#13;"})
_SPECIAL = re.compile("[&<>'\"\r]")
"""Most texts have none of them, which is told sooner than the same text is written anew."""

_ATTRIBUTE_ESCAPES = _ESCAPES | str.maketrans({"\t": "&#9;", "\n": "&#10;"})


def escape(text: str) -> str:
    """Write a text as the content of an element, so that reading it gives the same text.

    Args:
        text: of characters that XML can carry (model.check_text refuses all others).
    """
    return text.translate(_ESCAPES) if _SPECIAL.search(text) else text


def escape_attribute(text: str) -> str:
    """Write a text as the value of an attribute; a parser would make spaces of bare white space (the same, 3.3.3)."""
    return text.translate(_ATTRIBUTE_ESCAPES)
