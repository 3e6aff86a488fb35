"""Drawing tables; the only module that imports rich, and imported only where a table is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

# As virsh draws: no frame, and a line under the headings.
_UNDERLINED = Box("    \n    \n----\n    \n    \n    \n    \n    \n", ascii=True)

# Wider than any row: a row that is cut or folded can't be copied.
_WIDTH = 1_000_000


def draw(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Draw rows.

    Args:
        headings: of the columns; all empty for a table without a head.
        rows: their cells, each printable on one line.
    """
    table = Table(box=_UNDERLINED, show_edge=False, show_header=any(headings))
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        # As Text, for a plain string would be read as markup.
        table.add_row(*map(Text, row))
    drawn = StringIO()
    Console(file=drawn, width=_WIDTH).print(table)
    return "".join(f"{line.rstrip()}\n" for line in drawn.getvalue().splitlines())
