"""The oracle of the crash tests sees what it is there to see."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from helpers.load import State, Step, Worker, judge
from secretd import operations as ops
from secretd.model import Attributes, Digest, SecretValue, Usage, UsageType

SECRET, OTHER = UUID(int=1), UUID(int=2)
KNOWN = State(Attributes(Usage(UsageType.VOLUME, "/disk")), b"old", Digest("d" * 32))
CHANGED = State(Attributes(Usage(UsageType.VOLUME, "/disk")), b"new")
CHANGING = Step(ops.SetValue(SECRET, SecretValue(b"new")), SECRET, CHANGED)
TO_MEMORY = Step(ops.Delete(SECRET), SECRET, replace(KNOWN, attributes=Attributes(ephemeral=True)))
ALLOCATING = Step(ops.AllocateId("mine"), None, State(Attributes(description="mine")))
SEEN_CHANGED = replace(CHANGED, digest=Digest("e" * 32))
MINE = State(Attributes(description="mine"), None, Digest("f" * 32))


@pytest.mark.parametrize(
    ("in_flight", "seen", "made"),
    [
        pytest.param(None, {SECRET: KNOWN}, 0, id="as-answered"),
        pytest.param(CHANGING, {SECRET: KNOWN}, 0, id="not-made"),
        pytest.param(CHANGING, {SECRET: SEEN_CHANGED}, 1, id="made"),
        pytest.param(TO_MEMORY, {SECRET: KNOWN}, 0, id="not-moved"),
        pytest.param(TO_MEMORY, {}, 1, id="moved-and-gone"),
        pytest.param(ALLOCATING, {SECRET: KNOWN, OTHER: MINE}, 1, id="allocated-unnamed"),
    ],
)
def test_what_may_be(in_flight: Step | None, seen: dict[UUID, State], made: int) -> None:
    worker = Worker("worker", 1)
    worker.states, worker.in_flight = {SECRET: KNOWN}, in_flight
    assert judge([worker], seen) == (made, [])
    assert worker.states == seen


@pytest.mark.parametrize(
    ("in_flight", "seen"),
    [
        pytest.param(None, {}, id="lost"),
        pytest.param(CHANGING, {}, id="lost-while-changing"),
        pytest.param(None, {SECRET: SEEN_CHANGED}, id="changed-by-nobody"),
        pytest.param(None, {SECRET: replace(KNOWN, digest=Digest("e" * 32))}, id="another-digest"),
        pytest.param(CHANGING, {SECRET: replace(SEEN_CHANGED, attributes=Attributes())}, id="half-done"),
        pytest.param(CHANGING, {SECRET: replace(KNOWN, value=None)}, id="value-lost"),
        pytest.param(None, {SECRET: KNOWN, OTHER: MINE}, id="made-by-nobody"),
        pytest.param(ALLOCATING, {SECRET: KNOWN, OTHER: replace(MINE, value=b"v")}, id="half-allocated"),
    ],
)
def test_what_may_not_be(in_flight: Step | None, seen: dict[UUID, State]) -> None:
    worker = Worker("worker", 1)
    worker.states, worker.in_flight = {SECRET: KNOWN}, in_flight
    _, faults = judge([worker], seen)
    assert len(faults) == 1
