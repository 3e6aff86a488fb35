"""Grants in a whole core for tests: somebody who is granted something, and what is there for him to see."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from helpers.asynchronous import run
from helpers.core import OWNER, Core, open_granting_core
from helpers.rows import Rows
from secretd import grantrequests as requests
from secretd import operations as ops
from secretd.core.kinds import GRANT
from secretd.errors import (
    AccessDeniedError,
    NotFoundError,
    StoreCorruptError,
)
from secretd.grants import (
    PERMISSIONS_OF,
    Grant,
    PermissionSet,
    Principal,
    PrincipalKind,
    Scope,
    ThatSecret,
)
from secretd.model import Attributes, Caller, SecretDocument, SecretValue, Usage, UsageType

ALICE = Caller(uid=OWNER.uid + 1_000, gid=1, pid=1, groups=(7,))
STRANGER = Caller(uid=ALICE.uid + 1, gid=1, pid=1)
MINE, OTHER, NONE = UUID(int=1), UUID(int=2), UUID(int=3)
VALUE = SecretValue(b"value")


def grant(name: str = "one", of: PermissionSet = PermissionSet.READ_ONLY, *scopes: Scope) -> Grant:
    principal = Principal(PrincipalKind.USER, ALICE.uid)
    return Grant(name, None, principal, PERMISSIONS_OF[of], scopes or (ThatSecret(MINE),))


def in_core(root: Path, test: Callable[[Core], Awaitable[None]]) -> None:
    """Run a test with a core of its own that has grants."""

    async def with_core() -> None:
        async with open_granting_core(root) as core:
            await test(core)

    run(with_core())


async def fill(core: Core) -> None:
    for secret, name in ((MINE, "mine"), (OTHER, "other")):
        usage = Usage(UsageType.CEPH, name)
        await core.call(ops.Define(SecretDocument(Attributes(usage=usage), secret)))
        await core.call(ops.SetValue(secret, VALUE))


async def may_read(core: Core, secret: UUID, caller: Caller = ALICE) -> bool:
    try:
        return (await core.call(ops.GetValue(secret), caller)).value == VALUE
    except (AccessDeniedError, NotFoundError):
        return False


def grants_in(rows: Rows) -> Rows:
    return {key: row for key, row in rows.items() if key.startswith(GRANT)}


def fill_and_grant(root: Path) -> None:
    """Let there be two secrets and two grants, of which the second reaches what the first does not."""

    async def test(core: Core) -> None:
        await fill(core)
        await core.call(requests.GrantAdd(grant("one")))
        await core.call(requests.GrantAdd(grant("two", PermissionSet.READ_ONLY, ThatSecret(OTHER))))

    in_core(root, test)


async def assert_none_is_in_force(core: Core) -> None:
    """Say how the daemon is to who was granted something, and the same to who was not, and of what is not there."""
    for caller, request in itertools.product(
        (ALICE, replace(ALICE, read_only=True), STRANGER), (ops.GetValue(MINE), ops.GetXml(NONE), ops.Whoami())
    ):
        with pytest.raises(StoreCorruptError, match="no grant is in force"):
            await core.call(request, caller)
    assert (await core.call(ops.GetValue(MINE))).value == VALUE
