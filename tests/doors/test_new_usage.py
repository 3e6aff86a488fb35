"""A usage that is new to a secret: it takes a scope that covers usages, as one id's covers no names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from helpers.access_calls import OTHER, SECRET, USAGE, VALUE
from helpers.asynchronous import run
from helpers.core import OWNER, Core, open_granting_core
from secretd import grantrequests as requests
from secretd import operations as ops
from secretd.errors import AccessDeniedError, ConflictError, SecretdError
from secretd.grants import EverySecret, Grant, Principal, PrincipalKind, Scope, ThatSecret, UsageLike
from secretd.model import Attributes, Caller, Permission, SecretDocument, Usage, UsageType

ALICE = Caller(uid=OWNER.uid + 1_000, gid=1, pid=1)
MAY = frozenset({Permission.GETATTR, Permission.READ, Permission.READ_SECURE, Permission.WRITE, Permission.SAVE})
FREE = Usage(UsageType.CEPH, "client.backup")

ITS_ID = ThatSecret(SECRET)
SCOPES: Mapping[str, tuple[tuple[Scope, ...], type[SecretdError] | None, type[SecretdError] | None]] = {
    "its id": ((ITS_ID,), AccessDeniedError, AccessDeniedError),
    "its id, and none": ((ITS_ID, UsageLike(UsageType.NONE)), AccessDeniedError, AccessDeniedError),
    "its id, and another usage": ((ITS_ID, UsageLike(UsageType.TLS)), AccessDeniedError, AccessDeniedError),
    "its id, and the free one": ((ITS_ID, UsageLike(UsageType.CEPH, FREE.id)), None, AccessDeniedError),
    "its id, and the type": ((ITS_ID, UsageLike(UsageType.CEPH)), None, ConflictError),
    "the type, and none": ((UsageLike(UsageType.CEPH), UsageLike(UsageType.NONE)), None, ConflictError),
    "all": ((EverySecret(),), None, ConflictError),
}
"""Scopes; what becomes of giving the secret a usage that is free, and one that another secret has."""


@pytest.mark.parametrize("where", SCOPES)
@pytest.mark.parametrize("is_there", [True, False], ids=["described", "made"])
def test_a_grant_for_an_id_gives_it_no_usage(tmp_path: Path, where: str, is_there: bool) -> None:
    scopes, if_free, if_taken = SCOPES[where]

    async def test() -> None:
        async with open_granting_core(tmp_path) as core:
            await core.call(ops.SetXml(OTHER, SecretDocument(Attributes(USAGE))))
            principal = Principal(PrincipalKind.USER, ALICE.uid)
            await core.call(requests.GrantAdd(Grant("it", None, principal, MAY, scopes)))
            if is_there:
                await core.call(ops.SetXml(SECRET, SecretDocument(Attributes())))
            for usage, expected in ((USAGE, if_taken), (FREE, if_free)):
                assert await refusal(core, ops.SetXml(SECRET, SecretDocument(Attributes(usage)))) is expected

    run(test())


def test_with_a_grant_for_its_id_a_secret_is_made_kept_and_taken_out_of_a_usage(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_granting_core(tmp_path) as core:
            principal = Principal(PrincipalKind.USER, ALICE.uid)
            await core.call(requests.GrantAdd(Grant("it", None, principal, MAY, (ITS_ID,))))
            await core.call(ops.SetValue(SECRET, VALUE), ALICE)
            await core.call(ops.SetXml(SECRET, SecretDocument(Attributes(USAGE))))
            await core.call(ops.SetXml(SECRET, SecretDocument(Attributes(USAGE, description="mine"))), ALICE)
            await core.call(ops.SetXml(SECRET, SecretDocument(Attributes())), ALICE)
            assert await refusal(core, ops.SetXml(SECRET, SecretDocument(Attributes(USAGE)))) is AccessDeniedError

    run(test())


async def refusal(core: Core, request: ops.Request[ops.Changed]) -> type[SecretdError] | None:
    """Say what a request of Alice's is refused with."""
    try:
        await core.call(request, ALICE)
    except SecretdError as error:
        return type(error)
    return None
