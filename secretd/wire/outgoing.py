"""What is on its way out through a Unix socket: bytes, and the descriptor that goes with the first of them.

Beside memfd.py this is the module of wire/ that makes a system call: which bytes a descriptor travels with is a rule of
the protocol, and sendmsg is where it is kept.

Source: unix(7); docs/protocol.md, "Which message a descriptor belongs to".
"""

from __future__ import annotations

import os
import socket
from array import array
from dataclasses import dataclass, field

_NOTHING = memoryview(b"")


@dataclass(slots=True)
class Outgoing:
    """One message on its way: what of it is not yet sent.

    Attributes:
        rest: the bytes still to be sent, framed.
        descriptor: goes with the first of the bytes, and is closed once it has.
    """

    rest: memoryview = field(repr=False)
    descriptor: int | None = None

    def send_some(self, connection: socket.socket) -> None:
        """Send as much as the socket takes; the descriptor goes with the first bytes, and with no other message's.

        Raises:
            OSError: as sendmsg(2) says.
        """
        if self.descriptor is None:
            sent = connection.send(self.rest, socket.MSG_NOSIGNAL)
        else:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [self.descriptor]))]
            sent = connection.sendmsg([self.rest], ancillary, socket.MSG_NOSIGNAL)
            self.close()
        # An empty part of the message would keep all of it, as long as anybody looks whether it was sent.
        self.rest = self.rest[sent:] or _NOTHING

    def close(self) -> None:
        """Close the descriptor if it is still here."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
