"""Showing on standard error that something takes its time, to whoever sits at a terminal, and to nobody else.

rich draws it, and takes it away when it is over: what came of it is what stays.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from secretd.cli.colours import is_smart, wanted


@contextmanager
def no_progress() -> Iterator[Callable[[int], None]]:
    """Take what is told of progress, and show nothing."""
    yield lambda _: None


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar that fills, or if nobody knows how much there is to do, a spinner and the time it has been at it.

    Args:
        what: is done, in a few words.
        total: how much there is to do, in any unit; None if nobody knows.

    Yields:
        What is told how much more is done now.
    """
    if not is_smart(sys.stderr):
        with no_progress() as advance:
            yield advance
        return
    # rich takes longer to import than all the rest of secretctl.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    measure = (SpinnerColumn("line"),) if total is None else (BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True, no_color=not wanted(sys.stderr))
    columns = (TextColumn("{task.description}", markup=False), *measure, TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda more: shown.advance(task, more)
