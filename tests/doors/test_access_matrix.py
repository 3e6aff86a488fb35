"""Who may do what: operation by permission by scope by state of the secret by door, judged by docs/access.md.

Each case is one door and one scope.  Its connection is opened once, and the grants change under it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from uuid import UUID

import pytest

from helpers.access_calls import (
    ADMINISTRATION,
    BESIDE,
    BEYOND,
    OTHER,
    SECRET,
    STATES,
    SUBSCRIPTION,
    USAGE,
    VALUE,
    WITHIN,
    Door,
    LibvirtDoor,
    NativeDoor,
    Said,
    make,
    remove,
    requests_about,
)
from helpers.access_keys import KEY, about_keys
from helpers.access_page import ALLOWED, NEEDS, AnyRequest, Holder, Secrets, There, outcome, told
from helpers.asynchronous import run
from helpers.core import OWNER, Core, Told, open_granting_core
from helpers.model_store import ModelStore
from secretd import grantrequests as requests
from secretd import operations as ops
from secretd.core.access import Target
from secretd.grants import (
    OF_SECRETS,
    PERMISSIONS_OF,
    EverySecret,
    Grant,
    Principal,
    PrincipalKind,
    Scope,
    ThatSecret,
    UsageLike,
)
from secretd.lifecycle import Lifecycle, OutOfUse
from secretd.lifecyclerequests import SecretArchive, SecretProtect, SecretRestore, SecretUnprotect
from secretd.model import Attributes, Caller, Permission, SecretDocument, UsageType

# Coverage would make it three times as long, and the lines that it meets are met by other tests.
pytestmark = pytest.mark.no_cover

ALICE = Caller(uid=OWNER.uid + 1_000, gid=1, pid=1)
ROOT = replace(OWNER, elevated=True)

SCOPES: Mapping[str, Scope] = {
    "all": EverySecret(),
    "its id": ThatSecret(SECRET),
    "another id": ThatSecret(OTHER),
    "its type of usage": UsageLike(UsageType.CEPH),
    "no usage": UsageLike(UsageType.NONE),
    "a pattern that matches": UsageLike(UsageType.CEPH, "client.*"),
    "a pattern that does not": UsageLike(UsageType.CEPH, "osd.*"),
}

TOGETHER = ("getattr append save", "getattr write save", "getattr write save read-secure")
"""What changes need more than two of."""

_OF_SECRETS = [one for one in Permission if one in OF_SECRETS]

PERMISSIONS: Mapping[str, frozenset[Permission]] = {
    **{one.value: frozenset({one}) for one in _OF_SECRETS},
    **{f"{one.value} {other.value}": frozenset({one, other}) for one, other in combinations(_OF_SECRETS, 2)},
    **{names: frozenset(map(Permission, names.split())) for names in TOGETHER},
    **{f"the set {of.value}": permissions for of, permissions in PERMISSIONS_OF.items() if permissions <= OF_SECRETS},
}

DOORS: Mapping[str, tuple[type[NativeDoor | LibvirtDoor], bool]] = {
    "native": (NativeDoor, False),
    "native-ro": (NativeDoor, True),
    "libvirt": (LibvirtDoor, False),
    "libvirt-ro": (LibvirtDoor, True),
}


def grants_of(scope: Scope) -> Iterator[tuple[str, Grant]]:
    """Make a grant of each set of permissions, and one of all to somebody else."""
    for name, permissions in PERMISSIONS.items():
        if Permission.ADMIN not in permissions or scope == EverySecret():
            yield name, Grant("it", None, Principal(PrincipalKind.USER, ALICE.uid), permissions, (scope,))
    others = Principal(PrincipalKind.USER, ALICE.uid + 1)
    yield "nothing", Grant("it", None, others, PERMISSIONS["the set all"], (scope,))


class World:
    """The secrets that there are, put back in their places whenever one was changed."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.secrets: Secrets = {}
        self._before: object = None

    async def become(self, state: There | None) -> None:
        """Have the secret in a state, and the other beside it."""
        self.secrets = {OTHER: BESIDE} if state is None else {OTHER: BESIDE, SECRET: state}
        await self._put_back()

    async def _put_back(self) -> None:
        """Make all anew but the other, of whose digest answers may tell."""
        entries = {entry.secret for entry in (await self._core.call(ops.List(archived=True))).entries}
        for secret in entries - {OTHER}:
            await remove(self._core, secret)
        for secret, there in self.secrets.items():
            if secret not in entries & {OTHER}:
                await make(self._core, secret, there)
        self._before = await self._seen()

    async def put_back_if_changed(self) -> bool:
        """Whether a digest, a value or an id was another than before; it is no more."""
        changed = await self._seen() != self._before
        if changed:
            await self._put_back()
        return changed

    async def _seen(self) -> object:
        entries = (await self._core.call(ops.List(archived=True))).entries
        return entries, [await self._value_of(entry) for entry in entries]

    async def _value_of(self, entry: ops.Entry) -> bytes | None:
        if entry.out_of_use is OutOfUse.PENDING_DELETION:
            return None  # its digest tells whether it was changed
        return (await self._core.call(ops.GetValue(entry.secret), ROOT)).value.reveal() if entry.has_value else None


