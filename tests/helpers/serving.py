"""A server of our own connections in this process, over a service that a test makes up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from helpers.core import make_seal
from secretd.addresses import NATIVE_SOCKETS
from secretd.daemon.server import Server
from secretd.daemon.sockets import RuntimeDirectory
from secretd.doors.session import OpenSession
from secretd.model import Mode
from secretd.store.registry import open_store


async def _nothing() -> None:
    """Stand in for a service that has nothing to do once it is unsealed."""


@asynccontextmanager
async def serving(root: Path, door: OpenSession) -> AsyncIterator[Path]:
    """Serve ``door`` on a native socket below ``root``; gives its path, and drains at the end."""
    store = await open_store(f"sqlite://{root / 'store'}")
    try:
        with RuntimeDirectory(root / "run", Mode.SESSION) as runtime:
            server = Server(make_seal(root, store), _nothing)
            kind = NATIVE_SOCKETS[0]
            server.listen(runtime.listen(kind), kind, door)
            try:
                yield root / "run" / kind.name
            finally:
                async with asyncio.timeout(30):
                    await server.drain()
    finally:
        await store.close()
