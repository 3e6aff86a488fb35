"""What a libvirt client wants to be told, and how it is told.

A registration is for one kind of event, and for all secrets or one.  It has a number that comes with each event.

Source: docs/libvirt.md, "Events"; libvirt's daemon, 12.8, as it answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from secretd import limits
from secretd.doors.libvirt_errors import internal_error, invalid_argument
from secretd.errors import LibvirtDomain
from secretd.model import Usage
from secretd.operations import Event, SecretChanged, SecretDefined, SecretDeleted, ValueChanged
from secretd.wire import libvirt_bodies as bodies
from secretd.wire.libvirt import message
from secretd.wire.libvirt_procedures import USAGE_NUMBERS, EventId, LifecycleEvent, Procedure

_NO_USAGE = 0

_Wanted = tuple[int, UUID | None]
"""The kind of event, and the secret; None for all."""


def secret_ref(secret: UUID, usage: Usage | None) -> bytes:
    """Write how libvirt names a secret: by its id, and what it is for."""
    if usage is None:
        return bodies.secret(secret.bytes, _NO_USAGE, b"")
    return bodies.secret(secret.bytes, USAGE_NUMBERS[usage.type], usage.id.encode())


class Callbacks:
    """The registrations of one connection."""

    def __init__(self, ids: Iterator[int]) -> None:
        """Begin with none; ``ids`` numbers them."""
        self._ids = ids
        self._registered: dict[int, _Wanted] = {}
        self._numbers: dict[_Wanted, int] = {}

    @property
    def any(self) -> bool:
        """Whether there are some."""
        return bool(self._registered)

    def register(self, event_id: int, secret: UUID | None) -> int:
        """Register for a kind of event of one secret, there or not, or of all; gives the registration's number.

        Raises:
            LibvirtError: there is no such kind, it is registered already, or there are too many.
        """
        if event_id not in (EventId.LIFECYCLE, EventId.VALUE_CHANGED):
            raise internal_error("there are no events of this kind")
        wanted = event_id, secret
        if wanted in self._numbers:
            raise invalid_argument("this is registered already", LibvirtDomain.NONE)
        if len(self._registered) >= limits.LIBVIRT_CALLBACKS:
            raise internal_error(f"a connection may register at most {limits.LIBVIRT_CALLBACKS} times")
        number = next(self._ids)
        self._registered[number] = wanted
        self._numbers[wanted] = number
        return number

    def deregister(self, number: int) -> None:
        """End a registration.

        Raises:
            LibvirtError: there is none with this number.
        """
        wanted = self._registered.pop(number, None)
        if wanted is None:
            raise internal_error("nothing is registered under this number")
        del self._numbers[wanted]

    def messages(self, event: Event) -> Iterator[bytes]:
        """Write an event, once for each registration that it is for."""
        if isinstance(event, SecretDeleted):
            yield from self._lifecycle(event.secret, event.usage, LifecycleEvent.UNDEFINED)
        elif isinstance(event, SecretDefined | SecretChanged):
            yield from self._lifecycle(event.secret, event.usage, LifecycleEvent.DEFINED)
        if isinstance(event, ValueChanged) or (isinstance(event, SecretDefined) and event.has_value):
            # At the native door a secret can come to be with its value: to libvirt these are two steps.
            ref = secret_ref(event.secret, event.usage)
            for number in self._wanting(EventId.VALUE_CHANGED, event.secret):
                yield message(Procedure.SECRET_EVENT_VALUE_CHANGED, bodies.value_changed_event(number, ref))

    def _lifecycle(self, secret: UUID, usage: Usage | None, what: LifecycleEvent) -> Iterator[bytes]:
        ref = secret_ref(secret, usage)
        for number in self._wanting(EventId.LIFECYCLE, secret):
            yield message(Procedure.SECRET_EVENT_LIFECYCLE, bodies.lifecycle_event(number, ref, what, 0))

    def _wanting(self, event_id: EventId, secret: UUID) -> list[int]:
        """Give the registrations that an event is for, the oldest first."""
        found = (self._numbers.get((event_id, whose)) for whose in (None, secret))
        return sorted(number for number in found if number is not None)
