"""What explain says is what happens: for every operation, whatever the secret is and whatever is granted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any

import pytest

from helpers.access_calls import ADMINISTRATION, OTHER, SECRET, STATES, SUBSCRIPTION, USAGE, VALUE, become
from helpers.access_page import There
from helpers.core import OWNER, Core, open_core
from helpers.granting import in_core
from secretd import grantrequests as requests
from secretd import keyrequests
from secretd import operations as ops
from secretd.core.access import AnyTarget
from secretd.core.matching import all_of
from secretd.errors import (
    AccessDeniedError,
    InvalidRequestError,
    NotFoundError,
    ReadOnlyError,
    SecretdError,
    UnknownOperationError,
)
from secretd.grantrequests import Explain, Explained, GrantAdd, NamedGrant, Need, NeededOn
from secretd.grants import (
    OF_SECRETS,
    EverySecret,
    ExecutableIs,
    Grant,
    Principal,
    PrincipalKind,
    Scope,
    ThatSecret,
    UsageLike,
)
from secretd.lifecycle import NOTHING_BEFELL
from secretd.lifecyclerequests import (
    SecretArchive,
    SecretAttach,
    SecretCancelDeletion,
    SecretDetach,
    SecretGetLifecycle,
    SecretProtect,
    SecretRestore,
    SecretScheduleDeletion,
    SecretUnprotect,
)
from secretd.model import (
    Attributes,
    Caller,
    Executable,
    Permission,
    Process,
    SecretDocument,
    Unit,
    Usage,
    UsageType,
)

ALICE = Caller(uid=OWNER.uid + 1_000, gid=1, pid=1, groups=(7,))

Request = ops.Request[Any]
Make = Callable[[Attributes], Request]

ABOUT_A_SECRET: dict[str, Make] = {
    "allocate-id": lambda _: ops.AllocateId(),
    "set-xml": lambda attributes: ops.SetXml(SECRET, SecretDocument(attributes)),
    "define": lambda attributes: ops.Define(SecretDocument(attributes, SECRET)),
    "get-xml": lambda _: ops.GetXml(SECRET),
    "set-value": lambda _: ops.SetValue(SECRET, VALUE),
    "generate-value": lambda _: ops.GenerateValue(SECRET, 8),
    "get-value": lambda _: ops.GetValue(SECRET),
    "delete": lambda _: ops.Delete(SECRET),
    "lookup-by-id": lambda _: ops.LookupById(SECRET),
    "lookup-by-usage": lambda attributes: ops.LookupByUsage(attributes.usage or USAGE),
    "secret-get-lifecycle": lambda _: SecretGetLifecycle(SECRET),
    "secret-archive": lambda _: SecretArchive(SECRET),
    "secret-restore": lambda _: SecretRestore(SECRET),
    "secret-attach": lambda _: SecretAttach(SECRET, "another"),
    "secret-detach": lambda _: SecretDetach(SECRET, "job"),
    "secret-protect": lambda _: SecretProtect(SECRET),
    "secret-unprotect": lambda _: SecretUnprotect(SECRET),
    "secret-schedule-deletion": lambda _: SecretScheduleDeletion(SECRET),
    "secret-cancel-deletion": lambda _: SecretCancelDeletion(SECRET),
}
"""A request of each operation about one secret, which says what is said of it already."""

NEW = Usage(UsageType.TLS, USAGE.id)

OTHERWISE: dict[str, tuple[str, dict[str, Any], Make]] = {
    "set-xml-with-another-usage": (
        "set-xml",
        {"usage": NEW},
        lambda attributes: ops.SetXml(SECRET, SecretDocument(replace(attributes, usage=NEW))),
    ),
    "define-with-another-usage": (
        "define",
        {"usage": NEW},
        lambda attributes: ops.Define(SecretDocument(replace(attributes, usage=NEW), SECRET)),
    ),
    "set-xml-as-ephemeral": (
        "set-xml",
        {"ephemeral": True},
        lambda attributes: ops.SetXml(SECRET, SecretDocument(replace(attributes, ephemeral=True))),
    ),
    "set-xml-as-kept": (
        "set-xml",
        {"ephemeral": False},
        lambda attributes: ops.SetXml(SECRET, SecretDocument(replace(attributes, ephemeral=False))),
    ),
    "set-value-as-ephemeral": ("set-value", {"ephemeral": True}, lambda _: ops.SetValue(SECRET, VALUE, ephemeral=True)),
    "allocate-id-as-ephemeral": ("allocate-id", {"ephemeral": True}, lambda _: ops.AllocateId(ephemeral=True)),
}
"""Requests that say something else than what is said of the secret: what explain is asked besides, and the request."""

CASES = {**{name: (name, dict[str, Any](), make) for name, make in ABOUT_A_SECRET.items()}, **OTHERWISE}

ABOUT_NONE: dict[str, Request] = {
    **ADMINISTRATION,
    **SUBSCRIPTION,
    "list": ops.List(),
    "count": ops.Count(),
    "unsubscribe": ops.Unsubscribe(),
    "whoami": ops.Whoami(),
    "status": ops.Status(),
}

OF_LIFECYCLES = [name for name in ABOUT_A_SECRET if name.startswith("secret-")]

MATTERING = {
    True: [Permission.GETATTR, Permission.READ, Permission.ARCHIVE, Permission.DELETE],
    False: [one for one in Permission if one in OF_SECRETS - {Permission.SEARCH, Permission.ADMIN, Permission.ARCHIVE}],
}
"""What requests about a secret may turn on, by whether they are about its lifecycle."""

STOPPED = (*OF_LIFECYCLES, "set-xml", "define", "set-value", "generate-value", "get-value", "delete")
"""What may be stopped by what befell a secret."""


def cells() -> Iterator[Any]:
    for (case, (name, more, make)), (state, there) in product(CASES.items(), STATES.items()):
        if there is None or there.lifecycle == NOTHING_BEFELL or case in STOPPED:
            yield pytest.param(name, more, make, there, id=f"{case}-{state}")


def subsets(permissions: Sequence[Permission]) -> Iterator[frozenset[Permission]]:
    sizes = range(len(permissions) + 1)
    return map(frozenset, chain.from_iterable(combinations(permissions, size) for size in sizes))


def about(name: str, **more: Any) -> Explain:
    """Give the question what would come of Alice's request; of one about a secret, SECRET."""
    named = {"usage": USAGE} if name == "lookup-by-usage" else {"secret": SECRET}
    if name == "allocate-id" or name in ABOUT_NONE:
        named = {}
    alice = {"uid": ALICE.uid, "gid": ALICE.gid, "groups": tuple(map(requests.Group, ALICE.groups))}
    return Explain(name, **{**named, **alice, **more})


