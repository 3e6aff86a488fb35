"""What the daemon tells the service manager: that it is ready, reads its configuration again, stops, and lives.

One datagram of NAME=VALUE lines each time.  A manager that cannot be told is no reason to end: the log says so.  The
sign of life is sent by the event loop, so that a loop which is stuck sends none, and the manager ends the daemon.

Source: sd_notify(3), "Well-known assignments"; sd_watchdog_enabled(3).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Self

from secretd import limits
from secretd.errors import ConfigError

_log = logging.getLogger(__name__)


class Manager:
    """The service manager; where there is none, nobody is told anything."""

    def __init__(self, address: bytes | None, watchdog_s: float | None) -> None:
        """Know where the manager is.

        Args:
            address: of its socket, as the kernel has it; None if there is no manager.
            watchdog_s: in what time it wants a sign of life; None if it wants none.
        """
        self._address = address
        self._watchdog_s = watchdog_s

    @classmethod
    def take(cls, environment: MutableMapping[str, str]) -> Self:
        """Take what the manager said of itself out of the environment, so that no child speaks for the daemon.

        Raises:
            ConfigError: it cannot be understood.
        """
        address = environment.pop("NOTIFY_SOCKET", "")
        interval, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        # Without a pid it is for whoever reads it; another's is not for us.
        ours = pid in {"", str(os.getpid())}
        return cls(_address(address) if address else None, _seconds(interval) if interval and ours else None)

    async def ready(self, status: str) -> None:
        """Say that the daemon serves, or does so again after it read its configuration; and a line for people."""
        await self._tell("READY=1", f"STATUS={status}")

    async def status(self, status: str) -> None:
        """Say a line for people, and nothing else."""
        await self._tell(f"STATUS={status}")

    async def reloading(self) -> None:
        """Say that the daemon reads its configuration; ``ready`` ends it."""
        await self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1_000}", "STATUS=Reading settings")

    async def stopping(self) -> None:
        """Say that the daemon is about to end."""
        await self._tell("STOPPING=1", "STATUS=Answering what was taken")

    async def keep_alive(self) -> None:
        """Give a sign of life in half the time it is wanted in, until cancelled."""
        while self._watchdog_s is not None:
            await self._tell("WATCHDOG=1")
            await asyncio.sleep(self._watchdog_s / 2)

    async def _tell(self, *assignments: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.connect(self._address)
                async with asyncio.timeout(limits.NOTIFY_SECONDS):
                    # A datagram goes whole or not at all. Clients are served while a slow manager is waited for.
                    await asyncio.get_running_loop().sock_sendall(sender, "\n".join(assignments).encode())
        except OSError as error:
            reason = error.strerror or "it takes nothing"
            _log.warning("the service manager cannot be told", extra={"said": assignments[0], "reason": reason})


def _address(text: str) -> bytes:
    address = os.fsencode(text)
    if address.startswith(b"/"):
        return address
    if address.startswith(b"@") and len(address) > 1:
        return b"\0" + address[1:]
    raise ConfigError("NOTIFY_SOCKET is neither an absolute path nor an abstract name (@...)")


def _seconds(text: str) -> float:
    try:
        microseconds = int(text)
    except ValueError:
        microseconds = 0
    if microseconds <= 0:
        raise ConfigError("WATCHDOG_USEC is not a number of microseconds")
    return microseconds / 1_000_000
