"""What may befall keys and secrets alike: every rule, from every state, walked whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import pytest

from secretd import limits
from secretd.core import lifecycle as rules
from secretd.errors import InvalidRequestError, OperationInvalidError, QuotaError, ReferencedError, WrongStateError
from secretd.lifecycle import NOTHING_BEFELL, Lifecycle, OutOfUse, Reference, ReferenceKind

NOW, DAY_S = 1_800_000_000, 86_400
ACTIVE, ASSOCIATED = (Reference(kind.value, kind) for kind in ReferenceKind)
NAMES = {ACTIVE: "active", ASSOCIATED: "associated"}

STATES = {
    None: NOTHING_BEFELL,
    OutOfUse.ARCHIVED: Lifecycle(archived=1),
    OutOfUse.PENDING_DELETION: Lifecycle(archived=1, due=2),
}

Rule = Callable[[Lifecycle], Lifecycle | None]

RULES: dict[str, Rule] = {
    "archive": lambda before: rules.archive(before, NOW, shown=True),
    "restore": rules.restore,
    "schedule": lambda before: rules.schedule(before, NOW, 7, shown=True),
    "cancel": rules.cancel,
    "attach": lambda before: rules.attach(before, ACTIVE),
    "associate": lambda before: rules.attach(before, ASSOCIATED),
    "detach": lambda before: rules.detach(before, "associated"),
    "protect": lambda before: rules.protect(before, protected=True),
    "unprotect": lambda before: rules.protect(before, protected=False),
    "use": rules.require_in_use,
    "open": rules.require_openable,
    "delete": lambda before: rules.require_unneeded(before, shown=True),
}

ALLOWED: dict[str, set[OutOfUse | None]] = {
    "archive": {None},
    "restore": {OutOfUse.ARCHIVED},
    "schedule": {None, OutOfUse.ARCHIVED},
    "cancel": {OutOfUse.PENDING_DELETION},
    "attach": {None},
    "associate": {None, OutOfUse.ARCHIVED},
    "detach": {None, OutOfUse.ARCHIVED},
    "protect": {None, OutOfUse.ARCHIVED},
    "unprotect": {None, OutOfUse.ARCHIVED},
    "use": {None},
    "open": {None, OutOfUse.ARCHIVED},
    "delete": set(STATES),
}
"""From which states each rule is not refused with wrong-state. Source: docs/keys.md."""

STOPPED_BY = {"archive": {ACTIVE}, "schedule": {ACTIVE, ASSOCIATED}, "delete": {ACTIVE, ASSOCIATED}}
"""Which references stand against each rule."""

NOT_OF_PROTECTED = ("schedule", "delete")


def _every_lifecycle() -> Iterator[Lifecycle]:
    for state, protected, references in product(
        STATES.values(), (False, True), ((), (ACTIVE,), (ASSOCIATED,), (ACTIVE, ASSOCIATED))
    ):
        yield replace(state, protected=protected, references=references)


EVERY_LIFECYCLE = list(_every_lifecycle())


def id_of(lifecycle: Lifecycle) -> str:
    state = lifecycle.out_of_use.value if lifecycle.out_of_use else "in-use"
    return "-".join([state, *["protected"] * lifecycle.protected, *map(NAMES.__getitem__, lifecycle.references)])


def expected_error(name: str, before: Lifecycle) -> type[Exception] | None:
    if before.out_of_use not in ALLOWED[name]:
        return WrongStateError
    if STOPPED_BY.get(name, set()) & set(before.references):
        return ReferencedError
    if before.protected and name in NOT_OF_PROTECTED:
        return OperationInvalidError
    if name == "detach" and ASSOCIATED not in before.references:
        return InvalidRequestError
    return None


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("before", EVERY_LIFECYCLE, ids=id_of)
def test_what_is_refused_and_what_is_not(name: str, before: Lifecycle) -> None:
    error = expected_error(name, before)
    if error is None:
        RULES[name](before)
        return
    with pytest.raises(error) as raised:
        RULES[name](before)
    assert type(raised.value) is error


@pytest.mark.parametrize("before", EVERY_LIFECYCLE, ids=id_of)
def test_what_becomes_of_it(before: Lifecycle) -> None:
    references = before.references
    expected = {
        "archive": replace(before, archived=NOW),
        "restore": replace(before, archived=None),
        "schedule": replace(before, due=NOW + 7 * DAY_S),
        "cancel": replace(before, due=None),
        "attach": replace(before, references=tuple(sorted({*references, ACTIVE}, key=lambda one: one.consumer))),
        "associate": replace(before, references=tuple(sorted({*references, ASSOCIATED}, key=lambda one: one.consumer))),
        "detach": replace(before, references=tuple(one for one in references if one != ASSOCIATED)),
        "protect": replace(before, protected=True),
        "unprotect": replace(before, protected=False),
    }
    for name, after in expected.items():
        if expected_error(name, before) is None:
            assert RULES[name](before) == after


@pytest.mark.parametrize("state", [one for one in STATES if one is not None])
def test_the_message_names_the_state(state: OutOfUse) -> None:
    with pytest.raises(WrongStateError, match=state.value.replace("-", " ")):
        rules.require_in_use(STATES[state])


def test_what_cannot_be_brought_back_says_that_nothing_befell_it() -> None:
    for rule in (rules.restore, rules.cancel):
        with pytest.raises(WrongStateError, match="neither archived nor waits for its deletion"):
            rule(NOTHING_BEFELL)


@pytest.mark.parametrize("name", ["archive", "schedule", "delete"])
def test_consumers_are_named_to_who_may_see_them(name: str) -> None:
    before = Lifecycle(references=(Reference("a", ReferenceKind.ACTIVE), Reference("b", ReferenceKind.ACTIVE)))
    with pytest.raises(ReferencedError, match="needed by a, b"):
        RULES[name](before)
    hidden: dict[str, Rule] = {
        "archive": lambda before: rules.archive(before, NOW, shown=False),
        "schedule": lambda before: rules.schedule(before, NOW, 7, shown=False),
        "delete": lambda before: rules.require_unneeded(before, shown=False),
    }
    with pytest.raises(ReferencedError) as told:
        hidden[name](before)
    assert told.value.message == "somebody needs it"


def test_archiving_names_only_those_who_stand_against_it() -> None:
    before = Lifecycle(references=(Reference("a", ReferenceKind.ASSOCIATED), Reference("b", ReferenceKind.ACTIVE)))
    with pytest.raises(ReferencedError, match=r"needed by b$"):
        RULES["archive"](before)


def test_to_attach_again_changes_how_and_nobody_is_there_twice() -> None:
    again = Reference(ACTIVE.consumer, ReferenceKind.ASSOCIATED)
    once = rules.attach(NOTHING_BEFELL, ACTIVE)
    assert rules.attach(once, again).references == (again,)


def test_an_object_has_so_many_consumers_and_no_more() -> None:
    full = NOTHING_BEFELL
    for number in range(limits.REFERENCES):
        full = rules.attach(full, Reference(f"{number:03}", ReferenceKind.ACTIVE))
    with pytest.raises(QuotaError, match=str(int(limits.REFERENCES))):
        rules.attach(full, Reference("one-more", ReferenceKind.ACTIVE))
    # One that is there already is none more.
    rules.attach(full, Reference("000", ReferenceKind.ASSOCIATED))


@pytest.mark.parametrize("days", [-1, 0, limits.WINDOW_DAYS_LEAST - 1, limits.WINDOW_DAYS + 1, 2**40])
def test_a_window_that_is_too_short_or_too_long(days: int) -> None:
    with pytest.raises(InvalidRequestError, match="7 to 30 days"):
        rules.schedule(NOTHING_BEFELL, NOW, days, shown=True)


@pytest.mark.parametrize("consumer", ["", "a b", "a\n", "é", "\x7f", "a" * (limits.CONSUMER_CHARACTERS + 1)])
def test_what_is_no_name_of_a_consumer(consumer: str) -> None:
    with pytest.raises(InvalidRequestError, match="printable characters of ASCII"):
        Reference(consumer, ReferenceKind.ACTIVE)


def test_what_is_pending_and_archived_is_pending() -> None:
    assert Lifecycle(archived=1, due=2).out_of_use is OutOfUse.PENDING_DELETION
    assert Lifecycle(due=2).out_of_use is OutOfUse.PENDING_DELETION
    assert Lifecycle(archived=1).out_of_use is OutOfUse.ARCHIVED
    assert NOTHING_BEFELL.out_of_use is None
