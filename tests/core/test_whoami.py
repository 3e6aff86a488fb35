"""What whoami and status say of callers' processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.core import OWNER, Core, make_seal, open_core
from secretd import limits
from secretd import operations as ops
from secretd.core.access import Access
from secretd.core.grantstore import Grants
from secretd.core.service import Service
from secretd.documents.messages import write_reply
from secretd.model import Executable, Mode, PeerStatus, Process, Unit
from secretd.store.registry import open_store


class Known(Process):
    """A process of which this is known."""

    def __init__(self, unit: Unit | None, executable: Executable | None) -> None:
        self._unit, self._executable = unit, executable

    def unit(self) -> Unit | None:
        return self._unit

    def executable(self) -> Executable | None:
        return self._executable

    def sha256(self) -> str | None:
        raise AssertionError("nobody asked for it")


def run(root: Path, test: Callable[[Core], Awaitable[None]]) -> None:
    async def with_core() -> None:
        async with open_core(root) as core:
            await test(core)

    asyncio.run(with_core())


@pytest.mark.parametrize(
    ("process", "said"),
    [
        pytest.param(None, (None, None, None, None), id="no-handle"),
        pytest.param(Known(None, None), (None, None, None, None), id="nothing-known"),
        pytest.param(
            Known(Unit("nginx.service", "0" * 32), Executable("/usr/sbin/nginx", trusted=True)),
            ("nginx.service", "0" * 32, "/usr/sbin/nginx", True),
            id="all",
        ),
        pytest.param(
            Known(Unit("nginx.service"), Executable("/srv/nginx", trusted=False)),
            ("nginx.service", None, "/srv/nginx", False),
            id="not-trusted",
        ),
    ],
)
def test_whoami_says_what_is_known_of_the_process(
    tmp_path: Path, process: Process | None, said: tuple[str | bool | None, ...]
) -> None:
    async def test(core: Core) -> None:
        you = await core.call(ops.Whoami(), replace(OWNER, label="unconfined", process=process))
        assert you.label == "unconfined"
        assert (you.unit, you.invocation, you.executable, you.executable_trusted) == said

    run(tmp_path, test)


@pytest.mark.parametrize(("groups", "named", "further"), [(0, 0, None), (1_024, 1_024, None), (65_536, 1_024, 64_512)])
def test_whoami_names_so_many_groups_and_counts_the_others(
    tmp_path: Path, groups: int, named: int, further: int | None
) -> None:
    async def test(core: Core) -> None:
        you = await core.call(ops.Whoami(), replace(OWNER, groups=tuple(range(groups))))
        assert (len(you.groups), you.further_groups) == (named, further)
        assert len(write_reply(0, ops.BY_REQUEST[ops.Whoami], you)) < limits.MESSAGE_BYTES

    run(tmp_path, test)


@pytest.mark.parametrize("handles", [False, True])
@pytest.mark.parametrize("executables", [False, True])
def test_status_says_what_can_be_known_even_if_sealed(tmp_path: Path, handles: bool, executables: bool) -> None:
    async def test() -> None:
        store = await open_store(f"sqlite://{tmp_path / 'store'}")
        try:
            peers = PeerStatus(handles, executables)
            seal, access = make_seal(tmp_path, store), Access(lambda *_: True)
            service = Service(Mode.SYSTEM, access, seal, store, Grants(store, seal), peers=peers)
            status = await service.call(OWNER, ops.Status())
            assert (status.peer_handles, status.peer_executables) == (handles, executables)
        finally:
            await store.close()

    asyncio.run(test())
