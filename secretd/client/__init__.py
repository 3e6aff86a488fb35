"""The Python client of the native door, in two forms: Client blocks, AsyncClient is for asyncio.

Both send a request of secretd.operations and give its reply, or raise an error of secretd.errors:

    with Client(socket_path(Mode.SESSION)) as client:
        value = client.call(GetValue(secret)).value
"""

from secretd.client.address import default_mode, socket_path
from secretd.client.aio import AsyncClient
from secretd.client.sync import Client
from secretd.documents.secret import read_secret, write_secret

__all__ = ["AsyncClient", "Client", "default_mode", "read_secret", "socket_path", "write_secret"]
