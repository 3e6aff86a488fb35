"""Explaining what would come of requests about keys: what is said is what happens, and what is proposed helps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import chain, combinations, count
from pathlib import Path
from typing import Any

import pytest

from helpers.core import OWNER, Core, open_core, open_granting_core
from helpers.model_store import ModelStore
from secretd import keyrequests as requests
from secretd import operations as ops
from secretd.core.access import AnyTarget
from secretd.core.matching import all_of
from secretd.errors import InvalidRequestError, SecretdError
from secretd.grantrequests import Explain, GrantAdd, NeededOn
from secretd.grants import (
    OF_KEYS,
    EveryKey,
    EverySecret,
    Grant,
    KeyLike,
    KeyTagged,
    Principal,
    PrincipalKind,
    Scope,
    ThatKey,
)
from secretd.keys import Blob, ContextPair, KeyDocument, KeyId, Tag
from secretd.model import Caller, Permission, SecretValue

ALICE = Caller(uid=OWNER.uid + 1_000, gid=1, pid=1)
VALUE = SecretValue(b"a value")
PROD, TEST = Tag("env", "prod"), Tag("env", "test")

Request = ops.Request[Any]


@dataclass(frozen=True, slots=True)
class World:
    """A key that there is, or was, and what it sealed."""

    key: KeyId
    blob: Blob
    tags: tuple[Tag, ...]

    def document(self, *tags: Tag) -> KeyDocument:
        return KeyDocument(self.key, tags=tags or self.tags, exportable=True)


Make = Callable[[World], Request]

ABOUT_A_KEY: dict[str, tuple[dict[str, Any], Make]] = {
    "key-describe": ({}, lambda world: requests.KeyDescribe(world.key)),
    "key-update": ({}, lambda world: requests.KeyUpdate(world.key, world.document())),
    "key-update with another tag": (
        {"tags": (ContextPair("env", "test"),)},
        lambda world: requests.KeyUpdate(world.key, world.document(TEST)),
    ),
    "key-enable": ({}, lambda world: requests.KeyEnable(world.key)),
    "key-disable": ({}, lambda world: requests.KeyDisable(world.key)),
    "key-rotate": ({}, lambda world: requests.KeyRotate(world.key)),
    "key-archive": ({}, lambda world: requests.KeyArchive(world.key)),
    "key-restore": ({}, lambda world: requests.KeyRestore(world.key)),
    "key-attach": ({}, lambda world: requests.KeyAttach(world.key, "sync:offsite")),
    "key-detach": ({}, lambda world: requests.KeyDetach(world.key, "sync:offsite")),
    "key-schedule-deletion": ({}, lambda world: requests.KeyScheduleDeletion(world.key)),
    "key-cancel-deletion": ({}, lambda world: requests.KeyCancelDeletion(world.key)),
    "key-delete": ({}, lambda world: requests.KeyDelete(world.key, world.key)),
    "key-default": ({}, lambda world: requests.KeyDefault(world.key)),
    "key-export": ({}, lambda world: requests.KeyExport(world.key)),
    "generate-data-key": ({}, lambda world: requests.GenerateDataKey(world.key)),
    "encrypt": ({}, lambda world: requests.Encrypt(VALUE, world.key)),
    "decrypt": ({}, lambda world: requests.Decrypt(world.blob)),
    "rewrap": ({}, lambda world: requests.Rewrap(world.blob)),
}
"""What explain is asked beside the key, and the request."""

MAKING = {"key-create": requests.KeyCreate, "key-import": requests.KeyImport}
OTHERS = {"key-list"}

STATES = ("enabled", "archived", "destroyed")


def test_the_tables_are_total() -> None:
    named = {name.partition(" ")[0] for name in ABOUT_A_KEY} | MAKING.keys() | OTHERS
    assert named == {each.name for each in ops.OPERATIONS if each.request.__module__ == requests.__name__}


class Holding:
    """A policy that gives the owner everything, and everybody else what is held now, on everything."""

    def __init__(self) -> None:
        self.held: frozenset[Permission] = frozenset()

    def __call__(self, caller: Caller, permission: Permission, _: AnyTarget) -> bool:
        return caller.uid == OWNER.uid or permission in all_of(self.held)


async def make(core: Core, number: int, state: str) -> World:
    key = KeyId(f"key-{number}")
    await core.call(requests.KeyCreate(KeyDocument(key, tags=(PROD,), exportable=True)))
    sealed = await core.call(requests.Encrypt(VALUE, key))
    if state != "enabled":
        await core.call(requests.KeyArchive(key))
    if state == "destroyed":
        await core.call(requests.KeyDelete(key, key))
    return World(key, sealed.blob, (PROD,))


def few() -> Iterator[frozenset[Permission]]:
    """Give every set of at most four permissions, which is more than any request needs."""
    mattering = [one for one in Permission if one in OF_KEYS]
    return map(frozenset, chain.from_iterable(combinations(mattering, size) for size in range(5)))


async def happens(core: Core, request: Request) -> SecretdError | None:
    try:
        await core.call(request, ALICE)
    except SecretdError as error:
        return error
    return None


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", ABOUT_A_KEY)
def test_what_is_said_is_what_happens(tmp_path: Path, name: str, state: str) -> None:
    operation = name.partition(" ")[0]
    more, request = ABOUT_A_KEY[name]
    holding, numbers = Holding(), count()

    async def run() -> None:
        async with open_core(tmp_path, holding) as core:
            world = await make(core, next(numbers), state)
            enough: set[str | None] = set()
            for holding.held in few():
                explained = await core.call(Explain(operation, uid=ALICE.uid, key=world.key, **more))
                error = await happens(core, request(world))
                said = (explained.code, explained.message)
                assert said == ((error.code, error.message) if error else (None, None)), holding.held
                missing = [need for need in explained.needs if not need.held]
                assert all((need.name in all_of(holding.held)) is need.held for need in explained.needs)
                assert not missing or error is not None
                if not missing:
                    enough.add(explained.code)
                if error is None and ops.BY_NAME[operation].audit is ops.AuditLevel.CHANGE:
                    await core.call(requests.KeyDefault())
                    world = await make(core, next(numbers), state)
            assert len(enough) == 1, "with all that is needed there is one outcome"

    asyncio.run(run())


def in_core(root: Path, test: Callable[[Core], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_granting_core(root, await ModelStore.open("")) as core:
            await make(core, 0, "enabled")
            await test(core)

    asyncio.run(run())


KEY = KeyId("key-0")
NEW = KeyId("new")


@pytest.mark.parametrize(
    ("operation", "more", "scope", "permissions"),
    [
        pytest.param("encrypt", {"key": KEY}, ThatKey(KEY), {"getattr", "encrypt"}, id="of-one-key"),
        pytest.param("rewrap", {"key": KEY}, ThatKey(KEY), {"getattr", "encrypt"}, id="within-a-key"),
        pytest.param("generate-data-key", {"key": KEY}, ThatKey(KEY), {"getattr", "generate"}, id="the-clear-half-too"),
        pytest.param(
            "key-update",
            {"key": KEY, "tags": (ContextPair("env", "test"),)},
            ThatKey(KEY),
            {"getattr", "key-admin", "decrypt", "export"},
            id="tags-of-what-can-be-exported",
        ),
        pytest.param("key-create", {"key": NEW}, ThatKey(NEW), {"key-admin"}, id="a-new-one-by-its-name"),
        pytest.param(
            "key-create", {"tags": (ContextPair("env", "prod"),)}, KeyTagged(PROD), {"key-admin"}, id="without-a-name"
        ),
        pytest.param("key-import", {}, EveryKey(), {"key-admin"}, id="without-anything"),
        pytest.param("key-list", {}, EveryKey(), {"getattr"}, id="of-no-one-key"),
        pytest.param("key-default", {}, EveryKey(), {"key-admin"}, id="no-default"),
    ],
)
def test_what_is_proposed_is_enough(
    tmp_path: Path, operation: str, more: dict[str, Any], scope: Scope, permissions: set[str]
) -> None:
    async def test(core: Core) -> None:
        question = Explain(operation, uid=ALICE.uid, **more)
        refused = await core.call(question)
        assert not refused.allowed
        (grant,) = refused.grants
        assert (grant.scopes, {one.value for one in grant.permissions}) == ((scope,), permissions)
        await core.call(GrantAdd(grant))
        allowed = await core.call(question)
        assert (allowed.allowed, allowed.code) == (True, None)
        assert {one.name for need in allowed.needs for one in need.grants} == {grant.name}

    in_core(tmp_path, test)


def test_it_is_told_on_what_a_permission_is_needed(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        explained = await core.call(Explain("key-update", uid=ALICE.uid, key=KEY, tags=(ContextPair("env", "test"),)))
        needs = {(need.name, need.on) for need in explained.needs}
        assert (Permission.KEY_ADMIN, NeededOn.KEY_AS_IT_IS) in needs
        assert (Permission.KEY_ADMIN, NeededOn.KEY_AS_IT_WOULD_BE) in needs
        (need,) = (await core.call(Explain("key-list", uid=ALICE.uid))).needs
        assert need.on is NeededOn.SOMETHING

    in_core(tmp_path, test)


@pytest.mark.parametrize("scope", [KeyLike("*"), KeyTagged(PROD)])
def test_the_grants_of_whatever_scope_are_named(tmp_path: Path, scope: Scope) -> None:
    async def test(core: Core) -> None:
        permissions = frozenset({Permission.GETATTR, Permission.DECRYPT})
        await core.call(GrantAdd(Grant("it", None, Principal(PrincipalKind.USER, ALICE.uid), permissions, (scope,))))
        explained = await core.call(Explain("decrypt", uid=ALICE.uid, key=KEY))
        assert explained.allowed
        assert {one.name for need in explained.needs for one in need.grants} == {"it"}

    in_core(tmp_path, test)


def test_no_grant_for_secrets_helps(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        permissions = frozenset({Permission.GETATTR, Permission.DELETE, Permission.ARCHIVE, Permission.ADMIN})
        principal = Principal(PrincipalKind.USER, ALICE.uid)
        await core.call(GrantAdd(Grant("all", None, principal, permissions, (EverySecret(),))))
        for operation in ("key-describe", "key-archive", "key-delete"):
            assert not (await core.call(Explain(operation, uid=ALICE.uid, key=KEY))).allowed
        assert isinstance(await happens(core, requests.KeyArchive(KEY)), SecretdError)

    in_core(tmp_path, test)


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        pytest.param("get-value", {"key": KEY}, id="a-key-for-secrets"),
        pytest.param("key-list", {"key": KEY}, id="a-key-where-none-is-named"),
        pytest.param("decrypt", {}, id="no-key-where-one-is-needed"),
        pytest.param("key-archive", {}, id="no-key-where-one-is-changed"),
        pytest.param("encrypt", {"key": KEY, "tags": (ContextPair("env", "prod"),)}, id="tags-that-nobody-sets"),
    ],
)
def test_what_cannot_be_asked(tmp_path: Path, operation: str, more: dict[str, Any]) -> None:
    async def test(core: Core) -> None:
        with pytest.raises(InvalidRequestError):
            await core.call(Explain(operation, uid=ALICE.uid, **more))

    in_core(tmp_path, test)


def test_nothing_is_used_or_changed(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        revision, before = await core.store.revision(), await core.call(requests.KeyDescribe(KEY))
        for name, (more, _) in ABOUT_A_KEY.items():
            await core.call(Explain(name.partition(" ")[0], uid=OWNER.uid, key=KEY, **more))
        for name in MAKING:
            await core.call(Explain(name, uid=OWNER.uid))
        assert await core.store.revision() == revision
        assert await core.call(requests.KeyDescribe(KEY)) == before

    in_core(tmp_path, test)
