"""The signals that a daemon listens to: those that end it, and the one that has it read its configuration again."""

from __future__ import annotations

import asyncio
import signal

_STOP = (signal.SIGTERM, signal.SIGINT)
_RELOAD = signal.SIGHUP


class Signals:
    """What signals have asked for.

    Attributes:
        stop: is set once the daemon is to end.
        reload: is set when the configuration is to be read again.
    """

    def __init__(self) -> None:
        """Begin to listen, on the running loop."""
        self.stop = asyncio.Event()
        self.reload = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _STOP:
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(_RELOAD, self.reload.set)

    @staticmethod
    def ignore() -> None:
        """Ignore them from now on.

        The loop is about to give them back their defaults, and a second SIGTERM would then end us half way.
        """
        for number in (*_STOP, _RELOAD):
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
