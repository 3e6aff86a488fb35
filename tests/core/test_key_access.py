"""Who may do what with a key: a key that is hidden is not there, and nothing is said before it is known who asks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from helpers.core import OWNER, Core, in_core
from helpers.keys import CONTEXT, NIGHTLY, OTHER, create, describe, key_id, seal
from secretd import keyrequests as requests
from secretd.core.access import AnyTarget, KeyTarget, Policy
from secretd.errors import (
    AccessDeniedError,
    ConflictError,
    DecryptionError,
    InvalidRequestError,
    NoKeyError,
    SecretdError,
)
from secretd.keys import Blob, KeyDocument, KeyId, Tag
from secretd.lifecycle import ReferenceKind
from secretd.model import Caller, Digest, Permission, SecretValue
from secretd.requests import Request

ALICE = Caller(uid=4_711, gid=4_711, pid=1)
WRONG = Digest("0" * 32)
NOWHERE = key_id("nowhere")
PROD, TEST = Tag("env", "prod"), Tag("env", "test")


def holding(*held: tuple[KeyId | Tag, Iterable[Permission]]) -> Policy:
    """Give a policy by which Alice holds these permissions on keys, by id or by tag; the owner holds all."""

    def policy(caller: Caller, permission: Permission, target: AnyTarget) -> bool:
        if caller.uid == OWNER.uid:
            return True
        for what, permissions in held:
            if permission not in permissions:
                continue
            if target is None:
                return True
            if isinstance(target, KeyTarget) and (what == target.id or what in target.tags):
                return True
        return False

    return policy


def about(key: KeyId, blob: Blob) -> dict[str, tuple[Request[Any], set[Permission]]]:
    """Give every request on a key, and what it needs beside getattr."""
    document = KeyDocument(exportable=True)
    admin, archive, delete = {Permission.KEY_ADMIN}, {Permission.ARCHIVE}, {Permission.DELETE}
    return {
        "describe": (requests.KeyDescribe(key), set()),
        "update": (requests.KeyUpdate(key, document), admin),
        "disable": (requests.KeyDisable(key), admin),
        "enable": (requests.KeyEnable(key), admin),
        "rotate": (requests.KeyRotate(key), admin),
        "default": (requests.KeyDefault(key), admin),
        "archive": (requests.KeyArchive(key), archive),
        "restore": (requests.KeyRestore(key), archive),
        "attach": (requests.KeyAttach(key, "one", ReferenceKind.ACTIVE), archive),
        "detach": (requests.KeyDetach(key, "one"), archive),
        "schedule": (requests.KeyScheduleDeletion(key), delete),
        "cancel": (requests.KeyCancelDeletion(key), delete),
        "delete": (requests.KeyDelete(key, key), delete),
        "export": (requests.KeyExport(key), {Permission.EXPORT}),
        "generate": (requests.GenerateDataKey(key), {Permission.GENERATE}),
        "generate-wrapped": (requests.GenerateDataKey(key, clear=False), {Permission.GENERATE_WRAPPED}),
        "encrypt": (requests.Encrypt(SecretValue(b"x"), key), {Permission.ENCRYPT}),
        "rewrap-to": (requests.Rewrap(blob, key, CONTEXT), {Permission.ENCRYPT}),
    }


NAMES = sorted(about(NIGHTLY, Blob(b"x")))


async def fill(core: Core) -> tuple[Blob, Blob]:
    await create(core, NIGHTLY, KeyDocument(NIGHTLY, exportable=True))
    await create(core, OTHER, KeyDocument(OTHER, exportable=True))
    return await seal(core), await seal(core, OTHER)


@pytest.mark.parametrize("name", NAMES)
def test_each_needs_its_permission_on_that_key_and_no_more(name: str, tmp_path: Path) -> None:
    """With all other permissions it is denied, whatever the state; with its own it gets as far as the state."""
    _, needed = about(NIGHTLY, Blob(b"x"))[name]
    at_large = (OTHER, frozenset(Permission))
    with_it = {Permission.GETATTR, *needed}
    without = frozenset(Permission) - needed

    async def denied(core: Core) -> None:
        _, blob = await fill(core)
        request, _ = about(NIGHTLY, blob)[name]
        if needed:
            with pytest.raises(AccessDeniedError):
                await core.call(request, ALICE)

    async def allowed(core: Core) -> None:
        _, blob = await fill(core)
        request, _ = about(NIGHTLY, blob)[name]
        try:
            await core.call(request, ALICE)
        except SecretdError as error:
            assert error.code in {"wrong-state", "invalid-request"}  # noqa: PT017  # any other is a failure

    for place, (test, held) in enumerate(((denied, without), (allowed, with_it))):
        root = tmp_path / str(place)
        root.mkdir(mode=0o700)
        in_core(root, test, holding((NIGHTLY, held), at_large))


@pytest.mark.parametrize("name", NAMES)
def test_a_hidden_key_is_one_that_is_not_there(name: str, tmp_path: Path) -> None:
    hidden = (NIGHTLY, frozenset(Permission) - {Permission.GETATTR})

    async def test(core: Core) -> None:
        _, blob = await fill(core)
        said = []
        for key in (NIGHTLY, NOWHERE):
            request, _ = about(key, blob)[name]
            with pytest.raises(NoKeyError) as raised:
                await core.call(request, ALICE)
            said.append(raised.value.message)
        assert said[0] == said[1]

    in_core(tmp_path, test, holding(hidden, (OTHER, frozenset(Permission))))


def test_a_blob_of_a_hidden_key_opens_as_one_of_none(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        blob, _ = await fill(core)
        gone = Blob(blob.data.replace(NIGHTLY.encode(), NOWHERE.encode()))
        said = set()
        for request in (
            requests.Decrypt(blob, None, CONTEXT),
            requests.Decrypt(blob, NIGHTLY, CONTEXT),
            requests.Decrypt(gone, None, CONTEXT),
            requests.Rewrap(blob, None, CONTEXT),
            requests.Rewrap(blob, OTHER, CONTEXT),
            requests.Rewrap(gone, OTHER, CONTEXT),
        ):
            with pytest.raises(DecryptionError) as raised:
                await core.call(request, ALICE)
            said.add(raised.value.message)
        assert len(said) == 1

    hidden = (NIGHTLY, frozenset(Permission) - {Permission.GETATTR})
    in_core(tmp_path, test, holding(hidden, (OTHER, frozenset(Permission))))


def test_a_denial_says_nothing_of_digest_or_state(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        blob, _ = await fill(core)
        await core.call(requests.KeyDisable(NIGHTLY))
        for request in (
            requests.KeyRotate(NIGHTLY, WRONG),
            requests.KeyDelete(NIGHTLY, NIGHTLY, WRONG),
            requests.Encrypt(SecretValue(b"x"), NIGHTLY),
            requests.Decrypt(blob, None, CONTEXT),
            requests.Decrypt(Blob(blob.data[:-1]), None, CONTEXT),
        ):
            with pytest.raises(AccessDeniedError):
                await core.call(request, ALICE)

    in_core(tmp_path, test, holding((NIGHTLY, {Permission.GETATTR}), (OTHER, frozenset(Permission))))


def test_rewrap_within_a_key_needs_encrypt_and_to_another_decrypt_on_the_first(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        blob, other = await fill(core)
        assert (await core.call(requests.Rewrap(blob, None, CONTEXT), ALICE)).key == NIGHTLY
        assert (await core.call(requests.Rewrap(blob, NIGHTLY, CONTEXT), ALICE)).key == NIGHTLY
        with pytest.raises(AccessDeniedError, match="decrypt"):
            await core.call(requests.Rewrap(blob, OTHER, CONTEXT), ALICE)
        assert (await core.call(requests.Rewrap(other, NIGHTLY, CONTEXT), ALICE)).key == NIGHTLY

    sees = {Permission.GETATTR, Permission.ENCRYPT}
    in_core(tmp_path, test, holding((NIGHTLY, sees), (OTHER, {*sees, Permission.DECRYPT})))


def test_a_list_has_what_may_be_seen_and_its_marker_names_nothing_else(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        for number in range(6):
            name = key_id(f"key-{number}")
            await create(core, name, KeyDocument(name, tags=(PROD,) if number % 2 else ()))
        page = await core.call(requests.KeyList(2), ALICE)
        assert ([one.key for one in page.entries], page.next_marker) == (["key-1", "key-3"], "key-5")
        page = await core.call(requests.KeyList(2, page.next_marker), ALICE)
        assert ([one.key for one in page.entries], page.truncated) == (["key-5"], False)

    in_core(tmp_path, test, holding((PROD, {Permission.GETATTR})))


class TestANewKey:
    def test_is_judged_as_it_would_be(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            for document in (KeyDocument(), KeyDocument(OTHER), KeyDocument(OTHER, tags=(TEST,))):
                for request in (
                    requests.KeyCreate(document),
                    requests.KeyImport(document, SecretValue(bytes(32))),
                    # Nor does he learn what is wrong with it.
                    requests.KeyImport(document, SecretValue(b"short")),
                ):
                    with pytest.raises(AccessDeniedError):
                        await core.call(request, ALICE)
            for document in (KeyDocument(NIGHTLY), KeyDocument(tags=(PROD,)), KeyDocument(OTHER, tags=(PROD,))):
                await core.call(requests.KeyCreate(document), ALICE)

        in_core(tmp_path, test, holding((NIGHTLY, {Permission.KEY_ADMIN}), (PROD, {Permission.KEY_ADMIN})))

    def test_of_a_hidden_ones_id_conflicts_for_who_might_have_made_it(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await fill(core)
            with pytest.raises(ConflictError) as raised:
                await core.call(requests.KeyCreate(KeyDocument(NIGHTLY)), ALICE)
            await core.call(requests.KeyDisable(NIGHTLY))
            await core.call(requests.KeyDelete(NIGHTLY, NIGHTLY))
            with pytest.raises(ConflictError, match=raised.value.message):
                await core.call(requests.KeyCreate(KeyDocument(NIGHTLY)), ALICE)
            with pytest.raises(AccessDeniedError):
                await core.call(requests.KeyCreate(KeyDocument(OTHER)), ALICE)

        in_core(tmp_path, test, holding((NIGHTLY, {Permission.KEY_ADMIN})))


class TestTags:
    ALL = frozenset(Permission)

    @pytest.mark.parametrize(
        ("held", "exportable", "denied"),
        [
            pytest.param(ALL - {Permission.DECRYPT, Permission.EXPORT}, False, "decrypt", id="no-decrypt"),
            pytest.param(ALL - {Permission.EXPORT}, True, "export", id="no-export"),
            pytest.param(ALL - {Permission.EXPORT}, False, None, id="not-exportable"),
            pytest.param(ALL, True, None, id="all"),
        ],
    )
    def test_to_change_them_is_as_good_as_to_open(
        self, held: frozenset[Permission], exportable: bool, denied: str | None, tmp_path: Path
    ) -> None:
        async def test(core: Core) -> None:
            made = KeyDocument(NIGHTLY, tags=(PROD,), exportable=exportable)
            await create(core, NIGHTLY, made)
            said = KeyDocument(description="new", tags=(PROD,), exportable=exportable)
            await core.call(requests.KeyUpdate(NIGHTLY, said), ALICE)
            tagged = KeyDocument(tags=(PROD, Tag("more", "")), exportable=exportable)
            if denied is None:
                await core.call(requests.KeyUpdate(NIGHTLY, tagged), ALICE)
                assert (await describe(core)).document.tags == tagged.tags
            else:
                with pytest.raises(AccessDeniedError, match=denied):
                    await core.call(requests.KeyUpdate(NIGHTLY, tagged), ALICE)
                assert (await describe(core)).document.tags == (PROD,)

        in_core(tmp_path, test, holding((NIGHTLY, held)))

    def test_a_key_is_not_tagged_out_of_ones_own_reach(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await create(core, NIGHTLY, KeyDocument(NIGHTLY, tags=(PROD,)))
            with pytest.raises(AccessDeniedError, match="key-admin"):
                await core.call(requests.KeyUpdate(NIGHTLY, KeyDocument(tags=(TEST,))), ALICE)

        in_core(tmp_path, test, holding((PROD, self.ALL)))


class TestTheDefaultKey:
    def test_is_none_for_who_may_not_see_it(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await fill(core)
            said = []
            for default in (None, NIGHTLY):
                await core.call(requests.KeyDefault(default))
                with pytest.raises(InvalidRequestError) as raised:
                    await core.call(requests.Encrypt(SecretValue(b"x")), ALICE)
                said.append(raised.value.message)
            assert said[0] == said[1]

        in_core(tmp_path, test, holding((OTHER, frozenset(Permission))))

    def test_is_another_only_for_who_administers_both(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await fill(core)
            await core.call(requests.KeyDefault(NIGHTLY))
            for key in (OTHER, None):
                with pytest.raises(AccessDeniedError):
                    await core.call(requests.KeyDefault(key), ALICE)
            assert (await describe(core)).default

        in_core(tmp_path, test, holding((OTHER, frozenset(Permission))))
