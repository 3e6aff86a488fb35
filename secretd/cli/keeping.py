"""The connection of a shell: one, kept over its commands, and made anew when the daemon was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from secretd.client import Client
from secretd.errors import RemoteProtocolError, SecretdError, UnreachableError
from secretd.operations import Whoami


class KeptConnection:
    """Holds at most one client; a context manager that closes it."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._client: Client | None = None

    def client(self, path: Path, connect: Callable[[Path], Client]) -> Client:
        """Give a client of the daemon that listens on ``path``.

        The one that is held is asked first whether anybody is still there: only so is a change never sent to a
        daemon that is gone, which would leave open whether it was made.

        Raises:
            SecretdError: as connecting does.
        """
        if self._client is None or self._path != path or not _answers(self._client):
            self.close()
            self._client, self._path = connect(path), path
        return self._client

    def close(self) -> None:
        """Let the connection go."""
        if self._client is not None:
            self._client.close()
        self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _answers(client: Client) -> bool:
    try:
        client.call(Whoami())
    except (UnreachableError, RemoteProtocolError):
        return False
    except SecretdError:
        pass  # a refusal is an answer
    return True
