"""The socket of a service manager, and what it is told."""

from __future__ import annotations

import socket

from helpers.daemon import DEADLINE_S


class FakeManager:
    """Stands in for systemd, as far as it is told something."""

    def __init__(self, address: str) -> None:
        """Bind the socket, at a path or an abstract name (@...)."""
        self.environment = {"NOTIFY_SOCKET": address}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE_S)
        self.socket.bind(address.replace("@", "\0"))

    def receive(self) -> dict[str, str]:
        """Wait for one datagram."""
        lines = self.socket.recv(4_096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def wait_for(self, name: str) -> dict[str, str]:
        """Wait for one that says this, whatever comes before it."""
        while name not in (said := self.receive()):
            pass
        return said
