"""The native door hands a value of any reply by descriptor to who asks for it so, and as text to who does not."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from helpers.clients import descriptors_in_use
from helpers.serving import serving
from secretd import keyrequests
from secretd.client import AsyncClient
from secretd.doors.native import NativeSession
from secretd.keys import Blob, KeyDocument, KeyFormat, KeyId
from secretd.model import Digest, SecretValue
from secretd.operations import Reply, Request

KEY, BLOB = KeyId("nightly"), Blob(b"sealed")
VALUE, PASSWORD = SecretValue(b"open sesame"), SecretValue(b"correct horse")


class AnsweringService:
    """Stands in for the core: notes what it is asked, and gives one answer; only what a door calls of it."""

    def __init__(self, answer: Reply) -> None:
        self._answer = answer
        self.asked: list[Request[Reply]] = []

    def admit(self, *_: Any) -> None:
        """Let everybody in."""

    def forget(self, *_: Any) -> None:
        """Tell nobody anything."""

    async def call(self, _caller: object, request: Request[Reply], *_: Any) -> Reply:
        """Give the answer."""
        self.asked.append(request)
        return self._answer


async def converse(root: Path, request: Request[Reply], reply: Reply, *, descriptors: bool) -> list[object]:
    service = AnsweringService(reply)
    door: Any = partial(NativeSession, service)  # type: ignore[arg-type]  # see AnsweringService
    async with serving(root, door) as path, await AsyncClient.connect(path, descriptors=descriptors) as client:
        return [await client.call(request), *service.asked]


@pytest.mark.parametrize("descriptors", [False, True], ids=["text", "descriptors"])
@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        pytest.param(
            keyrequests.GenerateDataKey(KEY), keyrequests.DataKey(KEY, 1, BLOB, VALUE), id="generate-data-key"
        ),
        pytest.param(
            keyrequests.GenerateDataKey(KEY, clear=False),
            keyrequests.DataKey(KEY, 1, BLOB),
            id="without-the-clear-half",
        ),
        pytest.param(keyrequests.Encrypt(VALUE, KEY), keyrequests.Encrypted(KEY, 1, BLOB), id="encrypt"),
        pytest.param(keyrequests.Decrypt(BLOB), keyrequests.Decrypted(KEY, 1, VALUE), id="decrypt"),
        pytest.param(
            keyrequests.KeyImport(KeyDocument(KEY), VALUE, KeyFormat.PBS, PASSWORD),
            keyrequests.KeyChanged(KEY, Digest("0" * 32)),
            id="key-import",
        ),
        pytest.param(
            keyrequests.KeyExport(KEY, password=PASSWORD), keyrequests.KeyExported(1, VALUE, "00"), id="key-export"
        ),
    ],
)
def test_values_arrive(tmp_path: Path, request_: Request[Reply], reply: Reply, descriptors: bool) -> None:
    before = descriptors_in_use()
    got, asked = asyncio.run(converse(tmp_path, request_, reply, descriptors=descriptors))
    assert (got, asked) == (reply, request_)
    assert descriptors_in_use() == before
