"""A state of a secret: its digest is made once under each keyring, and is never another keyring's."""

from __future__ import annotations

from uuid import UUID

import pytest

from secretd.core.state import SecretState, digest_of, shown_of
from secretd.crypto.envelope import Domain
from secretd.crypto.keyring import Keyring
from secretd.model import Attributes

STATE = SecretState(UUID(int=7), Attributes(), 3, 4)


def fresh_digest(keyring: Keyring) -> str:
    return keyring.digest(STATE.id, STATE.counter, STATE.value_counter)


def test_a_digest_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    keyrings = {Domain.SHARED: Keyring.generate(Domain.SHARED)}
    expected = fresh_digest(keyrings[Domain.SHARED])
    assert digest_of(keyrings, STATE) == expected
    monkeypatch.setattr(Keyring, "digest", None)
    assert digest_of(keyrings, STATE) == expected


def test_it_is_that_of_the_keyring_in_use() -> None:
    first, other = Keyring.generate(Domain.SHARED), Keyring.generate(Domain.SHARED)
    for keyring in (first, other, first.rotated(), first):
        assert digest_of({Domain.SHARED: keyring}, STATE) == fresh_digest(keyring)


def test_a_state_is_the_same_whether_or_not_its_digest_was_asked_for() -> None:
    asked = SecretState(STATE.id, STATE.attributes, STATE.counter, STATE.value_counter)
    untouched = repr(asked)
    digest_of({Domain.SHARED: Keyring.generate(Domain.SHARED)}, asked)
    assert (asked, repr(asked)) == (SecretState(UUID(int=7), Attributes(), 3, 4), untouched)


def test_what_a_list_shows_is_made_for_lists_alone_and_once() -> None:
    state, keyrings = SecretState(UUID(int=7), Attributes(), 3, 4), {Domain.SHARED: Keyring.generate(Domain.SHARED)}
    digest = digest_of(keyrings, state)
    assert state.shown is None
    shown = shown_of(keyrings, state)
    assert shown.entry.digest == digest
    assert shown_of(keyrings, state) is shown


def test_what_a_list_shows_has_the_digest_of_the_keyring_in_use() -> None:
    state = SecretState(UUID(int=7), Attributes(), 3, 4)
    first, other = Keyring.generate(Domain.SHARED), Keyring.generate(Domain.SHARED)
    for keyring in (first, other, first):
        keyrings = {Domain.SHARED: keyring}
        assert shown_of(keyrings, state).entry.digest == fresh_digest(keyring)
        # Asked for by itself in between, it leaves nothing behind that was shown with another.
        digest_of({Domain.SHARED: Keyring.generate(Domain.SHARED)}, state)
