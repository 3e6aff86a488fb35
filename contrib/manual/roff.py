"""Markdown, as the pages of docs/ are written, to man(7), as groff and mandoc read it.

It knows what those pages use: headings, paragraphs, lists with "-", tables, fenced code, and within a line code, bold,
emphasis and links.  What it does not know it would print as it stands, and who reads the manual would see that.

Source: man(7) and mandoc_char(7) of mandoc; CommonMark 0.31.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from itertools import pairwise

_WIDTH = 78

_SPECIAL = {"\\": "\\e", "-": "\\-", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga", "'": "\\(aq", "\u2013": "\\(en"}
"""What would be printed as something else, and how it is spelt instead."""

_INLINE = re.compile(r"(`+)(?P<code>.+?)\1|\*\*(?P<bold>.+?)\*\*|\*(?P<emphasis>[^*]+)\*|\[(?P<text>[^\]]+)\]\([^)]*\)")
_BLOCK = re.compile(
    r"^```\w*\n(?P<code>[\s\S]*?)^```$"
    r"|^(?P<heading>#+ .+)$"
    r"|(?P<table>(?:^\|.*\n?)+)"
    r"|(?P<list>(?:^- .*\n?(?:^  .*\n?)*)+)"
    r"|(?P<paragraph>(?:^(?!```|#+ |\||- ).+\n?)+)",
    re.MULTILINE,
)


def sections_of(page: str) -> dict[str, str]:
    """Take a page apart at its headings of the second level; what stands before the first has the name ""."""
    parts = re.split(r"^## (.+)\n", page, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def roff(markdown: str) -> str:
    """Render blocks; headings of the third level become subsections, those above are left out."""
    lines = [line for found in _BLOCK.finditer(markdown) for line in _block(str(found.lastgroup), found)]
    # A heading begins a paragraph by itself.
    needed = [line for before, line in pairwise(["", *lines]) if line != ".PP" or not before.startswith(".SS")]
    return "".join(f"{line}\n" for line in needed)


def tagged(term: str, explained: str) -> str:
    """Render a term, in Markdown, and what it means, a text as it is: what a program's help says is no Markdown."""
    return "".join(f"{line}\n" for line in (".TP", inline(term), *_wrapped(escaped(" ".join(explained.split())))))


def inline(markdown: str) -> str:
    """Render the text of a line."""
    rendered, end = "", 0
    for found in _INLINE.finditer(markdown):
        rendered += escaped(markdown[end : found.start()]) + _styled(str(found.lastgroup), found)
        end = found.end()
    return rendered + escaped(markdown[end:])


def escaped(text: str) -> str:
    """Spell a text so that it is printed as it is."""
    spelt = "".join(_SPECIAL.get(char, char) for char in text)
    return "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in spelt)


def _styled(kind: str, found: re.Match[str]) -> str:
    if kind == "text":
        return inline(found[kind])
    font = "I" if kind == "emphasis" else "B"
    return f"\\f{font}{escaped(found[kind]) if kind == 'code' else inline(found[kind])}\\fR"


def _block(kind: str, found: re.Match[str]) -> Iterator[str]:
    text = found[kind]
    if kind == "code":
        yield from (".PP", ".RS 4", ".nf", *map(_unsteered, map(escaped, text.splitlines())), ".fi", ".RE")
    elif kind == "heading":
        if text.startswith("### "):
            yield f".SS {inline(text.removeprefix('### '))}"
    elif kind == "table":
        yield from _table([_cells(line) for line in text.splitlines()])
    elif kind == "list":
        for item in re.split(r"^- ", text, flags=re.MULTILINE)[1:]:
            yield from (".IP \\(bu 2", *_filled(item))
    else:
        yield from (".PP", *_filled(text))


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _table(rows: list[list[str]]) -> Iterator[str]:
    """Render each row as a term, its first cell, and what the others say of it, by their headings if they are many."""
    heads, _, *body = rows
    for term, *cells in body:
        yield from (".TP", inline(f"**{term}**" if "`" not in term else term))
        if len(cells) == 1:
            yield from _filled(cells[0])
        else:
            yield from _named(zip(heads[1:], cells, strict=True))


def _named(cells: Iterable[tuple[str, str]]) -> Iterator[str]:
    for number, (head, cell) in enumerate((head, cell) for head, cell in cells if cell):
        if number:
            yield ".br"
        yield from _filled(f"*{head}:* {cell}")


def _filled(markdown: str) -> list[str]:
    """Render a paragraph in lines that are easily read and compared."""
    return _wrapped(inline(" ".join(markdown.split())))


def _wrapped(rendered: str) -> list[str]:
    lines = textwrap.wrap(rendered, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [_unsteered(line) for line in lines]


def _unsteered(line: str) -> str:
    # A dot or a quote that begins a line would make it a request.
    return f"\\&{line}" if line.startswith((".", "'")) else line