async def put(core: Core, state: There | None) -> None:
    """Have the secret be so, and no other be there."""
    await become(core, {} if state is None else {SECRET: state})


async def happens(core: Core, request: Request, caller: Caller = ALICE) -> SecretdError | None:
    try:
        await core.call(request, caller)
    except SecretdError as error:
        return error
    return None


def told(explained: Explained) -> tuple[str | None, str | None]:
    return explained.code, explained.message


def of(error: SecretdError | None) -> tuple[str | None, str | None]:
    return (error.code, error.message) if error else (None, None)


def test_the_tables_are_total() -> None:
    about_keys = {each.name for each in ops.OPERATIONS if each.request.__module__ == keyrequests.__name__}
    assert ABOUT_A_SECRET.keys() | ABOUT_NONE.keys() | about_keys == ops.BY_NAME.keys()
    assert all(type(make(Attributes())) is ops.BY_NAME[name].request for name, make in ABOUT_A_SECRET.items())


class Holding:
    """A policy that gives the owner everything, and everybody else what is held now, on everything."""

    def __init__(self) -> None:
        self.held: frozenset[Permission] = frozenset()

    def __call__(self, caller: Caller, permission: Permission, _: AnyTarget) -> bool:
        return caller.uid == OWNER.uid or permission in all_of(self.held)


