"""Random conversations come to the same with libvirtd and with secretd; contrib/conformance is the same at length."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from helpers.libvirt_both import Both, Call, Pair, both_clients
from helpers.libvirt_random import CONVERSATIONS, converse

EXAMPLES = 150


@pytest.fixture(scope="module")
def both_for_long(request: pytest.FixtureRequest) -> Iterator[Both]:
    pair: Pair = request.getfixturevalue("session_pair" if os.geteuid() else "system_pair")
    with both_clients(pair) as both:
        yield both


@given(calls=CONVERSATIONS)
@settings(max_examples=EXAMPLES)
def test_random_conversations_come_to_the_same(both_for_long: Both, calls: list[Call]) -> None:
    converse(both_for_long, calls)
