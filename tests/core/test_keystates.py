"""The states of keys: every state and every command, as docs/keys.md's two tables have them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.asynchronous import run
from helpers.core import Core, open_core
from helpers.keys import CONTEXT, NIGHTLY, OTHER, PLAIN, create, describe, opened, seal
from helpers.tree import ROOT
from secretd import keyrequests as requests
from secretd import limits
from secretd.core.keystates import ALLOWED, Action
from secretd.errors import NoKeyError, WrongStateError
from secretd.keys import Blob, KeyDocument, KeyState
from secretd.lifecycle import ReferenceKind
from secretd.model import SecretValue
from secretd.requests import Request

PAGE = (ROOT / "docs" / "keys.md").read_text(encoding="utf-8")
STATES = {state.value.replace("-", " "): state for state in KeyState}


def rows(head: str) -> list[list[str]]:
    """Read the table of the page whose head begins so."""
    (table,) = re.findall(rf"^\| {re.escape(head)}.*\n\|[- |]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table.splitlines()]


def states_in(cell: str) -> set[KeyState]:
    return {STATES[name] for name in cell.split(", ")}


def test_what_a_state_allows_is_what_the_page_says() -> None:
    table = {STATES[state]: (seals, opens) for state, seals, opens, _ in rows("state | generate")}
    assert set(table) == set(KeyState)
    yes = {True: "yes", False: "no"}
    for state, said in table.items():
        assert said == (yes[state in ALLOWED[Action.SEAL]], yes[state in ALLOWED[Action.OPEN]])


def named(command: str) -> Action:
    return Action(command.removesuffix("`, named twice").removeprefix("the "))


COMMANDS = {named(command): (states_in(source), target) for command, source, target in rows("command | from")}


def test_from_where_a_command_may_be_is_what_the_page_says() -> None:
    assert len(COMMANDS) == 8
    for action, (sources, _) in COMMANDS.items():
        assert ALLOWED[action] == sources


def test_what_follows_the_tables_is_what_the_page_says() -> None:
    said = " ".join(PAGE.split())
    assert (
        "`key-rotate` and whatever seals need the state enabled; `key-update`, `key-attach` and `key-detach` any"
        in said
    )
    assert ALLOWED[Action.ROTATE] == ALLOWED[Action.SEAL] == ALLOWED[Action.DEFAULT] == {KeyState.ENABLED}
    all_but = set(KeyState) - {KeyState.PENDING_DELETION}
    assert all(ALLOWED[action] == all_but for action in (Action.UPDATE, Action.ATTACH, Action.DETACH))
    assert "and `key-export` any but that and disabled" in said
    assert ALLOWED[Action.EXPORT] == all_but - {KeyState.DISABLED}


def test_every_action_is_judged_in_every_state() -> None:
    assert set(ALLOWED) == set(Action)


WAYS: dict[KeyState, tuple[Request[Any], ...]] = {
    KeyState.ENABLED: (),
    KeyState.DISABLED: (requests.KeyDisable(NIGHTLY),),
    KeyState.ARCHIVED: (requests.KeyArchive(NIGHTLY),),
    KeyState.PENDING_DELETION: (requests.KeyArchive(NIGHTLY), requests.KeyScheduleDeletion(NIGHTLY)),
}
"""How a key gets into each state."""

Done = Callable[[Core, Blob], Awaitable[object]]


async def rewrap_to(core: Core, _: Blob) -> object:
    blob = await seal(core, OTHER)
    return await core.call(requests.Rewrap(blob, NIGHTLY, CONTEXT))


DOING: dict[Action, tuple[Done, ...]] = {
    Action.SEAL: (
        lambda core, _: seal(core),
        lambda core, _: core.call(requests.GenerateDataKey(NIGHTLY)),
        lambda core, blob: core.call(requests.Rewrap(blob, None, CONTEXT)),
        rewrap_to,
    ),
    Action.OPEN: (
        opened,
        lambda core, blob: core.call(requests.Rewrap(blob, OTHER, CONTEXT)),
    ),
    Action.ENABLE: (lambda core, _: core.call(requests.KeyEnable(NIGHTLY)),),
    Action.DISABLE: (lambda core, _: core.call(requests.KeyDisable(NIGHTLY)),),
    Action.ROTATE: (lambda core, _: core.call(requests.KeyRotate(NIGHTLY)),),
    Action.ARCHIVE: (lambda core, _: core.call(requests.KeyArchive(NIGHTLY)),),
    Action.RESTORE: (lambda core, _: core.call(requests.KeyRestore(NIGHTLY)),),
    Action.SCHEDULE_DELETION: (lambda core, _: core.call(requests.KeyScheduleDeletion(NIGHTLY)),),
    Action.CANCEL_DELETION: (lambda core, _: core.call(requests.KeyCancelDeletion(NIGHTLY)),),
    Action.DELETE: (lambda core, _: core.call(requests.KeyDelete(NIGHTLY, NIGHTLY)),),
    Action.UPDATE: (
        lambda core, _: core.call(requests.KeyUpdate(NIGHTLY, KeyDocument(description="new", exportable=True))),
    ),
    Action.ATTACH: (lambda core, _: core.call(requests.KeyAttach(NIGHTLY, "two", ReferenceKind.ASSOCIATED)),),
    Action.DETACH: (),
    Action.EXPORT: (lambda core, _: core.call(requests.KeyExport(NIGHTLY)),),
    Action.DEFAULT: (lambda core, _: core.call(requests.KeyDefault(NIGHTLY)),),
    Action.END_OF_WINDOW: (),
}


async def in_state(core: Core, state: KeyState) -> Blob:
    await create(core, NIGHTLY, KeyDocument(NIGHTLY, exportable=True))
    await create(core, OTHER)
    blob = await seal(core)
    for way in WAYS[state]:
        await core.call(way)
    assert (await describe(core)).state is state
    return blob


@pytest.mark.parametrize("state", KeyState, ids=lambda state: state.value)
def test_every_command_in_every_state_does_what_the_table_says(state: KeyState, tmp_path: Path) -> None:
    async def one(root: Path, action: Action, do: Done) -> None:
        async with open_core(root) as core:
            blob = await in_state(core, state)
            before = await describe(core)
            if state not in ALLOWED[action]:
                with pytest.raises(WrongStateError, match=f"the key is {state.value.replace('-', ' ')}"):
                    await do(core, blob)
                assert await describe(core) == before
                return
            await do(core, blob)
            if action not in COMMANDS:
                assert (await describe(core)).state is state
                return
            target = COMMANDS[action][1]
            if target == "destroyed":
                with pytest.raises(NoKeyError):
                    await describe(core)
            elif target in STATES:
                assert (await describe(core)).state is STATES[target]

    tried = 0
    for action, ways in DOING.items():
        for do in ways:
            root = tmp_path / str(tried)
            root.mkdir(mode=0o700)
            run(one(root, action, do))
            tried += 1
    assert tried >= len(Action)


@pytest.mark.parametrize("disabled", [True, False])
def test_what_is_brought_back_is_what_it_was_before(disabled: bool, tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            await create(core)
            blob = await seal(core)
            if disabled:
                await core.call(requests.KeyDisable(NIGHTLY))
            before = (await describe(core)).state
            await core.call(requests.KeyArchive(NIGHTLY))
            assert await opened(core, blob) == PLAIN
            scheduled = await core.call(requests.KeyScheduleDeletion(NIGHTLY, limits.WINDOW_DAYS_LEAST))
            said = await describe(core)
            assert (said.due, said.archived is not None) == (scheduled.due, True)
            await core.call(requests.KeyCancelDeletion(NIGHTLY))
            assert (await describe(core)).state is KeyState.ARCHIVED
            await core.call(requests.KeyRestore(NIGHTLY))
            assert (await describe(core)).state is before

    asyncio.run(test())


def test_a_list_leaves_out_what_is_out_of_use_unless_asked(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            await create(core)
            await create(core, OTHER)
            await core.call(requests.KeyImport(KeyDocument(), SecretValue(bytes(32))))
            await core.call(requests.KeyArchive(NIGHTLY))
            assert NIGHTLY not in [one.key for one in (await core.call(requests.KeyList())).entries]
            (listed,) = [
                one for one in (await core.call(requests.KeyList(archived=True))).entries if one.key == NIGHTLY
            ]
            assert listed.state is KeyState.ARCHIVED

    asyncio.run(test())
