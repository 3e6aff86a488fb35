"""Events: who is told that a secret was defined, changed, given a value or deleted.

An event is born when its change is durable, in the step of the event loop in which the change is answered, and told in
later steps: so on one connection the answer comes first.  What this module tells is operations.EVENTS; how a
listener writes it down, and what it does with a peer who does not read, is the listener's business.

The rules it keeps:

- Who may not getattr a secret, neither before a change nor after it, hears nothing of the change.  For who may only
  after it the secret is new, for who may only before it the secret is gone.
- All subscribers are told the same changes in the same order, the one of the commits.
- Whoever may have missed something is told so: after a change whose outcome nobody knows, and when too many wait.
- Without a subscriber a change costs nothing here; with many, telling them takes turns with everything else.

Source: docs/protocol.md, "Events".
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from secretd import limits
from secretd import operations as ops
from secretd.core.access import EVERYTHING, Access, Target
from secretd.core.state import SecretState, said_of
from secretd.errors import InvalidRequestError, SecretdError, StoreOutcomeUnknownError
from secretd.model import Caller, Digest, Permission
from secretd.store.base import RevisionConflict

_LOST = ops.EventsLost()
_EVERYONE: Mapping[tuple[bool, bool], ops.Event] = {(False, False): _LOST}


class Listener(ABC):
    """Who is told of events, and waits for answers: one connection of a door."""

    gone = False
    """Whether the connection has ended: then nobody waits any more."""

    @abstractmethod
    def tell(self, events: Sequence[ops.Event]) -> None:
        """Take in events, in their order. It never waits: of what there is no room for, the loss is told."""


@dataclass(frozen=True, slots=True)
class _News:
    """What happened, as each subscriber is told it.

    Attributes:
        number: counts what happened.
        secret: to which; None for a loss.
        before, after: what it was and what it is, as access judges it; None where it did not or does not exist.
        told: the event, by whether the subscriber may see the secret before and after; no row for no event.
        concerned: whom it concerns; None for all.
    """

    number: int
    secret: UUID | None = None
    before: Target | None = None
    after: Target | None = None
    told: Mapping[tuple[bool, bool], ops.Event] = field(default_factory=lambda: _EVERYONE)
    concerned: frozenset[Listener] | None = None


@dataclass(slots=True, eq=False)
class _Subscription:
    """What one listener wants to be told.

    Attributes:
        caller: as whom he is judged.
        since: the secrets, None for all, and the number of what had happened last when he asked for them.
    """

    caller: Caller
    since: dict[UUID | None, int] = field(default_factory=dict)

    def wants(self, news: _News) -> bool:
        """Whether he asked, before it happened, to be told."""
        keys = self.since if news.secret is None else (None, news.secret)
        return any(self.since.get(key, news.number) < news.number for key in keys)


class Events:
    """All subscriptions of one daemon, and what is still to be told."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._subscriptions: dict[Listener, _Subscription] = {}
        self._number = 0
        self._waiting: deque[_News] = deque()
        self._round: tuple[_News, ...] = ()
        self._not_told: deque[Listener] = deque()
        self._telling = False

    def subscribe(self, caller: Caller, listener: Listener, secret: UUID | None) -> None:
        """Tell a listener of what happens from now on, to one secret or to all; twice is once.

        Raises:
            InvalidRequestError: he has as many subscriptions as he may.
        """
        subscription = self._subscriptions.get(listener) or _Subscription(caller)
        if secret is not None and len(subscription.since.keys() - {None, secret}) >= limits.SUBSCRIBED_SECRETS:
            raise InvalidRequestError(
                f"a connection may subscribe to at most {limits.SUBSCRIBED_SECRETS} secrets, or to all of them"
            )
        subscription.since.setdefault(secret, self._number)
        self._subscriptions[listener] = subscription

    def unsubscribe(self, listener: Listener, secret: UUID | None = None) -> None:
        """End a subscription to one secret, or all of a listener's; there need not be any."""
        subscription = self._subscriptions.get(listener)
        if subscription is None:
            return
        subscription.since.pop(secret, None)
        if secret is None or not subscription.since:
            del self._subscriptions[listener]

    def changed(self, before: SecretState | None, after: SecretState | None, digest: Digest | None) -> None:
        """Note that a change was made, and is durable.

        Args:
            before, after: what the secret was and what it is; None where it did not or does not exist.
            digest: of what it is.
        """
        if not self._subscriptions:
            return
        told: dict[tuple[bool, bool], ops.Event] = {}
        if before is not None:
            told[True, False] = ops.SecretDeleted(before.id, before.attributes.usage)
        if after is not None and digest is not None:
            told[False, True] = ops.SecretDefined(*said_of(after, digest))
            told[True, True] = _kind_of_change(before, after)(*said_of(after, digest))
        state = after or before
        if state is None:
            raise RuntimeError("nothing happened to nothing")
        self._number += 1
        self._add(
            _News(self._number, state.id, before.target if before else None, after.target if after else None, told)
        )

    def lost(self) -> None:
        """Note that something may have happened that nobody can be told."""
        if self._subscriptions:
            self._number += 1
            self._add(_News(self._number))

    def regranted(self, concerns: Callable[[Caller], bool]) -> None:
        """Note that some callers may see other secrets now, though no secret was changed: they have to list them anew.

        Args:
            concerns: whether grants say that a caller is one of them. Who needs none sees all that there are anyway.
        """
        concerned = frozenset(
            one
            for one, wanted in self._subscriptions.items()
            if concerns(wanted.caller) and not self._access.owns(wanted.caller, Permission.GETATTR, EVERYTHING)
        )
        if concerned:
            self._number += 1
            self._add(_News(self._number, concerned=concerned))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note a loss if the change that is made here ends without anybody's knowing whether it was made."""
        try:
            yield
        except BaseException as error:
            known = isinstance(error, SecretdError | RevisionConflict)
            if not known or isinstance(error, StoreOutcomeUnknownError):
                self.lost()
            raise

    def _add(self, news: _News) -> None:
        if len(self._waiting) >= limits.EVENTS_BACKLOG:
            # A list is all that helps now, and it says what these would have.
            self._waiting.clear()
            news = _News(news.number)
        self._waiting.append(news)
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Tell some of the listeners, and leave the others for the next turn."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + limits.TELLING_MILLISECONDS / 1_000
        if not self._not_told:
            self._begin_round()
        try:
            while self._not_told:
                self._tell(self._not_told.popleft())
                if loop.time() > ends:
                    break
        finally:
            # Also after a listener that failed: the others are told.
            self._telling = bool(self._not_told or self._waiting)
            if self._telling:
                loop.call_soon(self._take_turn)

    def _begin_round(self) -> None:
        size = min(len(self._waiting), limits.EVENTS_PER_ROUND)
        self._round = tuple(self._waiting.popleft() for _ in range(size))
        self._not_told.extend(self._subscriptions)

    def _tell(self, listener: Listener) -> None:
        subscription = self._subscriptions.get(listener)
        if subscription is None:
            return
        concerning = (news for news in self._round if news.concerned is None or listener in news.concerned)
        events = [event for news in concerning if (event := self._event_for(subscription, news)) is not None]
        if events:
            listener.tell(events)

    def _event_for(self, subscription: _Subscription, news: _News) -> ops.Event | None:
        if not subscription.wants(news):
            return None
        event = news.told.get((self._sees(subscription, news.before), self._sees(subscription, news.after)))
        if event is None or event is _LOST:
            return event
        # It may have been taken from him since he subscribed.
        return event if self._access.allows(subscription.caller, Permission.SEARCH, None) else None

    def _sees(self, subscription: _Subscription, target: Target | None) -> bool:
        return target is not None and self._access.allows(subscription.caller, Permission.GETATTR, target)


def _kind_of_change(
    before: SecretState | None, after: SecretState
) -> type[ops.SecretDefined | ops.SecretChanged | ops.ValueChanged]:
    if before is None:
        return ops.SecretDefined
    # A change sets the attributes or the value; the value's counter may follow the attributes to another home.
    same = before.attributes == after.attributes and before.value_counter != after.value_counter
    return ops.ValueChanged if same else ops.SecretChanged
