"""Who may do what with keys: operation by permission by scope, judged by docs/access.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations, count
from pathlib import Path

import pytest

from helpers.access_calls import NativeDoor
from helpers.access_keys import PROD, TEST, VALUE, KeyThere, about_keys, key_outcome
from helpers.access_page import ALLOWED
from helpers.asynchronous import run
from helpers.core import OWNER, Core, open_granting_core
from helpers.model_store import ModelStore
from secretd import keyrequests as requests
from secretd import operations as ops
from secretd.grantrequests import GrantAdd
from secretd.grants import (
    OF_KEYS,
    OF_SECRETS,
    PERMISSIONS_OF,
    EveryKey,
    EverySecret,
    Grant,
    KeyLike,
    KeyScope,
    KeyTagged,
    Principal,
    PrincipalKind,
    Scope,
    ThatKey,
)
from secretd.keys import KeyDocument, KeyId
from secretd.model import Caller, Permission

# Coverage would make it longer, and the lines that it meets are met by other tests.
pytestmark = pytest.mark.no_cover

ALICE = Caller(uid=OWNER.uid + 1_000, gid=1, pid=1)

SCOPES: Mapping[str, tuple[Scope, ...]] = {
    "every key": (EveryKey(),),
    "the first ids": tuple(ThatKey(KeyId(f"key-{number}")) for number in range(60)),
    "another id": (ThatKey(KeyId("another")),),
    "a pattern that matches": (KeyLike("key-*"),),
    "a pattern that does not": (KeyLike("*.key"),),
    "its tag": (KeyTagged(PROD),),
    "another tag": (KeyTagged(TEST),),
    "either tag": (KeyTagged(PROD), KeyTagged(TEST)),
    "every secret": (EverySecret(),),
}

TOGETHER = ("getattr key-admin decrypt", "getattr key-admin decrypt export", "getattr encrypt decrypt")
"""What requests need more than two of."""


def permissions_for(scopes: tuple[Scope, ...]) -> Iterator[frozenset[Permission]]:
    fitting = OF_KEYS if isinstance(scopes[0], KeyScope) else OF_SECRETS
    these = [one for one in Permission if one in fitting]
    for some in (*((one,) for one in these), *combinations(these, 2)):
        yield frozenset(some)
    for names in TOGETHER:
        yield frozenset(map(Permission, names.split())) & fitting
    yield from (permissions for permissions in PERMISSIONS_OF.values() if permissions <= fitting)


async def make(core: Core, number: int) -> KeyThere:
    """Have one key be there, which nobody has changed."""
    await core.call(requests.KeyDefault())
    for entry in (await core.call(requests.KeyList(archived=True))).entries:
        described = await core.call(requests.KeyDescribe(entry.key))
        for reference in described.references:
            await core.call(requests.KeyDetach(entry.key, reference.consumer))
        if entry.state.value == "enabled":
            await core.call(requests.KeyDisable(entry.key))
        await core.call(requests.KeyDelete(entry.key, entry.key))
    key = KeyId(f"key-{number}")
    await core.call(requests.KeyCreate(KeyDocument(key, tags=(PROD,), exportable=True)))
    sealed = await core.call(requests.Encrypt(VALUE, key))
    return KeyThere(key, frozenset({PROD}), sealed.blob)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("read_only", [False, True], ids=["native", "native-ro"])
def test_each_request_has_the_outcome_that_the_page_says(tmp_path: Path, scope: str, read_only: bool) -> None:
    async def test(core: Core) -> None:
        wrong, seen, numbers = [], set(), count()
        door, key = NativeDoor(core, replace(ALICE, read_only=read_only)), await make(core, next(numbers))
        for permissions in permissions_for(SCOPES[scope]):
            grant = Grant("it", None, Principal(PrincipalKind.USER, ALICE.uid), permissions, SCOPES[scope])
            holder = door.holder(grant)
            await core.call(GrantAdd(grant, replace=True))
            for name in about_keys(key):
                (one,) = door.said({name: about_keys(key)[name]})
                expected, revision = key_outcome(holder, one.request, key), await core.store.revision()
                answer = await door.ask(one.message)
                seen.add(expected)
                where = f"{name}, with {', '.join(sorted(each.value for each in permissions))}"
                if door.told(answer) != expected:
                    wrong.append(f"{where}: {door.told(answer)}, and the page says {expected}")
                changes = ops.BY_REQUEST[type(one.request)].audit is ops.AuditLevel.CHANGE
                if expected != ALLOWED and await core.store.revision() != revision:
                    wrong.append(f"{where}: it was refused, and something was changed")
                if door.told(answer) == ALLOWED and changes:
                    key = await make(core, next(numbers))
        assert not wrong, "\n".join([f"{len(wrong)}:", *wrong[:40]])
        assert ALLOWED in seen
        assert "access-denied" in seen

    async def with_core() -> None:
        async with open_granting_core(tmp_path, await ModelStore.open("")) as core:
            await test(core)

    run(with_core())
