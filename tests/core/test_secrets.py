"""What each operation on secrets means, over the real store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from helpers.core import OWNER, Core, in_core
from secretd import operations as ops
from secretd.core.kinds import ATTRIBUTES, USAGE, VALUE
from secretd.crypto.envelope import Domain, peek
from secretd.errors import (
    ConflictError,
    DigestMismatchError,
    InvalidRequestError,
    NotFoundError,
    NoValueError,
    OperationInvalidError,
    PrivateError,
    SecretdError,
    StoreOutcomeUnknownError,
)
from secretd.model import Attributes, Digest, SecretDocument, SecretValue, Usage, UsageType
from secretd.store.base import Delete, Put

Test = Callable[[Core], Awaitable[None]]

SECRET = UUID("11111111-2222-4333-8444-555555555555")
OTHER = UUID("99999999-2222-4333-8444-555555555555")
VOLUME = Usage(UsageType.VOLUME, "/var/lib/libvirt/images/mail.img")
ELEVATED = replace(OWNER, elevated=True)
NO_DIGEST = Digest("0" * 32)


def document(secret: UUID | None = None, **attributes: Any) -> SecretDocument:
    return SecretDocument(Attributes(**attributes), secret)


def set_xml(secret: UUID = SECRET, digest: Digest | None = None, **attributes: Any) -> ops.SetXml:
    return ops.SetXml(secret, document(**attributes), digest)


def set_value(value: bytes = b"hunter2", secret: UUID = SECRET) -> ops.SetValue:
    return ops.SetValue(secret, SecretValue(value))


async def value_of(core: Core, secret: UUID = SECRET) -> bytes:
    return (await core.call(ops.GetValue(secret))).value.reveal()


async def attributes_of(core: Core, secret: UUID = SECRET) -> Attributes:
    return (await core.call(ops.GetXml(secret))).document.attributes


async def keys_of(core: Core, kind: bytes) -> list[bytes]:
    return [record.key for record in (await core.store.scan(kind)).records]


class TestAttributes:
    def test_allocate_id_makes_a_new_secret_each_time(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            first = await core.call(ops.AllocateId("mail server"))
            second = await core.call(ops.AllocateId("mail server"))
            assert first.secret != second.secret
            assert await attributes_of(core, first.secret) == Attributes(description="mail server")

        in_core(tmp_path, test)

    def test_set_xml_allocates_the_id_if_it_is_new(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            assert (await core.call(set_xml(usage=VOLUME))).secret == SECRET
            assert await attributes_of(core) == Attributes(usage=VOLUME)

        in_core(tmp_path, test)

    def test_set_xml_drops_what_is_not_given(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(usage=VOLUME, description="mail"))
            await core.call(set_xml())
            assert await attributes_of(core) == Attributes()
            assert await keys_of(core, USAGE) == []

        in_core(tmp_path, test)

    def test_set_xml_keeps_the_value(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_value())
            await core.call(set_xml(description="changed"))
            assert await value_of(core) == b"hunter2"

        in_core(tmp_path, test)

    def test_set_xml_refuses_a_document_of_another_secret(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            with pytest.raises(InvalidRequestError, match="uuid"):
                await core.call(ops.SetXml(SECRET, document(OTHER)))
            with pytest.raises(NotFoundError):
                await core.call(ops.GetXml(SECRET))

        in_core(tmp_path, test)

    def test_define_makes_an_id_if_none_is_given(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            defined = await core.call(ops.Define(document(usage=VOLUME)))
            assert await attributes_of(core, defined.secret) == Attributes(usage=VOLUME)

        in_core(tmp_path, test)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            pytest.param(VOLUME, None, id="to-none"),
            pytest.param(None, VOLUME, id="from-none"),
            pytest.param(VOLUME, Usage(UsageType.VOLUME, "/other"), id="another-id"),
            pytest.param(VOLUME, Usage(UsageType.CEPH, "client.admin"), id="another-id-and-type"),
        ],
    )
    def test_define_may_not_change_the_id_of_the_usage(
        self, tmp_path: Path, before: Usage | None, after: Usage | None
    ) -> None:
        async def test(core: Core) -> None:
            await core.call(ops.Define(document(SECRET, usage=before)))
            with pytest.raises(ConflictError):
                await core.call(ops.Define(document(SECRET, usage=after)))
            assert (await attributes_of(core)).usage == before

        in_core(tmp_path, test)

    @pytest.mark.parametrize("ephemeral", [False, True])
    def test_define_may_change_the_type_of_the_usage(self, tmp_path: Path, ephemeral: bool) -> None:
        ceph = Usage(UsageType.CEPH, VOLUME.id)

        async def test(core: Core) -> None:
            await core.call(ops.Define(document(SECRET, usage=VOLUME, ephemeral=ephemeral)))
            await core.call(set_value())
            await core.call(ops.Define(document(SECRET, usage=ceph, ephemeral=ephemeral)))
            assert (await core.call(ops.LookupByUsage(ceph))).secret == SECRET
            with pytest.raises(NotFoundError):
                await core.call(ops.LookupByUsage(VOLUME))
            assert await value_of(core) == b"hunter2"

        in_core(tmp_path, test)

    def test_define_may_not_take_the_usage_of_another_by_changing_the_type(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(ops.Define(document(SECRET, usage=VOLUME)))
            await core.call(ops.Define(document(OTHER, usage=Usage(UsageType.TLS, VOLUME.id))))
            with pytest.raises(ConflictError, match="another secret"):
                await core.call(ops.Define(document(OTHER, usage=VOLUME)))
            assert (await core.call(ops.LookupByUsage(VOLUME))).secret == SECRET

        in_core(tmp_path, test)

    def test_define_again_replaces_the_description(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(ops.Define(document(SECRET, usage=VOLUME, description="one")))
            await core.call(ops.Define(document(SECRET, usage=VOLUME, description="two")))
            assert (await attributes_of(core)).description == "two"

        in_core(tmp_path, test)


class TestLookupById:
    @pytest.mark.parametrize("attributes", [{}, {"usage": VOLUME, "private": True}, {"ephemeral": True}])
    @pytest.mark.parametrize("valued", [False, True])
    def test_it_says_what_a_list_says(self, tmp_path: Path, attributes: dict[str, Any], valued: bool) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(OTHER))
            await core.call(set_xml(**attributes))
            if valued:
                await core.call(set_value())
            found = await core.call(ops.LookupById(SECRET))
            (entry,) = [one for one in (await core.call(ops.List())).entries if one.secret == SECRET]
            assert found == ops.FoundEntry(*(getattr(entry, field.name) for field in fields(ops.Entry)))
            assert (found.usage, found.has_value) == (attributes.get("usage"), valued)

        in_core(tmp_path, test)

    def test_a_secret_that_is_not_there(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(OTHER))
            with pytest.raises(NotFoundError):
                await core.call(ops.LookupById(SECRET))

        in_core(tmp_path, test)


class TestValues:
    def test_a_value_is_given_back_as_it_was_set(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            for value in (b"\x00", b"a" * 64, b"a" * 65, bytes(range(256)) * 256):
                await core.call(set_value(value))
                assert await value_of(core) == value

        in_core(tmp_path, test)

    def test_set_value_allocates_the_id_if_it_is_new(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_value())
            assert await attributes_of(core) == Attributes()

        in_core(tmp_path, test)

    def test_set_value_may_be_told_not_to_allocate(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            request = ops.SetValue(SECRET, SecretValue(b"x"), create=False)
            with pytest.raises(NotFoundError):
                await core.call(request)
            assert await keys_of(core, ATTRIBUTES) == []
            await core.call(set_xml())
            await core.call(request)
            assert await value_of(core) == b"x"

        in_core(tmp_path, test)

    def test_a_secret_without_a_value_says_so(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml())
            with pytest.raises(NoValueError):
                await core.call(ops.GetValue(SECRET))

        in_core(tmp_path, test)

    def test_what_was_answered_is_there_after_a_restart(self, tmp_path: Path) -> None:
        async def before(core: Core) -> None:
            await core.call(set_xml(usage=VOLUME, private=True))
            await core.call(set_value(b"kept", OTHER))

        async def after(core: Core) -> None:
            assert await attributes_of(core) == Attributes(usage=VOLUME, private=True)
            assert await value_of(core, OTHER) == b"kept"
            assert (await core.call(ops.LookupByUsage(VOLUME))).secret == SECRET

        in_core(tmp_path, before)
        in_core(tmp_path, after)

    @pytest.mark.parametrize(
        ("length", "alphabet"),
        [(1, None), (65_536, None), (20, "0123456789abcdef"), (65_536, "ab"), (5, " !~")],
    )
    def test_generate_value(self, tmp_path: Path, length: int, alphabet: str | None) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml())
            await core.call(ops.GenerateValue(SECRET, length, alphabet))
            value = await value_of(core)
            assert len(value) == length
            assert alphabet is None or set(value) <= set(alphabet.encode())

        in_core(tmp_path, test)

    @pytest.mark.parametrize(
        ("length", "alphabet"),
        [(0, None), (65_537, None), (8, ""), (8, "a"), (8, "aba"), (8, "ab\n"), (8, "äb")],
    )
    def test_generate_value_refuses(self, tmp_path: Path, length: int, alphabet: str | None) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml())
            with pytest.raises(InvalidRequestError):
                await core.call(ops.GenerateValue(SECRET, length, alphabet))
            with pytest.raises(NoValueError):
                await core.call(ops.GetValue(SECRET))

        in_core(tmp_path, test)

    def test_generate_value_needs_a_secret(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            with pytest.raises(NotFoundError):
                await core.call(ops.GenerateValue(SECRET, 32))

        in_core(tmp_path, test)


class TestDelete:
    def test_delete_leaves_no_record(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(usage=VOLUME))
            await core.call(set_value())
            await core.call(ops.Delete(SECRET))
            for kind in (ATTRIBUTES, VALUE, USAGE):
                assert await keys_of(core, kind) == []
            requests: tuple[ops.Request[ops.Reply], ...] = (
                ops.GetXml(SECRET),
                ops.GetValue(SECRET),
                ops.Delete(SECRET),
                ops.LookupById(SECRET),
                ops.LookupByUsage(VOLUME),
            )
            for request in requests:
                with pytest.raises(NotFoundError):
                    await core.call(request)

        in_core(tmp_path, test)

    def test_the_usage_is_free_again(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(usage=VOLUME))
            await core.call(ops.Delete(SECRET))
            assert (await core.call(set_xml(OTHER, usage=VOLUME))).secret == OTHER

        in_core(tmp_path, test)


class TestDigest:
    CHANGES = pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda digest: set_xml(digest=digest, description="new"), id="set-xml"),
            pytest.param(lambda digest: ops.Define(document(SECRET), digest), id="define"),
            pytest.param(lambda digest: ops.SetValue(SECRET, SecretValue(b"x"), digest=digest), id="set-value"),
            pytest.param(lambda digest: ops.GenerateValue(SECRET, 8, digest=digest), id="generate-value"),
            pytest.param(lambda digest: ops.Delete(SECRET, digest), id="delete"),
        ],
    )

    @CHANGES
    def test_a_change_with_the_digest_is_made(
        self, tmp_path: Path, change: Callable[[Digest], ops.Request[ops.Reply]]
    ) -> None:
        async def test(core: Core) -> None:
            digest = (await core.call(set_xml())).digest
            await core.call(change(digest))

        in_core(tmp_path, test)

    @CHANGES
    def test_a_change_with_an_old_digest_changes_nothing(
        self, tmp_path: Path, change: Callable[[Digest], ops.Request[ops.Reply]]
    ) -> None:
        async def test(core: Core) -> None:
            old = (await core.call(set_xml())).digest
            newer = (await core.call(set_value())).digest
            assert newer != old
            revision = await core.store.revision()
            with pytest.raises(DigestMismatchError):
                await core.call(change(old))
            assert await core.store.revision() == revision
            assert (await core.call(ops.GetXml(SECRET))).digest == newer

        in_core(tmp_path, test)

    @CHANGES
    def test_a_digest_of_nothing_creates_nothing(
        self, tmp_path: Path, change: Callable[[Digest], ops.Request[ops.Reply]]
    ) -> None:
        async def test(core: Core) -> None:
            with pytest.raises(NotFoundError):
                await core.call(change(NO_DIGEST))
            assert await keys_of(core, ATTRIBUTES) == []

        in_core(tmp_path, test)

    def test_every_reply_has_the_same_digest(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            changed = await core.call(set_xml(usage=VOLUME))
            assert (await core.call(ops.GetXml(SECRET))).digest == changed.digest
            assert (await core.call(ops.LookupById(SECRET))).digest == changed.digest
            assert (await core.call(ops.LookupByUsage(VOLUME))).digest == changed.digest
            (entry,) = (await core.call(ops.List())).entries
            assert entry.digest == changed.digest

        in_core(tmp_path, test)

    def test_a_secret_made_again_has_another_digest(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            first = await core.call(set_xml())
            await core.call(ops.Delete(SECRET))
            assert (await core.call(set_xml())).digest != first.digest

        in_core(tmp_path, test)


class TestUsage:
    @pytest.mark.parametrize("first_ephemeral", [False, True])
    @pytest.mark.parametrize("second_ephemeral", [False, True])
    def test_a_usage_is_unique_over_all_secrets(
        self, tmp_path: Path, first_ephemeral: bool, second_ephemeral: bool
    ) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(SECRET, usage=VOLUME, ephemeral=first_ephemeral))
            with pytest.raises(ConflictError):
                await core.call(set_xml(OTHER, usage=VOLUME, ephemeral=second_ephemeral))
            assert (await core.call(ops.LookupByUsage(VOLUME))).secret == SECRET
            with pytest.raises(NotFoundError):
                await core.call(ops.GetXml(OTHER))

        in_core(tmp_path, test)

    def test_one_of_two_at_once_gets_the_usage(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            requests = [core.call(set_xml(uuid4(), usage=VOLUME, ephemeral=number % 2 == 0)) for number in range(20)]
            results = await asyncio.gather(*requests, return_exceptions=True)
            won = [result for result in results if isinstance(result, ops.Changed)]
            assert len(won) == 1
            assert sum(isinstance(result, ConflictError) for result in results) == len(results) - 1
            assert (await core.call(ops.LookupByUsage(VOLUME))).secret == won[0].secret

        in_core(tmp_path, test)

    def test_a_changed_usage_leads_to_the_secret_and_frees_the_old(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            ceph = Usage(UsageType.CEPH, VOLUME.id)
            await core.call(set_xml(usage=VOLUME))
            await core.call(set_xml(usage=ceph))
            assert (await core.call(ops.LookupByUsage(ceph))).secret == SECRET
            with pytest.raises(NotFoundError):
                await core.call(ops.LookupByUsage(VOLUME))

        in_core(tmp_path, test)


class TestPrivate:
    @pytest.mark.parametrize("ephemeral", [False, True])
    def test_the_value_is_refused_to_who_is_not_elevated(self, tmp_path: Path, ephemeral: bool) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(private=True, ephemeral=ephemeral))
            with pytest.raises(PrivateError):
                await core.call(ops.GetValue(SECRET))
            await core.call(set_value())
            with pytest.raises(PrivateError):
                await core.call(ops.GetValue(SECRET))

        in_core(tmp_path, test)

    @pytest.mark.parametrize("change", [set_xml(), ops.Define(document(SECRET))], ids=["set-xml", "define"])
    def test_once_yes_it_stays_yes(self, tmp_path: Path, change: ops.Request[ops.Changed]) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(private=True))
            with pytest.raises(OperationInvalidError, match="private"):
                await core.call(change)
            assert (await attributes_of(core)).private

        in_core(tmp_path, test)

    def test_the_value_of_a_private_secret_is_sealed_by_the_node(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_value())
            record = await core.store.get(VALUE + SECRET.bytes)
            assert record is not None
            assert peek(record.value).domain is Domain.SHARED
            await core.call(set_xml(private=True))
            moved = await core.store.get(VALUE + SECRET.bytes)
            assert moved is not None
            assert peek(moved.value).domain is Domain.NODE

        in_core(tmp_path, test)


class TestEphemeral:
    def test_it_never_passes_the_store(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            revision = await core.store.revision()
            allocated = await core.call(ops.AllocateId("gone soon", ephemeral=True))
            await core.call(set_xml(allocated.secret, usage=VOLUME, ephemeral=True))
            await core.call(set_value(b"in memory", allocated.secret))
            await core.call(ops.SetValue(OTHER, SecretValue(b"too"), ephemeral=True))
            assert await value_of(core, allocated.secret) == b"in memory"
            assert await value_of(core, OTHER) == b"too"
            await core.call(ops.Delete(OTHER))
            assert await core.store.revision() == revision

        in_core(tmp_path, test)

    def test_it_is_gone_after_a_restart(self, tmp_path: Path) -> None:
        async def before(core: Core) -> None:
            await core.call(ops.SetValue(SECRET, SecretValue(b"x"), ephemeral=True))

        async def after(core: Core) -> None:
            with pytest.raises(NotFoundError):
                await core.call(ops.GetXml(SECRET))

        in_core(tmp_path, before)
        in_core(tmp_path, after)

    def test_making_a_persistent_one_ephemeral_removes_its_records(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(usage=VOLUME))
            await core.call(set_value())
            await core.call(set_xml(usage=VOLUME, ephemeral=True))
            for kind in (ATTRIBUTES, VALUE, USAGE):
                assert await keys_of(core, kind) == []
            assert await value_of(core) == b"hunter2"
            assert (await core.call(ops.LookupByUsage(VOLUME))).secret == SECRET

        in_core(tmp_path, test)

    def test_one_may_be_made_persistent(self, tmp_path: Path) -> None:
        async def before(core: Core) -> None:
            await core.call(set_xml(usage=VOLUME, ephemeral=True))
            await core.call(set_value())
            await core.call(set_xml(usage=VOLUME))

        async def after(core: Core) -> None:
            assert await value_of(core) == b"hunter2"

        in_core(tmp_path, before)
        in_core(tmp_path, after)

    def test_set_value_asking_for_ephemeral_never_writes_to_disk(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml())
            with pytest.raises(OperationInvalidError, match="not ephemeral"):
                await core.call(ops.SetValue(SECRET, SecretValue(b"x"), ephemeral=True))
            with pytest.raises(NoValueError):
                await core.call(ops.GetValue(SECRET))

        in_core(tmp_path, test)


class TestUnknownOutcome:
    """A move between memory and the store whose commit fails, and was perhaps made all the same."""

    @pytest.mark.parametrize("applied", [True, False], ids=["applied", "not-applied"])
    @pytest.mark.parametrize("to_ephemeral", [True, False], ids=["to-memory", "to-the-store"])
    def test_the_secret_is_neither_lost_nor_seen_twice(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to_ephemeral: bool, applied: bool
    ) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(usage=VOLUME, ephemeral=not to_ephemeral))
            await core.call(set_value())
            really_commit = core.store.commit

            async def fail(*arguments: Any) -> int:
                if applied:
                    await really_commit(*arguments)
                raise StoreOutcomeUnknownError("perhaps")

            with monkeypatch.context() as patch:
                patch.setattr(core.store, "commit", fail)
                with pytest.raises(StoreOutcomeUnknownError):
                    await core.call(set_xml(usage=VOLUME, ephemeral=to_ephemeral))
            assert await value_of(core) == b"hunter2"
            assert len((await core.call(ops.List())).entries) == 1
            await core.call(set_xml(usage=VOLUME, ephemeral=to_ephemeral))
            assert await value_of(core) == b"hunter2"
            assert (await keys_of(core, ATTRIBUTES) == []) is to_ephemeral
            await core.call(ops.Delete(SECRET))
            assert (await core.call(ops.List())).entries == ()
            for kind in (ATTRIBUTES, VALUE, USAGE):
                assert await keys_of(core, kind) == []

        in_core(tmp_path, test)


class TestConcurrency:
    def test_changes_to_one_secret_follow_each_other(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            values = [f"value {number}".encode() for number in range(40)]
            changes = await asyncio.gather(*(core.call(set_value(value)) for value in values))
            assert len({changed.digest for changed in changes}) == len(values)
            assert await value_of(core) == values[-1]

        in_core(tmp_path, test)

    def test_of_many_with_one_digest_one_wins(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            digest = (await core.call(set_xml())).digest
            changes = [core.call(set_xml(digest=digest, description=str(number))) for number in range(20)]
            results = await asyncio.gather(*changes, return_exceptions=True)
            assert sum(isinstance(result, ops.Changed) for result in results) == 1
            assert sum(isinstance(result, DigestMismatchError) for result in results) == len(results) - 1

        in_core(tmp_path, test)

    def test_reads_beside_writes_see_whole_states(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_value(b"0" * 100))
            writes = [core.call(set_value(str(number % 10).encode() * 100)) for number in range(50)]
            read = [core.call(ops.GetValue(SECRET)) for _ in range(50)]
            both = [task for pair in zip(writes, read, strict=True) for task in pair]
            for result in await asyncio.gather(*both):
                if isinstance(result, ops.GotValue):
                    assert len(set(result.value.reveal())) == 1

        in_core(tmp_path, test)


class TestDamage:
    """Records that are authentic, but not where or when they belong."""

    @pytest.mark.parametrize("private", [False, True])
    def test_an_older_value_beside_newer_attributes(self, tmp_path: Path, private: bool) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(private=private))
            await core.call(set_value(b"old"))
            old = await core.store.get(VALUE + SECRET.bytes)
            await core.call(set_value(b"new"))
            assert old is not None
            await self.put(core, VALUE + SECRET.bytes, old.value)
            await self.assert_corrupt(core)

        in_core(tmp_path, test)

    def test_the_value_of_an_earlier_secret_of_the_same_id(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_value(b"old"))
            old = await core.store.get(VALUE + SECRET.bytes)
            await core.call(ops.Delete(SECRET))
            await core.call(set_value(b"new"))
            assert old is not None
            await self.put(core, VALUE + SECRET.bytes, old.value)
            await self.assert_corrupt(core)

        in_core(tmp_path, test)

    def test_another_secrets_value(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_value(b"mine"))
            await core.call(set_value(b"other", OTHER))
            other = await core.store.get(VALUE + OTHER.bytes)
            assert other is not None
            await self.put(core, VALUE + SECRET.bytes, other.value)
            await self.assert_corrupt(core)

        in_core(tmp_path, test)

    def test_a_missing_value(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_value())
            await core.store.commit([Delete(VALUE + SECRET.bytes)], [])
            await self.assert_corrupt(core)

        in_core(tmp_path, test)

    def test_a_usage_that_leads_elsewhere(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(set_xml(usage=VOLUME))
            (key,) = await keys_of(core, USAGE)
            record = await core.store.get(key)
            assert record is not None
            await core.call(set_xml())
            await self.put(core, key, record.value)
            with pytest.raises(SecretdError) as raised:
                await core.call(ops.LookupByUsage(VOLUME))
            assert raised.value.code == "store-corrupt"

        in_core(tmp_path, test)

    async def put(self, core: Core, key: bytes, value: bytes) -> None:
        await core.store.commit([Put(key, value)], [])

    async def assert_corrupt(self, core: Core) -> None:
        with pytest.raises(SecretdError) as raised:
            await core.service.call(ELEVATED, ops.GetValue(SECRET))
        assert raised.value.code == "store-corrupt"
