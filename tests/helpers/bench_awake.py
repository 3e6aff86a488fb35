"""Processors that do not sleep, so that a figure says what the daemon takes, and not what it takes to wake a processor.

Beside each processor's work runs a loop of the lowest class there is: it gives way to everything else, at once.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def processors_awake() -> Iterator[None]:
    """Keep all processors that this process may use from sleeping."""
    with ExitStack() as held:
        for processor in os.sched_getaffinity(0):
            loop = multiprocessing.get_context("fork").Process(target=_run, args=(processor,), daemon=True)
            loop.start()
            held.callback(loop.join)
            held.callback(loop.kill)
        yield


def _run(processor: int) -> None:
    os.sched_setaffinity(0, {processor})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while True:
        pass