class Matrix:
    """The cells of one connection, and what was wrong in some."""

    def __init__(self, core: Core, door: Door) -> None:
        self._core = core
        self._door = door
        self._world = World(core)
        self._if_absent: dict[tuple[bytes, str], bytes] = {}
        self.wrong: list[str] = []
        self.tried = 0

    async def try_all(self, scope: Scope) -> None:
        """Try every state with every set of permissions in a scope."""
        said_in = {state: tuple(self._door.said(requests_about(there))) for state, there in STATES.items()}
        # Whatever is said of one that is there is said of one that is not, for comparison.
        said_in["absent"] = tuple({one.message: one for said in said_in.values() for one in said}.values())
        for state, said in said_in.items():
            await self._world.become(STATES[state])
            for name, grant in grants_of(scope):
                await self._core.call(requests.GrantAdd(grant, replace=True))
                await self._try_row(state, name, self._door.holder(grant), said)

    async def _try_row(self, state: str, name: str, holder: Holder, said: Sequence[Said]) -> None:
        judged = [(one, outcome(holder, one.request, self._world.secrets)) for one in said]
        # What is refused comes first, so that one look tells whether all of it left everything as it was.
        for one, expected in sorted(judged, key=lambda each: each[1] == ALLOWED):
            self.tried += 1
            where = f"{one.name}, {state}, with {name}"
            if expected == ALLOWED and await self._world.put_back_if_changed():
                self.wrong.append(f"{where}: what was refused before it changed something")
            answer = await self._door.ask(one.message)
            if self._door.told(answer) != self._door.answer_to(expected):
                self.wrong.append(f"{where}: {self._door.told(answer)}, and the page says {expected}")
            elif expected == ALLOWED:
                self.wrong += [f"{where}: {what}" async for what in self._wrong_in(one.request, answer, holder)]
            if not holder.sees(SECRET, self._world.secrets) and self._has_to_be_alike(one.request, expected):
                if_absent = self._if_absent.setdefault((one.message, name), answer)
                if answer != if_absent:
                    self.wrong.append(f"{where}: {answer!r}, and if it were not there {if_absent!r}")
        if await self._world.put_back_if_changed():
            self.wrong.append(f"{state}, with {name}: something that was refused changed something")

    async def _wrong_in(self, request: AnyRequest, answer: bytes, holder: Holder) -> AsyncIterator[str]:
        """Say what is wrong in the answer to what is allowed, and in what it did."""
        seen = holder.seen(self._world.secrets)
        if isinstance(request, ops.List | ops.Count) and not request.archived:
            seen = frozenset(one for one in seen if self._world.secrets[one].lifecycle.out_of_use is None)
        if isinstance(request, ops.List) and {one for one in (SECRET, OTHER) if self._door.shows(answer, one)} != seen:
            yield "another list than that of those who are seen"
        if isinstance(request, ops.Count) and self._door.counts(answer) != len(seen):
            yield f"{self._door.counts(answer)} are counted, and {len(seen)} are seen"
        if self._door.reveals(answer, VALUE) != isinstance(request, ops.GetValue):
            yield "a value where there should be none, or none where there should be one"
        changes = ops.BY_REQUEST[type(request)].audit is ops.AuditLevel.CHANGE and not _is_so_already(
            request, self._world.secrets.get(SECRET)
        )
        if await self._world.put_back_if_changed() != changes:
            yield "something was changed" if not changes else "nothing was changed"

    @staticmethod
    def _has_to_be_alike(request: AnyRequest, expected: str) -> bool:
        """Whether an answer has to be the same, byte by byte, whether or not there is a secret that is not seen."""
        if expected == ALLOWED:
            return isinstance(request, ops.List | ops.Count)
        return expected != "conflict"


def _is_so_already(request: AnyRequest, there: There | None) -> bool:
    """Whether a request asks for what is so already."""
    protected = there is not None and there.lifecycle.protected
    return isinstance(request, SecretProtect if protected else SecretUnprotect)


async def connect(core: Core, door: str) -> Door:
    """Connect by a door while something is granted."""
    kind, read_only = DOORS[door]
    connected = kind(core, replace(ALICE, read_only=read_only))
    _, grant = next(grants_of(EverySecret()))
    await core.call(requests.GrantAdd(grant, replace=True))
    await connected.open()
    return connected


def in_core(root: Path, test: Callable[[Core], Awaitable[None]]) -> None:
    async def with_core() -> None:
        async with open_granting_core(root, await ModelStore.open("")) as core:
            await test(core)

    run(with_core())


