"""Every error that a peer may meet, through a live socket: raised on one side, and the same on the other."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from helpers.serving import serving
from secretd import operations as ops
from secretd.client import AsyncClient
from secretd.core.service import Service
from secretd.doors.native import NativeSession
from secretd.errors import ERRORS_BY_CODE, WIRE_ERRORS, InternalError, LibvirtError, SecretdError
from secretd.model import SecretValue

CANARY = "c4n4ry in an exception"
REQUEST = ops.SetValue(UUID(int=1), SecretValue(CANARY.encode()))


class FailingService:
    """Stands in for the core, which can't be made to raise each error; only what a door calls of it."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def admit(self, *_: Any) -> None:
        """Let everybody in."""

    def forget(self, *_: Any) -> None:
        """Tell nobody anything."""

    async def call(self, *_: Any) -> ops.Reply:
        """Fail."""
        raise self._error


async def ask(root: Path, error: Exception) -> SecretdError:
    door: Any = partial(NativeSession, FailingService(error))  # type: ignore[arg-type]  # see FailingService
    async with serving(root, door) as path, await AsyncClient.connect(path) as client:
        with pytest.raises(SecretdError) as raised:
            await client.call(REQUEST)
        return raised.value


@pytest.mark.parametrize("kind", WIRE_ERRORS.values(), ids=WIRE_ERRORS)
def test_each_crosses_as_itself(tmp_path: Path, kind: type[SecretdError]) -> None:
    received = asyncio.run(ask(tmp_path, kind("what went wrong, with <markup> & more")))
    assert type(received) is kind
    assert received.message == "what went wrong, with <markup> & more"


OWN_SIDE = [error for code, error in ERRORS_BY_CODE.items() if code not in WIRE_ERRORS and error is not LibvirtError]


@pytest.mark.parametrize("kind", OWN_SIDE, ids=lambda kind: kind.code)
def test_one_that_is_never_sent_becomes_an_internal_error(tmp_path: Path, kind: type[SecretdError]) -> None:
    received = asyncio.run(ask(tmp_path, kind(f"{CANARY} /a/path/of/the/daemon")))
    assert type(received) is InternalError
    assert CANARY not in received.message


def test_the_table_is_total() -> None:
    """Each class is sent, or is one of those that are met on one's own side only."""
    own_side = set(ERRORS_BY_CODE) - set(WIRE_ERRORS)
    at_the_libvirt_door = {"libvirt-error"}
    assert own_side - at_the_libvirt_door == {
        "local-protocol-error",
        "config-error",
        "unreachable",
        "untrusted-daemon",
        "store-error",
    }
    assert len({error.code for error in ERRORS_BY_CODE.values()}) == len(ERRORS_BY_CODE)


def test_what_nobody_foresaw(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "secretd")
    received = asyncio.run(ask(tmp_path, ZeroDivisionError(CANARY)))
    assert type(received) is InternalError
    (record,) = [record for record in caplog.records if record.name == "secretd.doors.border"]
    fields = vars(record)
    assert fields["id"] in received.message, "the peer's id leads to the place in the log"
    assert fields["kind"] == "ZeroDivisionError"
    assert any("test_errors" in place for place in fields["where"])
    assert CANARY not in received.message
    assert CANARY not in repr(fields)


def test_a_service_has_what_the_stand_in_has() -> None:
    assert {name for name in vars(FailingService) if not name.startswith("_")} <= set(vars(Service))
