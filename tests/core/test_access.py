"""Who may do what: every operation, for every kind of caller, at the core's own door."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from helpers.access_keys import KEY, about_keys
from helpers.core import OWNER, Core, open_core
from secretd import grantrequests as requests
from secretd import lifecyclerequests as lifecycles
from secretd import operations as ops
from secretd import storerequests
from secretd.core.access import (
    EVERYTHING,
    READ_ONLY_PERMISSIONS,
    Access,
    AnyTarget,
    Policy,
    Target,
    owner_only,
)
from secretd.errors import AccessDeniedError, ConflictError, NotFoundError, ReadOnlyError, SecretdError
from secretd.grants import Grant, Principal, PrincipalKind, ThatSecret
from secretd.keyrequests import KeyCreate
from secretd.keys import KeyDocument
from secretd.model import (
    Attributes,
    Caller,
    Digest,
    Mode,
    Permission,
    SecretDocument,
    SecretValue,
    Usage,
    UsageType,
)

STRANGER = Caller(uid=os.geteuid() + 1, gid=1, pid=1)
HIDDEN = UUID("11111111-2222-4333-8444-555555555555")
UNKNOWN = UUID("22222222-2222-4333-8444-555555555555")
USAGE = Usage(UsageType.CEPH, "client.admin")
VALUE = SecretValue(b"value")
GRANT = Grant("one", None, Principal(PrincipalKind.USER, 7), frozenset({Permission.READ}), (ThatSecret(UUID(int=1)),))


def examples(secret: UUID, digest: Digest | None = None) -> list[ops.Request[ops.Reply]]:
    """Give a request of every operation, about ``secret`` where it is about one."""
    document = SecretDocument(Attributes(description="x"))
    return [
        ops.AllocateId(),
        ops.SetXml(secret, document, digest),
        ops.Define(SecretDocument(Attributes(), secret), digest),
        ops.GetXml(secret),
        ops.SetValue(secret, VALUE, digest=digest),
        ops.GenerateValue(secret, 8, digest=digest),
        ops.GetValue(secret),
        ops.Delete(secret, digest),
        lifecycles.SecretGetLifecycle(secret),
        lifecycles.SecretArchive(secret, digest),
        lifecycles.SecretRestore(secret, digest),
        lifecycles.SecretAttach(secret, "sync:offsite", digest=digest),
        lifecycles.SecretDetach(secret, "sync:offsite", digest),
        lifecycles.SecretProtect(secret, digest),
        lifecycles.SecretUnprotect(secret, digest),
        lifecycles.SecretScheduleDeletion(secret, digest=digest),
        lifecycles.SecretCancelDeletion(secret, digest),
        ops.List(),
        ops.Count(),
        ops.LookupById(secret),
        ops.LookupByUsage(USAGE),
        ops.Subscribe(secret),
        ops.Unsubscribe(secret),
        storerequests.Check(),
        ops.Metrics(),
        storerequests.Backup(),
        storerequests.Restore(VALUE),
        storerequests.StoreAccept(),
        requests.GrantAdd(GRANT),
        requests.GrantList(),
        requests.GrantShow("none"),
        requests.GrantRemove("none"),
        requests.Explain("whoami", uid=1),
        storerequests.SealStatus(),
        storerequests.SealRotate(),
        storerequests.SealRetire(),
        ops.Whoami(),
        ops.Status(),
    ]


_ABOUT_NO_SECRET = {
    "allocate-id",
    "list",
    "count",
    "lookup-by-usage",
    # They answer alike whether or not the secret is there.
    "subscribe",
    "unsubscribe",
    "whoami",
    "status",
    "grant-add",
    "grant-list",
    "grant-show",
    "grant-remove",
    "explain",
    "seal-status",
    "check",
    "metrics",
    "backup",
    "restore",
    "store-accept",
    "seal-rotate",
    "seal-retire",
}


OF_KEYS = [request for name, request in about_keys(KEY).items() if name in ops.BY_NAME]
"""An example of every operation about keys."""


def name_of(request: ops.Request[ops.Reply]) -> str:
    return ops.BY_REQUEST[type(request)].name


def writes(request: ops.Request[ops.Reply]) -> bool:
    return ops.BY_REQUEST[type(request)].permission is Permission.WRITE


def test_the_examples_are_total() -> None:
    assert {type(request) for request in (*examples(UNKNOWN), *OF_KEYS)} == set(ops.BY_REQUEST)


class TestPolicy:
    @pytest.mark.parametrize(
        ("mode", "daemon_uid", "caller_uid", "may"),
        [
            (Mode.SESSION, 1000, 1000, True),
            (Mode.SESSION, 1000, 1001, False),
            (Mode.SESSION, 1000, 0, False),
            (Mode.SYSTEM, 0, 0, True),
            (Mode.SYSTEM, 0, 1000, False),
        ],
    )
    def test_the_default(self, mode: Mode, daemon_uid: int, caller_uid: int, may: bool) -> None:
        access = Access(owner_only(mode, daemon_uid))
        held = access.held(Caller(uid=caller_uid, gid=0, pid=1))
        assert held == (tuple(Permission) if may else ())

    @pytest.mark.parametrize(("caller", "may"), [(OWNER, True), (STRANGER, False)], ids=["owner", "stranger"])
    def test_the_default_is_the_same_for_every_secret(self, caller: Caller, may: bool) -> None:
        access = Access(owner_only(Mode.SESSION, OWNER.uid))
        assert access.allows(caller, Permission.GETATTR, EVERYTHING) is may

    def test_a_policy_is_asked_for_everything_by_its_name(self) -> None:
        asked: list[AnyTarget] = []

        def policy(_caller: Caller, _permission: Permission, target: AnyTarget) -> bool:
            asked.append(target)
            return False

        access = Access(policy)
        assert not access.allows(OWNER, Permission.GETATTR, EVERYTHING)
        with pytest.raises(AccessDeniedError, match="getattr"):
            access.require(OWNER, Permission.GETATTR, EVERYTHING)
        assert asked == [EVERYTHING, EVERYTHING]

    def test_a_read_only_connection_may_not_read_every_value(self) -> None:
        access = Access(owner_only(Mode.SESSION, OWNER.uid))
        read_only = replace(OWNER, read_only=True)
        assert access.allows(read_only, Permission.GETATTR, EVERYTHING)
        assert not access.allows(read_only, Permission.READ_SECURE, EVERYTHING)

    def test_a_read_only_connection_holds_nothing_that_writes_or_reveals(self) -> None:
        access = Access(owner_only(Mode.SYSTEM, 0))
        assert set(access.held(Caller(uid=0, gid=0, pid=1, read_only=True))) == READ_ONLY_PERMISSIONS
        assert not READ_ONLY_PERMISSIONS & {Permission.READ_SECURE, Permission.WRITE, Permission.DELETE}


@pytest.mark.parametrize("request_made", [*examples(HIDDEN), *OF_KEYS], ids=name_of)
class TestMatrix:
    """Every operation, for a stranger and for a read-only connection of the owner."""

    def test_a_stranger_is_denied(self, tmp_path: Path, request_made: ops.Request[ops.Reply]) -> None:
        async def test(core: Core) -> None:
            with pytest.raises(AccessDeniedError):
                core.service.admit(STRANGER)
            with pytest.raises(AccessDeniedError) as raised:
                await core.call(request_made, STRANGER)
            assert type(raised.value) is AccessDeniedError

        self.run(tmp_path, test)

    def test_read_only(self, tmp_path: Path, request_made: ops.Request[ops.Reply]) -> None:
        async def test(core: Core) -> None:
            await core.call(ops.SetXml(HIDDEN, SecretDocument(Attributes(usage=USAGE))))
            await core.call(ops.SetValue(HIDDEN, VALUE))
            await core.call(KeyCreate(KeyDocument(KEY.id)))
            revision = await core.store.revision()
            permission = ops.BY_REQUEST[type(request_made)].permission
            if permission is None or permission in READ_ONLY_PERMISSIONS:
                await core.call(request_made, replace(OWNER, read_only=True))
            else:
                with pytest.raises(ReadOnlyError):
                    await core.call(request_made, replace(OWNER, read_only=True))
            assert await core.store.revision() == revision

        self.run(tmp_path, test)

    @staticmethod
    def run(tmp_path: Path, test: object) -> None:
        async def run() -> None:
            async with open_core(tmp_path) as core:
                await test(core)  # type: ignore[operator]  # each test above is such a coroutine function

        asyncio.run(run())


def hiding(hidden: UUID) -> Policy:
    """Make a policy that grants everything, but on one secret, which may be changed and not seen."""
    changing = (Permission.APPEND, Permission.WRITE, Permission.SAVE)

    def policy(caller: Caller, permission: Permission, target: AnyTarget) -> bool:
        if caller.elevated or target is None or permission in changing:
            return True
        return isinstance(target, Target) and target.secret != hidden

    return policy


async def outcome(core: Core, request: ops.Request[ops.Reply]) -> tuple[str, str] | str:
    try:
        reply = await core.call(request)
    except SecretdError as error:
        return error.code, error.message
    return type(reply).__name__


class TestHidden:
    """A secret that the caller may not getattr is answered as one that does not exist."""

    async def prepare(self, core: Core) -> None:
        elevated = replace(OWNER, elevated=True)
        await core.call(ops.SetXml(HIDDEN, SecretDocument(Attributes(usage=USAGE))), elevated)
        await core.call(ops.SetValue(HIDDEN, VALUE), elevated)

    def test_reading_changing_with_a_digest_and_deleting(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with open_core(tmp_path, hiding(HIDDEN)) as core:
                await self.prepare(core)
                digest = Digest("0" * 32)
                for hidden, unknown in zip(examples(HIDDEN, digest), examples(UNKNOWN, digest), strict=True):
                    if name_of(hidden) not in _ABOUT_NO_SECRET:
                        assert await outcome(core, hidden) == await outcome(core, unknown), name_of(hidden)

        asyncio.run(run())

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda secret: ops.SetValue(secret, VALUE, create=False), id="set-value"),
            pytest.param(lambda secret: ops.GenerateValue(secret, 8), id="generate-value"),
        ],
    )
    def test_changing_what_may_not_be_created(
        self, tmp_path: Path, change: Callable[[UUID], ops.Request[ops.Reply]]
    ) -> None:
        async def run() -> None:
            async with open_core(tmp_path, hiding(HIDDEN)) as core:
                await self.prepare(core)
                assert await outcome(core, change(HIDDEN)) == await outcome(core, change(UNKNOWN))

        asyncio.run(run())

    def test_lookup_list_and_count(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with open_core(tmp_path, hiding(HIDDEN)) as core:
                await self.prepare(core)
                free = ops.LookupByUsage(Usage(UsageType.CEPH, "client.nobody"))
                assert await outcome(core, ops.LookupByUsage(USAGE)) == await outcome(core, free)
                assert (await core.call(ops.List())).entries == ()
                assert (await core.call(ops.Count())).secrets == 0

        asyncio.run(run())

    def test_a_colliding_creation_says_conflict_and_nothing_more(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with open_core(tmp_path, hiding(HIDDEN)) as core:
                await self.prepare(core)
                attributes = Attributes(usage=USAGE)
                for request in (
                    ops.SetXml(HIDDEN, SecretDocument(attributes)),
                    ops.SetValue(HIDDEN, VALUE),
                    ops.Define(SecretDocument(attributes, HIDDEN)),
                    ops.SetXml(UNKNOWN, SecretDocument(attributes)),
                ):
                    with pytest.raises(ConflictError) as raised:
                        await core.call(request)
                    assert str(HIDDEN) not in raised.value.message

        asyncio.run(run())


def lacking(permission: Permission) -> Policy:
    """Make a policy that grants everything but one permission on any object."""
    return lambda _caller, asked, target: target is None or asked is not permission


def only(*permissions: Permission) -> Policy:
    """Make a policy that grants these permissions and no other."""
    return lambda _caller, asked, _target: asked in permissions


CHANGES_WHAT_IS_THERE: list[ops.Request[ops.Reply]] = [
    ops.SetXml(HIDDEN, SecretDocument(Attributes(description="x"))),
    ops.Define(SecretDocument(Attributes(), HIDDEN)),
    ops.SetValue(HIDDEN, VALUE),
    ops.GenerateValue(HIDDEN, 8),
]


class TestOnTheObject:
    @pytest.mark.parametrize(
        ("permission", "request_made"),
        [
            (Permission.READ, ops.GetXml(HIDDEN)),
            (Permission.READ_SECURE, ops.GetValue(HIDDEN)),
            (Permission.DELETE, ops.Delete(HIDDEN)),
        ],
        ids=lambda value: value.value if isinstance(value, Permission) else name_of(value),
    )
    def test_the_permission_is_needed(
        self, tmp_path: Path, permission: Permission, request_made: ops.Request[ops.Reply]
    ) -> None:
        async def run() -> None:
            async with open_core(tmp_path, lacking(permission)) as core:
                await core.call(ops.SetValue(HIDDEN, VALUE))
                with pytest.raises(AccessDeniedError, match=permission.value):
                    await core.call(request_made)

        asyncio.run(run())

    @pytest.mark.parametrize(
        "request_made",
        [r for r in examples(HIDDEN) if ops.BY_REQUEST[type(r)].permission is Permission.APPEND],
        ids=name_of,
    )
    def test_making_a_secret_needs_append_on_it_as_it_would_be(
        self, tmp_path: Path, request_made: ops.Request[ops.Reply]
    ) -> None:
        async def run() -> None:
            async with open_core(tmp_path, lacking(Permission.APPEND)) as core:
                revision = await core.store.revision()
                with pytest.raises((AccessDeniedError, NotFoundError)):
                    await core.call(request_made)
                assert await core.store.revision() == revision

        asyncio.run(run())

    @pytest.mark.parametrize("request_made", CHANGES_WHAT_IS_THERE, ids=name_of)
    def test_changing_what_is_there_needs_write(self, tmp_path: Path, request_made: ops.Request[ops.Reply]) -> None:
        async def run() -> None:
            async with open_core(tmp_path, lacking(Permission.WRITE)) as core:
                await core.call(ops.SetValue(HIDDEN, VALUE))
                revision = await core.store.revision()
                with pytest.raises(AccessDeniedError, match="write"):
                    await core.call(request_made)
                assert await core.store.revision() == revision

        asyncio.run(run())

    def test_a_value_may_be_appended_where_there_is_none(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with open_core(tmp_path, lacking(Permission.WRITE)) as core:
                await core.call(ops.SetXml(HIDDEN, SecretDocument(Attributes(usage=USAGE))))
                await core.call(ops.SetValue(HIDDEN, VALUE, create=False))
                assert (await core.call(ops.GetValue(HIDDEN))).value == VALUE
                with pytest.raises(AccessDeniedError, match="write"):
                    await core.call(ops.GenerateValue(HIDDEN, 8))

        asyncio.run(run())

    def test_who_sees_nothing_may_append_once(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with open_core(tmp_path, only(Permission.APPEND, Permission.SAVE)) as core:
                await core.call(ops.SetXml(HIDDEN, SecretDocument(Attributes(usage=USAGE))))
                for changed in (ops.SetXml(HIDDEN, SecretDocument(Attributes())), ops.Delete(HIDDEN)):
                    with pytest.raises((ConflictError, AccessDeniedError)):
                        await core.call(changed)
                await core.call(ops.SetValue(HIDDEN, VALUE, create=False))
                with pytest.raises(ConflictError):
                    await core.call(ops.SetValue(HIDDEN, VALUE))
                for about in (HIDDEN, UNKNOWN):
                    with pytest.raises(NotFoundError):
                        await core.call(ops.SetValue(about, VALUE, create=False))
                for reading in (ops.GetValue(HIDDEN), ops.GetXml(HIDDEN), ops.LookupById(HIDDEN), ops.List()):
                    with pytest.raises(AccessDeniedError):
                        await core.call(reading)
            async with open_core(tmp_path) as core:
                assert (await core.call(ops.GetValue(HIDDEN))).value == VALUE

        asyncio.run(run())

    def test_what_is_kept_on_disk_needs_save(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with open_core(tmp_path, lacking(Permission.SAVE)) as core:
                document = SecretDocument(Attributes(ephemeral=True))
                await core.call(ops.SetXml(HIDDEN, document))
                await core.call(ops.SetValue(HIDDEN, VALUE))
                await core.call(ops.SetValue(UNKNOWN, VALUE, ephemeral=True))
                for kept in (
                    ops.AllocateId(),
                    ops.SetXml(HIDDEN, SecretDocument(Attributes())),
                    ops.SetValue(UUID(int=9), VALUE),
                ):
                    with pytest.raises(AccessDeniedError, match="save"):
                        await core.call(kept)

        asyncio.run(run())

    def test_changing_the_usage_of_a_secret_with_a_value_needs_read_secure(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with open_core(tmp_path, lacking(Permission.READ_SECURE)) as core:
                await core.call(ops.SetXml(HIDDEN, SecretDocument(Attributes(usage=USAGE))))
                await core.call(ops.SetXml(HIDDEN, SecretDocument(Attributes())))
                await core.call(ops.SetValue(HIDDEN, VALUE))
                with pytest.raises(AccessDeniedError, match="read-secure"):
                    await core.call(ops.SetXml(HIDDEN, SecretDocument(Attributes(usage=USAGE))))
                await core.call(ops.SetXml(HIDDEN, SecretDocument(Attributes(description="same usage"))))

        asyncio.run(run())

    def test_so_does_a_new_usage_type_by_define(self, tmp_path: Path) -> None:
        async def run() -> None:
            async with open_core(tmp_path, lacking(Permission.READ_SECURE)) as core:
                tls, vtpm = (
                    SecretDocument(Attributes(usage=Usage(kind, USAGE.id)), HIDDEN)
                    for kind in (UsageType.TLS, UsageType.VTPM)
                )
                await core.call(ops.Define(SecretDocument(Attributes(usage=USAGE), HIDDEN)))
                await core.call(ops.Define(tls))
                await core.call(ops.SetValue(HIDDEN, VALUE))
                with pytest.raises(AccessDeniedError, match="read-secure"):
                    await core.call(ops.Define(vtpm))
                await core.call(ops.Define(tls))

        asyncio.run(run())
