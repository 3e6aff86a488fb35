"""The bytes of a key are opened for one use, and are nowhere after it; nor is what was sealed or opened.

In no memory of a real daemon, in no file and in no log.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.daemon import RunningDaemon
from helpers.memory import Canary, find_in_files, find_in_process
from helpers.users import root_only
from secretd import keyrequests as requests
from secretd.client import Client
from secretd.keys import ContextPair, DataKeySpec, KeyDocument, KeyFormat, KeyId, KeyKdf
from secretd.model import SecretValue

KEY, OTHER = KeyId("nightly"), KeyId("other")
CONTEXT = (ContextPair("datastore", "tank"),)
ROUNDS = 50

pytestmark = root_only


@pytest.fixture
def canary() -> Canary:
    return Canary()


@pytest.mark.parametrize("descriptors", [True, False], ids=["by-descriptor", "in-the-message"])
def test_neither_a_keys_bytes_nor_what_it_sealed_stay(tmp_path: Path, canary: Canary, descriptors: bool) -> None:
    plain = Canary()
    document = KeyDocument(KEY, exportable=True)
    with RunningDaemon(tmp_path) as daemon:
        with Client(daemon.socket, descriptors=descriptors) as client:
            client.call(requests.KeyImport(document, SecretValue(canary.value(32))))
            client.call(requests.KeyCreate(KeyDocument(OTHER)))
            for size in (32, 65_536):
                for _ in range(ROUNDS):
                    value = SecretValue(plain.value(size))
                    blob = client.call(requests.Encrypt(value, KEY, CONTEXT)).blob
                    assert client.call(requests.Decrypt(blob, KEY, CONTEXT)).value == value
                    client.call(requests.Rewrap(blob, OTHER, CONTEXT))
                    client.call(requests.GenerateDataKey(KEY, DataKeySpec.AES_256, context=CONTEXT))
            assert client.call(requests.KeyExport(KEY)).value == SecretValue(canary.value(32))
            password = SecretValue(plain.value(24))
            file = client.call(requests.KeyExport(KEY, None, KeyFormat.PBS, KeyKdf.SCRYPT, password)).value
            client.call(requests.KeyImport(KeyDocument(), file, KeyFormat.PBS, password))

            assert find_in_process(daemon.process.pid, canary) == []
            assert find_in_process(daemon.process.pid, plain) == []
        assert find_in_files(daemon.root, canary) == find_in_files(daemon.root, plain) == []
        assert daemon.stop() == 0
        log = "\n".join(map(json.dumps, daemon.log)).encode()
        assert not canary.is_in(log)
        assert not plain.is_in(log)
