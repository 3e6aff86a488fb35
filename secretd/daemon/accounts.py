"""What each uid has of the daemon: its connections, its requests under way, its replies that nobody has read.

The rules it keeps:

- Root and the daemon's own user always get in, as long as there are descriptors: no other user, nor all of them
  together, can take what these need.
- A connection that has nothing under way is never held up by what others of its uid have: the sums bound what is
  kept, and starve nobody.

Source: DESIGN, "The native door": limits hold per uid from the first byte.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from weakref import WeakValueDictionary

from secretd import limits
from secretd.errors import BusyError
from secretd.operations import Bound


@dataclass(slots=True, eq=False, weakref_slot=True)
class Account:
    """What one uid has at this moment.

    Attributes:
        uid: whose it is.
        connections: that are open.
        requests: that wait for something, of all its connections.
        reply_bytes: that wait to be read, of all its connections.
    """

    uid: int
    connections: int = 0
    requests: int = 0
    reply_bytes: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether the uid has all that it may: connections with something of it under way get no more."""
        return (
            self.requests >= limits.REQUESTS_IN_FLIGHT_PER_UID or self.reply_bytes >= limits.REPLY_BYTES_WAITING_PER_UID
        )


class Accounts:
    """The accounts of all uids that have anything."""

    def __init__(self, own_uid: int, descriptors: int) -> None:
        """Begin without a connection.

        Args:
            own_uid: the daemon's.
            descriptors: how many the process may have.
        """
        self._trusted = frozenset({0, own_uid})
        self._most = descriptors - min(limits.DESCRIPTORS_RESERVED, descriptors // 2)
        self._most_of_others = min(limits.CONNECTIONS_OF_OTHERS, self._most // 2)
        self._all = 0
        self._of_others = 0
        # An account lives as long as a connection or a request that still waits: to connect anew makes none lighter.
        self._accounts: WeakValueDictionary[int, Account] = WeakValueDictionary()

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """How many connections there are."""
        return (
            Bound("connections", self._all, self._most),
            Bound("connections of others than root", self._of_others, self._most_of_others),
        )

    def open(self, uid: int) -> Account:
        """Let a connection of this uid in; gives its account.

        Raises:
            BusyError: there are too many, of this uid or in sum.
        """
        account = self._accounts.get(uid) or Account(uid)
        if uid not in self._trusted:
            if account.connections >= limits.CONNECTIONS_PER_UID:
                raise BusyError("you have too many connections: close one, and try again")
            if self._of_others >= self._most_of_others:
                raise BusyError("there are too many connections: try again later")
            self._of_others += 1
        elif self._all >= self._most:
            raise BusyError("there are too many connections: try again later")
        self._accounts[uid] = account
        account.connections += 1
        self._all += 1
        return account

    def close(self, account: Account) -> None:
        """Note that a connection has ended."""
        account.connections -= 1
        self._all -= 1
        if account.uid not in self._trusted:
            self._of_others -= 1


def raise_descriptor_limit() -> None:
    """Take as many descriptors as the process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
