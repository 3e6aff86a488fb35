"""A daemon that speaks libvirt's RPC, whichever it is: where it listens, and whom its clients must be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.users import as_user
from secretd.model import Mode


@dataclass(frozen=True, slots=True)
class Target:
    """One daemon under comparison.

    Attributes:
        name: for messages.
        mode: whom it serves; decides the URI.
        socket, socket_ro: where it listens; in session mode a libvirtd has no second socket.
        token: the file of the system token.
        uid: whom its clients are.
    """

    name: str
    mode: Mode
    socket: Path
    socket_ro: Path | None
    token: Path
    uid: int

    @property
    def uri(self) -> str:
        """The URI that an OPEN carries."""
        return f"secret:///{self.mode.value}"

    @property
    def client_prefix(self) -> Sequence[str]:
        """What a command that is a client begins with."""
        return () if self.uid == os.geteuid() else as_user(self.uid)

    def client_uri(self, *, read_only: bool = False) -> str:
        """Make the URI by which libvirt's own clients find the socket."""
        path = self.socket_ro if read_only and self.socket_ro else self.socket
        return f"{self.uri}?socket={path}"
