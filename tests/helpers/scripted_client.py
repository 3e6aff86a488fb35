"""A client that answers from a script and keeps what it was asked: for tests of what stands before a client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from secretd.errors import SecretdError
from secretd.operations import Event, Reply, Request

Answer = Reply | BaseException


class ScriptedClient:
    """Takes the place of secretd.client.Client, made by calling it as the class would be."""

    def __init__(
        self, script: Mapping[type[Request[Any]], Sequence[Answer]], events: Sequence[Event | SecretdError] = ()
    ) -> None:
        self._answers = {asked: list(answers) for asked, answers in script.items()}
        self._events = events
        self.timeouts: list[float | None] = []
        self.paths: list[Path] = []
        self.requests: list[Request[Any]] = []

    def __call__(self, path: Path, *, timeout_s: float, descriptors: bool) -> Self:
        """Connect, as making a Client does; the CLI always asks for values by descriptor."""
        if not descriptors or timeout_s <= 0:
            raise AssertionError("values would travel as text, or nothing would be waited for")
        self.paths.append(path)
        return self

    def call(self, request: Request[Any]) -> Reply:
        """Give the next answer of the script for a request of this type."""
        self.requests.append(request)
        answer = self._answers[type(request)].pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        """Close, as often as it is asked for."""

    def events(self, timeout_s: float | None) -> Iterator[Event]:
        """Give the events of the script, and then let the time be over."""
        self.timeouts.append(timeout_s)
        for event in self._events:
            if isinstance(event, SecretdError):
                raise event
            yield event

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