@pytest.mark.parametrize(("name", "more", "make", "state"), list(cells()))
def test_what_is_said_is_what_happens(
    tmp_path: Path, name: str, more: dict[str, Any], make: Make, state: There | None
) -> None:
    holding = Holding()

    async def run() -> None:
        async with open_core(tmp_path, holding) as core:
            await put(core, state)
            request = make(state.attributes if state else Attributes())
            changes = ops.BY_NAME[name].audit is ops.AuditLevel.CHANGE
            outcomes = set()
            for holding.held in subsets(MATTERING[name in OF_LIFECYCLES]):
                explained = await core.call(about(name, **more))
                error = await happens(core, request)
                assert told(explained) == of(error), holding.held
                assert explained.allowed is (error is None)
                # Each need is said to be held if it is; none is missing of what is done, and what lacks one is not.
                missing = [need for need in explained.needs if not need.held]
                assert all((need.name in all_of(holding.held)) is need.held for need in explained.needs)
                assert not explained.allowed or not missing
                assert not missing or error is not None
                outcomes.add((not missing, error.code if error else None))
                if changes and error is None:
                    await put(core, state)
            # With all that is needed there is one outcome.
            assert len({code for enough, code in outcomes if enough}) == 1

    asyncio.run(run())


@pytest.mark.parametrize("name", ABOUT_NONE)
def test_what_is_said_of_operations_about_no_secret_is_what_happens(tmp_path: Path, name: str) -> None:
    holding = Holding()

    async def run() -> None:
        async with open_core(tmp_path, holding) as core:
            for holding.held in (frozenset[Permission](), *(frozenset({one}) for one in Permission)):
                explained = await core.call(about(name))
                error = await happens(core, ABOUT_NONE[name])
                denied = error if isinstance(error, AccessDeniedError) else None
                assert told(explained) == of(denied)
                (need,) = explained.needs
                assert (need.name, need.on, need.held) == (
                    ops.BY_NAME[name].permission,
                    NeededOn.SOMETHING,
                    explained.allowed,
                )

    asyncio.run(run())


@pytest.mark.parametrize("name", [*ABOUT_A_SECRET, *ABOUT_NONE])
def test_a_read_only_connection_is_judged_as_one(tmp_path: Path, name: str) -> None:
    async def run() -> None:
        async with open_core(tmp_path, lambda *_: True) as core:
            await put(core, STATES["with a value"])
            explained = await core.call(about(name, read_only=True))
            request = ABOUT_NONE.get(name) or ABOUT_A_SECRET[name](Attributes(USAGE))
            error = await happens(core, request, replace(ALICE, read_only=True))
            assert told(explained) == of(error if isinstance(error, ReadOnlyError) else None)
            assert explained.grants == ()

    asyncio.run(run())


# Which grants, and what would have to be granted.


def grant(name: str, *permissions: Permission, of: Principal | None = None, scope: Scope | None = None) -> Grant:
    principal = of or Principal(PrincipalKind.USER, ALICE.uid)
    return Grant(name, None, principal, frozenset(permissions), (scope or EverySecret(),))