def test_the_matrix_and_the_page_have_every_operation() -> None:
    about_secrets = (*requests_about(None).values(), *SUBSCRIPTION.values())
    asked = (*about_secrets, *about_keys(KEY).values(), *ADMINISTRATION.values())
    assert {type(request) for request in asked} == set(ops.BY_REQUEST)
    assert set(NEEDS) == set(ops.BY_NAME)


def test_the_page_asks_for_what_the_table_of_operations_does_before_a_document_is_parsed() -> None:
    """Who holds write holds append, and so on, so the least that the page asks for in any case is the table's."""
    more = (Permission.WRITE, Permission.GENERATE)
    least = {name: min(rows.values(), key=lambda need: need.permission in more) for name, rows in NEEDS.items()}
    assert {name: need.permission for name, need in least.items()} == {
        operation.name: operation.permission for operation in ops.OPERATIONS
    }


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("door", DOORS)
def test_each_request_has_the_outcome_that_the_page_says(tmp_path: Path, door: str, scope: str) -> None:
    async def test(core: Core) -> None:
        matrix = Matrix(core, await connect(core, door))
        await matrix.try_all(SCOPES[scope])
        assert not matrix.wrong, "\n".join([f"{len(matrix.wrong)} of {matrix.tried}:", *matrix.wrong[:40]])

    in_core(tmp_path, test)


@pytest.mark.parametrize("door", ["native", "native-ro"])
def test_administration_is_for_administrators(tmp_path: Path, door: str) -> None:
    async def test(core: Core) -> None:
        connected = await connect(core, door)
        wrong = []
        for where, scope in SCOPES.items():
            for name, grant in grants_of(scope):
                await core.call(requests.GrantAdd(grant, replace=True))
                for one in connected.said(ADMINISTRATION):
                    expected, before = outcome(connected.holder(grant), one.request, {}), await core.store.revision()
                    found = connected.told(await connected.ask(one.message))
                    refused = found in ("access-denied", "read-only")
                    # What else may be wrong with it is no matter here.
                    obeyed = found == expected if refused else expected == ALLOWED
                    if not obeyed or (refused and await core.store.revision() != before):
                        wrong.append(f"{one.name}, with {name} of {where}: {found}, and the page says {expected}")
        assert not wrong, "\n".join(wrong)

    in_core(tmp_path, test)


def described(attributes: Attributes) -> AnyRequest:
    return ops.SetXml(SECRET, SecretDocument(attributes))


LIFE: tuple[tuple[str, AnyRequest, There | None], ...] = (
    ("defined", described(Attributes(USAGE)), There(Attributes(USAGE), has_value=False)),
    ("value-changed", ops.SetValue(SECRET, VALUE), There(Attributes(USAGE), has_value=True)),
    ("changed", described(Attributes(BEYOND)), There(Attributes(BEYOND), has_value=True)),
    ("changed", described(Attributes()), There(Attributes(), has_value=True)),
    ("changed", described(Attributes(WITHIN)), There(Attributes(WITHIN), has_value=True)),
    (
        "changed",
        SecretArchive(SECRET),
        There(Attributes(WITHIN), has_value=True, lifecycle=Lifecycle(archived=1)),
    ),
    ("changed", SecretRestore(SECRET), There(Attributes(WITHIN), has_value=True)),
    ("deleted", ops.Delete(SECRET), None),
)
"""What happens to a secret: the event, for who sees it before and after; the request; and how the secret is then."""


def events_for(door: Door, grant: Grant) -> list[tuple[str, UUID]]:
    """Say what a subscriber is told of a life."""
    holder, events = door.holder(grant), []
    before: Target | None = None
    for name, _, there in LIFE:
        after = Target(SECRET, there.attributes) if there else None
        event = told(holder, name, before, after)
        events += [(word, SECRET) for word in (door.in_its_words(event, there) if event else ())]
        before = after
    return events


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("door", DOORS)
def test_each_is_told_of_what_the_page_lets_him_see(tmp_path: Path, door: str, scope: str) -> None:
    async def test(core: Core) -> None:
        wrong = []
        for name, grant in grants_of(SCOPES[scope]):
            subscriber, owner = await connect(core, door), Told()
            await core.call(requests.GrantAdd(grant, replace=True))
            for one in subscriber.said(SUBSCRIPTION):
                expected = outcome(subscriber.holder(grant), one.request, {})
                answer = await subscriber.ask(one.message)
                if subscriber.told(answer) != subscriber.answer_to(expected):
                    wrong.append(f"{one.name}, with {name}: {subscriber.told(answer)}, and the page says {expected}")
            await core.call(ops.Subscribe(), OWNER, owner)
            for _, request, _ in LIFE:
                await core.call(request)
            # His turn comes last.
            await owner.until(ops.SecretDeleted, SECRET)
            if subscriber.heard() != events_for(subscriber, grant):
                wrong.append(f"with {name}: {subscriber.heard()}, and the page says {events_for(subscriber, grant)}")
            subscriber.close()
            core.service.forget(owner)
        assert not wrong, "\n".join(wrong)

    in_core(tmp_path, test)
