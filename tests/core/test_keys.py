"""Keys: made, shown, and used to seal and to open."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.core import Core, in_core
from helpers.keys import CONTEXT, NIGHTLY, OTHER, PLAIN, create, describe, opened, seal
from secretd import keyrequests as requests
from secretd import limits
from secretd.errors import (
    ConflictError,
    DecryptionError,
    InvalidRequestError,
    InvalidValueError,
    NoKeyError,
)
from secretd.keys import (
    Blob,
    DataKeySpec,
    KeyBackend,
    KeyDocument,
    KeyId,
    KeyOrigin,
    KeyState,
    Tag,
    key_id_of,
)
from secretd.model import SecretValue


class TestAKeyThatIsMade:
    def test_is_described(self, tmp_path: Path) -> None:
        document = KeyDocument(
            NIGHTLY, description="nightly backups", tags=(Tag("env", "prod"),), exportable=True, rotation=90
        )

        async def test(core: Core) -> None:
            made = await create(core, NIGHTLY, document)
            said = await describe(core)
            assert (made.key, made.digest) == (NIGHTLY, said.digest)
            assert said.document == document
            assert (said.state, said.version, said.backend) == (KeyState.ENABLED, 1, KeyBackend.LOCAL)
            assert not said.default
            assert (said.rotated, said.archived, said.due, said.references) == (None, None, None, ())
            assert [(one.number, one.origin, one.uses) for one in said.versions] == [(1, KeyOrigin.GENERATED, 0)]
            assert said.versions[0].created == said.created

        in_core(tmp_path, test)

    def test_gets_an_id_if_none_is_given(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            made = await core.call(requests.KeyCreate(KeyDocument()))
            assert key_id_of(made.key) == made.key
            assert (await describe(core, made.key)).document.id == made.key

        in_core(tmp_path, test)

    def test_takes_its_id_from_all_others(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await create(core)
            with pytest.raises(ConflictError, match="not free"):
                await create(core)
            with pytest.raises(ConflictError, match="not free"):
                await core.call(requests.KeyImport(KeyDocument(NIGHTLY), SecretValue(bytes(32))))

        in_core(tmp_path, test)

    def test_is_there_after_a_start(self, tmp_path: Path) -> None:
        blobs: list[Blob] = []

        async def first(core: Core) -> None:
            await create(core)
            await create(core, OTHER)
            blobs.append(await seal(core))

        async def second(core: Core) -> None:
            listed = await core.call(requests.KeyList())
            assert [entry.key for entry in listed.entries] == [NIGHTLY, OTHER]
            assert await opened(core, blobs[0]) == PLAIN
            assert await opened(core, await seal(core)) == PLAIN

        in_core(tmp_path, first)
        in_core(tmp_path, second)

    def test_can_be_of_bytes_that_are_given(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await core.call(requests.KeyImport(KeyDocument(NIGHTLY), SecretValue(bytes(range(32)))))
            assert [one.origin for one in (await describe(core)).versions] == [KeyOrigin.IMPORTED]
            assert await opened(core, await seal(core)) == PLAIN
            with pytest.raises(InvalidValueError, match="32 bytes"):
                await core.call(requests.KeyImport(KeyDocument(OTHER), SecretValue(bytes(31))))
            with pytest.raises(NoKeyError):
                await describe(core, OTHER)

        in_core(tmp_path, test)


class TestAList:
    def test_comes_in_pages(self, tmp_path: Path) -> None:
        names = [KeyId(f"key-{number:02}") for number in range(25)]

        async def test(core: Core) -> None:
            for name in reversed(names):
                await create(core, name)
            seen, marker = [], None
            while True:
                page = await core.call(requests.KeyList(10, marker))
                seen += [entry.key for entry in page.entries]
                marker = page.next_marker
                assert page.truncated == (marker is not None)
                if marker is None:
                    break
            assert seen == names

        in_core(tmp_path, test)

    def test_stays_within_a_message(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            for number in range(limits.PAGE_BYTES // 6_000):
                name = KeyId(f"key-{number:02}")
                await create(core, name, KeyDocument(name, description='"' * limits.KEY_DESCRIPTION_BYTES))
            page = await core.call(requests.KeyList(limits.PAGE_ENTRIES))
            assert page.truncated
            assert 6 * sum(len(entry.description or "") for entry in page.entries) < limits.PAGE_BYTES

        in_core(tmp_path, test)


class TestSealing:
    def test_what_is_sealed_opens_with_its_context_alone(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await create(core)
            await create(core, OTHER)
            blob = await seal(core)
            assert await opened(core, blob) == PLAIN
            assert await opened(core, blob, NIGHTLY) == PLAIN
            assert await opened(core, blob, context=CONTEXT[::-1]) == PLAIN
            said = set()
            for wrong in (
                requests.Decrypt(blob, NIGHTLY),
                requests.Decrypt(blob, NIGHTLY, CONTEXT[:1]),
                requests.Decrypt(blob, OTHER, CONTEXT),
                requests.Decrypt(Blob(blob.data[:-1]), NIGHTLY, CONTEXT),
                requests.Decrypt(Blob(blob.data.replace(b"nightly", b"nowhere")), None, CONTEXT),
                requests.Decrypt(Blob(b"sdb"), None, CONTEXT),
            ):
                with pytest.raises(DecryptionError) as raised:
                    await core.call(wrong)
                said.add(raised.value.message)
            assert len(said) == 1

        in_core(tmp_path, test)

    @pytest.mark.parametrize(("spec", "length"), [(DataKeySpec.AES_128, 16), (DataKeySpec.AES_256, 32)])
    def test_a_data_key_is_what_its_blob_holds(self, tmp_path: Path, spec: DataKeySpec, length: int) -> None:
        async def test(core: Core) -> None:
            await create(core)
            made = await core.call(requests.GenerateDataKey(NIGHTLY, spec, clear=True, context=CONTEXT))
            assert (made.key, made.version) == (NIGHTLY, 1)
            assert made.value is not None
            assert len(made.value) == length
            assert await opened(core, made.blob) == made.value.reveal()
            wrapped = await core.call(requests.GenerateDataKey(NIGHTLY, spec, clear=False, context=CONTEXT))
            assert wrapped.value is None
            assert len(await opened(core, wrapped.blob)) == length

        in_core(tmp_path, test)

    def test_the_default_key_seals_where_none_is_named(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await create(core)
            with pytest.raises(InvalidRequestError, match="no default key"):
                await seal(core, None)
            await core.call(requests.KeyDefault(NIGHTLY))
            assert (await describe(core)).default
            assert await opened(core, await seal(core, None), NIGHTLY) == PLAIN
            await core.call(requests.KeyDefault(None))
            with pytest.raises(InvalidRequestError, match="no default key"):
                await core.call(requests.GenerateDataKey())

        in_core(tmp_path, test)

    def test_each_use_is_counted_before_it_is_made(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            await create(core)
            for uses in range(1, 4):
                await seal(core)
                assert (await describe(core)).versions[0].uses == uses

        async def after_a_start(core: Core) -> None:
            assert (await describe(core)).versions[0].uses == limits.VERSION_USES_BLOCK
            await seal(core)
            assert (await describe(core)).versions[0].uses == limits.VERSION_USES_BLOCK + 1

        in_core(tmp_path, test)
        in_core(tmp_path, after_a_start)

    def test_a_key_that_is_not_there_seals_nothing(self, tmp_path: Path) -> None:
        async def test(core: Core) -> None:
            with pytest.raises(NoKeyError):
                await seal(core)
            with pytest.raises(NoKeyError):
                await describe(core)

        in_core(tmp_path, test)
