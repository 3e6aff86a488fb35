"""Grants that are not in force, and changes of which nobody knows whether they were made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from helpers.core import OWNER, Core, open_granting_core
from helpers.failing_store import FAILURES, Failing
from helpers.granting import (
    ALICE,
    MINE,
    STRANGER,
    assert_none_is_in_force,
    fill,
    fill_and_grant,
    grant,
    grants_in,
    in_core,
    may_read,
)
from helpers.rows import put_rows, rows_of
from secretd import grantrequests as requests
from secretd import operations as ops
from secretd import storerequests
from secretd.errors import (
    AccessDeniedError,
    NoGrantError,
    SealError,
    StoreCorruptError,
    StoreOutcomeUnknownError,
    StoreUnavailableError,
)
from secretd.grants import (
    PermissionSet,
)
from secretd.store.base import Operation, RevisionIs
from secretd.store.reading import Snapshot


class TestWhileTheGrantsAreNotInForce:
    def test_nothing_is_proposed_and_what_is_said_is_what_would_be_heard(self, tmp_path: Path) -> None:
        fill_and_grant(tmp_path)
        rows = rows_of(tmp_path)
        del rows[next(iter(grants_in(rows)))]
        put_rows(tmp_path, rows)

        async def test(core: Core) -> None:
            explained = await core.call(requests.Explain("get-value", MINE, uid=ALICE.uid))
            assert (explained.allowed, explained.code, explained.grants) == (False, StoreCorruptError.code, ())
            owner = await core.call(requests.Explain("get-value", MINE, uid=OWNER.uid))
            assert (owner.allowed, owner.grants) == (True, ())
            await core.call(storerequests.StoreAccept())
            explained = await core.call(requests.Explain("get-value", MINE, uid=STRANGER.uid))
            assert (explained.allowed, explained.code) == (False, AccessDeniedError.code)
            assert explained.grants

        in_core(tmp_path, test)

    def test_until_they_are_read_the_daemon_is_sealed_for_who_needs_one(self, tmp_path: Path) -> None:
        fill_and_grant(tmp_path)

        async def run() -> None:
            async with open_granting_core(tmp_path) as core:
                reading, go_on = asyncio.Event(), asyncio.Event()
                snapshot = core.store.snapshot

                @asynccontextmanager
                async def slow() -> AsyncIterator[Snapshot]:
                    reading.set()
                    await go_on.wait()
                    async with snapshot() as taken:
                        yield taken

                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(core.store, "snapshot", slow)
                    unsealing = asyncio.ensure_future(core.service.unsealed())
                    await reading.wait()
                    for caller in (ALICE, STRANGER):
                        with pytest.raises(SealError, match="try again"):
                            await core.call(ops.Whoami(), caller)
                    assert await may_read(core, MINE, OWNER)
                    go_on.set()
                    await unsealing
                assert await may_read(core, MINE)
                with pytest.raises(AccessDeniedError):
                    await core.call(ops.Whoami(), STRANGER)

        asyncio.run(run())

    def test_if_they_cannot_be_read_that_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fill_and_grant(tmp_path)

        async def test(core: Core) -> None:
            with monkeypatch.context() as patch:
                patch.setattr(core.store, "snapshot", failing)
                await core.service.unsealed()
            await assert_none_is_in_force(core)
            assert (await core.call(requests.GrantList())).grants == ()

        def failing() -> NoReturn:
            raise StoreUnavailableError("the disk is away")

        in_core(tmp_path, test)


@pytest.mark.parametrize("error", FAILURES)
@pytest.mark.parametrize("made", [True, False], ids=["made", "not-made"])
class TestAChangeOfWhichNobodyKnowsWhetherItWasMade:
    """What is in force is what is on disk, and it can be changed again."""

    def changed(
        self,
        root: Path,
        request: ops.Request[ops.Reply],
        error: BaseException,
        test: Callable[[Core], Awaitable[None]],
        *,
        made: bool,
    ) -> None:
        async def change(core: Core) -> None:
            await fill(core)
            await core.call(requests.GrantAdd(grant("one")))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(core.store, "commit", Failing(core.store.commit, made, error))
                with pytest.raises(type(error)):
                    await core.call(request)
            await test(core)
            assert not (await core.call(storerequests.Check())).problems

        in_core(root, change)

    def test_a_removal(self, tmp_path: Path, error: BaseException, made: bool) -> None:
        async def test(core: Core) -> None:
            assert await may_read(core, MINE) is not made
            if made:
                with pytest.raises(NoGrantError):
                    await core.call(requests.GrantRemove("one"))
            else:
                await core.call(requests.GrantRemove("one"))
            assert not await may_read(core, MINE)
            await core.call(requests.GrantAdd(grant("one")))
            assert await may_read(core, MINE)

        self.changed(tmp_path, requests.GrantRemove("one"), error, test, made=made)

    def test_a_narrower_one(self, tmp_path: Path, error: BaseException, made: bool) -> None:
        narrower = requests.GrantAdd(grant("one", PermissionSet.DELETE_ONLY), replace=True)

        async def test(core: Core) -> None:
            assert await may_read(core, MINE) is not made
            await core.call(narrower)
            assert not await may_read(core, MINE)
            await core.call(requests.GrantRemove("one"))

        self.changed(tmp_path, narrower, error, test, made=made)


def test_a_removal_that_was_made_unseen_is_done_when_it_is_asked_for_again(tmp_path: Path) -> None:
    """The store fails, and then cannot even be read."""

    async def test(core: Core) -> None:
        await fill(core)
        await core.call(requests.GrantAdd(grant("one")))

        async def failing(*_: bytes) -> NoReturn:
            raise StoreUnavailableError("the disk is away")

        async def commit(changes: Sequence[Operation], conditions: Sequence[RevisionIs] = ()) -> NoReturn:
            patch.setattr(core.store, "get", failing)
            await whole(changes, conditions)
            raise StoreOutcomeUnknownError("perhaps")

        whole = core.store.commit
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(core.store, "commit", commit)
            with pytest.raises(StoreOutcomeUnknownError):
                await core.call(requests.GrantRemove("one"))
        await core.call(requests.GrantRemove("one"))
        assert not await may_read(core, MINE)
        assert not (await core.call(storerequests.Check())).problems

    in_core(tmp_path, test)
