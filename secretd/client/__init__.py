"""The Python client of the native door, in two forms: Client blocks, AsyncClient is for asyncio.

Both send a request of secretd.operations and give its reply, or raise an error of secretd.errors:

    with Client(socket_path(Mode.SESSION)) as client:
        value = client.call(GetValue(secret)).value
"""

from typing import TYPE_CHECKING

from secretd.addresses import default_mode
from secretd.client.address import socket_path
from secretd.client.sync import Client
from secretd.documents.grant import read_grant, write_grant
from secretd.documents.key import read_key, write_key
from secretd.documents.secret import read_secret, write_secret

if TYPE_CHECKING:
    from secretd.client.aio import AsyncClient
else:

    def __getattr__(name: str) -> object:
        """Import AsyncClient when it is first asked for: a program that blocks starts faster without asyncio."""
        if name != "AsyncClient":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from secretd.client.aio import AsyncClient  # noqa: PLC0415

        return AsyncClient


__all__ = [
    "AsyncClient",
    "Client",
    "default_mode",
    "read_grant",
    "read_key",
    "read_secret",
    "socket_path",
    "write_grant",
    "write_key",
    "write_secret",
]