def test_it_names_who_gives_what(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await put(core, STATES["with a value"])
        for one in (
            grant("see", Permission.GETATTR, of=Principal(PrincipalKind.ANYONE)),
            grant("see-too", Permission.GETATTR, of=Principal(PrincipalKind.GROUP, 7), scope=ThatSecret(SECRET)),
            grant("elsewhere", Permission.READ_SECURE, scope=ThatSecret(OTHER)),
        ):
            await core.call(GrantAdd(one))
        explained = await core.call(about("get-value"))
        see = (NamedGrant("see"), NamedGrant("see-too"))
        assert explained.needs == (
            Need(NeededOn.AS_IT_IS, True, False, Permission.GETATTR, see),
            Need(NeededOn.AS_IT_IS, False, False, Permission.READ_SECURE),
        )
        assert explained.grants == (
            grant("allow-get-value", Permission.READ_SECURE, scope=UsageLike(USAGE.type, USAGE.id)),
        )
        owner = await core.call(Explain("get-value", SECRET, uid=OWNER.uid))
        assert owner.allowed
        assert {(need.held, need.owner, need.grants) for need in owner.needs} == {(True, True, ())}

    in_core(tmp_path, test)


def test_a_change_of_the_usage_is_judged_before_and_after(tmp_path: Path) -> None:
    new = Usage(UsageType.CEPH, "client.two")

    async def test(core: Core) -> None:
        await put(core, STATES["with a value"])
        await core.call(GrantAdd(grant("look", Permission.GETATTR, scope=UsageLike(UsageType.CEPH))))
        explained = await core.call(about("set-xml", usage=new))
        assert [(need.on, need.name) for need in explained.needs] == [
            (NeededOn.AS_IT_IS, Permission.GETATTR),
            (NeededOn.AS_IT_IS, Permission.WRITE),
            (NeededOn.AS_IT_WOULD_BE, Permission.WRITE),
            (NeededOn.AS_IT_WOULD_BE, Permission.SAVE),
            (NeededOn.AS_IT_IS, Permission.READ_SECURE),
        ]
        request = ops.SetXml(SECRET, SecretDocument(Attributes(new)))
        assert await happens(core, request) is not None
        for proposed in explained.grants:
            await core.call(GrantAdd(proposed))
        assert {one.name for one in explained.grants} == {"allow-set-xml", "allow-set-xml-2"}
        assert await happens(core, request) is None

    in_core(tmp_path, test)


USAGES = {
    "plain": USAGE,
    "none": None,
    "star": Usage(UsageType.CEPH, "client.*"),
    "path": Usage(UsageType.VOLUME, "/srv/one"),
    "no-path": Usage(UsageType.VOLUME, "/srv/../one"),
}


@pytest.mark.parametrize("usage", USAGES.values(), ids=USAGES)
@pytest.mark.parametrize("state", [None, False, True], ids=["absent", "without-value", "with-value"])
@pytest.mark.parametrize("name", ABOUT_A_SECRET)
def test_what_is_proposed_is_enough_and_no_more(
    tmp_path: Path, name: str, state: bool | None, usage: Usage | None
) -> None:
    attributes = Attributes(usage)
    named = {"usage": usage} if name in ("set-xml", "define", "lookup-by-usage") else {}

    async def test(core: Core) -> None:
        await put(core, None if state is None else There(attributes, state))
        if name == "lookup-by-usage" and usage is None:
            return
        explained = await core.call(about(name, **named))
        request = ABOUT_A_SECRET[name](attributes)
        error = await happens(core, request)
        assert told(explained) == of(error)
        if not explained.grants:
            assert await happens(core, request, OWNER) is not None, "nothing would help, as not even all does"
            return
        for proposed in explained.grants:
            await core.call(GrantAdd(proposed))
        # One permission less is too little.
        for proposed in explained.grants:
            for one in proposed.permissions if len(proposed.permissions) > 1 else ():
                less = replace(proposed, permissions=proposed.permissions - {one})
                await core.call(GrantAdd(less, replace=True))
                assert await happens(core, request) is not None
                await core.call(GrantAdd(proposed, replace=True))
        again = await core.call(about(name, **named))
        assert (again.allowed, again.grants) == (True, ())
        assert await happens(core, request) is None

    in_core(tmp_path, test)


@pytest.mark.parametrize(
    ("usage", "there", "scope"),
    [
        pytest.param(USAGE, True, UsageLike(USAGE.type, USAGE.id), id="by-usage"),
        pytest.param(None, True, ThatSecret(SECRET), id="by-id"),
        pytest.param(Usage(UsageType.CEPH, "a*"), True, ThatSecret(SECRET), id="a-star-means-more"),
        pytest.param(Usage(UsageType.VOLUME, "/a//b"), True, ThatSecret(SECRET), id="a-path-no-pattern-is"),
        pytest.param(USAGE, False, UsageLike(USAGE.type, USAGE.id), id="new"),
        pytest.param(None, False, UsageLike(UsageType.NONE), id="new-without-a-usage"),
        pytest.param(Usage(UsageType.CEPH, "a*"), False, UsageLike(UsageType.CEPH, "a*"), id="new-with-a-star"),
        pytest.param(Usage(UsageType.VOLUME, "/a//b"), False, UsageLike(UsageType.VOLUME), id="new-no-path"),
    ],
)
def test_the_scope_is_the_least(tmp_path: Path, usage: Usage | None, there: bool, scope: Scope) -> None:
    async def test(core: Core) -> None:
        await put(core, There(Attributes(usage), has_value=True) if there else None)
        named = {"secret": SECRET if there else None, "usage": usage}
        (proposed,) = (await core.call(about("define", **named))).grants
        assert proposed.scopes == (scope,)

    in_core(tmp_path, test)


class Known(Process):
    """A process of the unit and the executable that the grants below name."""

    def unit(self) -> Unit:
        return Unit("web.service")

    def executable(self) -> Executable:
        return Executable("/usr/sbin/web", trusted=True)

    def sha256(self) -> str:
        return "0" * 64


RUNS = ExecutableIs("/usr/sbin/web", "0" * 64)


@pytest.mark.parametrize(
    ("who", "caller", "principal"),
    [
        pytest.param({"uid": 5}, Caller(5, 1, 1), Principal(PrincipalKind.USER, 5), id="user"),
        pytest.param({"gid": 5}, Caller(1, 5, 1), Principal(PrincipalKind.GROUP, 5), id="group"),
        pytest.param(
            {"groups": (requests.Group(5),)}, Caller(1, 1, 1, (5,)), Principal(PrincipalKind.GROUP, 5), id="groups"
        ),
        pytest.param(
            {"uid": 5, "unit": "web.service"},
            Caller(5, 1, 1, process=Known()),
            Principal(PrincipalKind.UNIT, unit="web.service"),
            id="unit",
        ),
        pytest.param(
            {"uid": 5, "executable": "/usr/sbin/web", "sha256": "0" * 64},
            Caller(5, 1, 1, process=Known()),
            Principal(PrincipalKind.USER, 5, executable=RUNS),
            id="executable",
        ),
        pytest.param(
            {"uid": 5, "executable": "/usr/bin/python3"},
            Caller(5, 1, 1),
            Principal(PrincipalKind.USER, 5),
            id="an-interpreter-is-no-executable",
        ),
    ],
)
def test_a_grant_is_proposed_to_who_asks(
    tmp_path: Path, who: dict[str, Any], caller: Caller, principal: Principal
) -> None:
    async def test(core: Core) -> None:
        await put(core, STATES["with a value"])
        question = Explain("get-value", SECRET, **who)
        (proposed,) = (await core.call(question)).grants
        assert proposed.principal == principal
        assert await happens(core, ops.GetValue(SECRET), caller) is not None
        await core.call(GrantAdd(proposed))
        assert (await core.call(question)).allowed
        assert await happens(core, ops.GetValue(SECRET), caller) is None

    in_core(tmp_path, test)


def test_what_is_proposed_for_no_secret_shows_none(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await put(core, STATES["with a value"])
        for name in ("list", "whoami"):
            assert (await core.call(about(name))).grants == (grant(f"allow-{name}", Permission.SEARCH),)
        assert (await core.call(about("backup"))).grants == (grant("allow-backup", Permission.ADMIN),)
        await core.call(GrantAdd(grant("allow-list", Permission.SEARCH)))
        assert (await core.call(ops.List(), ALICE)).entries == ()

    in_core(tmp_path, test)


def test_in_a_session_nothing_can_be_granted(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_core(tmp_path) as core:
            await put(core, STATES["with a value"])
            explained = await core.call(about("get-value"))
            assert (explained.code, explained.grants) == ("access-denied", ())

    asyncio.run(run())


@pytest.mark.parametrize(
    ("question", "error"),
    [
        pytest.param(Explain("nonsense", uid=1), UnknownOperationError, id="no-such-operation"),
        pytest.param(Explain("list"), InvalidRequestError, id="nobody"),
        pytest.param(Explain("list", SECRET, uid=1), InvalidRequestError, id="about-none"),
        pytest.param(Explain("allocate-id", SECRET, uid=1), InvalidRequestError, id="new"),
        pytest.param(Explain("get-value", uid=1), InvalidRequestError, id="which-secret"),
        pytest.param(Explain("get-value", SECRET, USAGE, uid=1), InvalidRequestError, id="two-names"),
        pytest.param(Explain("lookup-by-usage", SECRET, uid=1), InvalidRequestError, id="no-usage"),
        pytest.param(Explain("get-value", usage=USAGE, uid=1), NotFoundError, id="no-such-usage"),
    ],
)
def test_what_is_no_question_is_refused(tmp_path: Path, question: Explain, error: type[SecretdError]) -> None:
    async def test(core: Core) -> None:
        with pytest.raises(error) as raised:
            await core.call(question)
        assert type(raised.value) is error

    in_core(tmp_path, test)


def test_nothing_is_changed_and_nobody_else_asks(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        await put(core, STATES["with a value"])
        revision = await core.store.revision()
        for name in ABOUT_A_SECRET:
            await core.call(about(name, uid=OWNER.uid))
        assert await core.store.revision() == revision
        assert (await core.call(ops.Count())).secrets == 1
        await core.call(GrantAdd(grant("all", *OF_SECRETS - {Permission.ADMIN})))
        with pytest.raises(AccessDeniedError):
            await core.call(about("get-value"), ALICE)

    in_core(tmp_path, test)


# Whoami.


def test_whoami_names_the_grants_of_who_asks(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        group = Principal(PrincipalKind.GROUP, 7)
        for one in (
            grant("look", Permission.SEARCH, Permission.GETATTR, of=Principal(PrincipalKind.ANYONE)),
            grant("change", Permission.WRITE, Permission.GETATTR, of=group, scope=ThatSecret(SECRET)),
            grant("another", Permission.READ, of=Principal(PrincipalKind.USER, ALICE.uid + 1)),
        ):
            await core.call(GrantAdd(one))
        held = (await core.call(ops.Whoami(), ALICE)).permissions
        assert {one.name: [grant.name for grant in one.grants] for one in held} == {
            Permission.SEARCH: ["look"],
            Permission.GETATTR: ["look", "change"],
            Permission.APPEND: ["change"],
            Permission.WRITE: ["change"],
        }
        assert not any(one.owner for one in held)
        held = (await core.call(ops.Whoami())).permissions
        assert [(one.name, one.owner, one.grants) for one in held] == [(one, True, ()) for one in Permission]

    in_core(tmp_path, test)


def test_whoami_names_the_first_of_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secretd.limits.GRANTS_NAMED", 2)

    async def test(core: Core) -> None:
        for number in range(3):
            await core.call(GrantAdd(grant(f"grant-{number}", Permission.READ)))
        (held,) = (await core.call(ops.Whoami(), ALICE)).permissions
        assert [one.name for one in held.grants] == ["grant-0", "grant-1"]

    in_core(tmp_path, test)
