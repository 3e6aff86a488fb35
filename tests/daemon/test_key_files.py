"""Key files of Proxmox Backup through a daemon that runs: in and out, told apart, and bounded as an admin says."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from helpers.asynchronous import DEADLINE_S
from helpers.daemon import RunningDaemon
from secretd.client import Client
from secretd.crypto import pbskey
from secretd.crypto.pbskey import Protection, write_key_file
from secretd.crypto.pbskeyfile import Pbkdf2Kdf, ScryptKdf, parse
from secretd.errors import KeyFileError, SecretdError, WrongPasswordError
from secretd.keyrequests import KeyExport, KeyExported, KeyImport
from secretd.keys import KeyDocument, KeyFormat, KeyId, KeyKdf
from secretd.model import SecretValue
from secretd.operations import Status

KEY = bytes(range(32))
PASSWORD = SecretValue(b"correct horse")
FILES = {
    KeyKdf.NONE: write_key_file(KEY, 1_000_000_000, 1_100_000_000, None),
    KeyKdf.PBKDF2: write_key_file(
        KEY, 1_000_000_000, 1_100_000_000, Protection(Pbkdf2Kdf(1_000, b""), b"correct horse", bytes(16), "the horse")
    ),
    KeyKdf.SCRYPT: write_key_file(
        KEY,
        1_000_000_000,
        1_100_000_000,
        Protection(ScryptKdf(1_024, 8, 1, b""), b"correct horse", bytes(16), "the horse"),
    ),
}


def imported(client: Client, name: str, file: bytes, password: SecretValue | None = None) -> None:
    document = KeyDocument(KeyId(name), exportable=True)
    client.call(KeyImport(document, SecretValue(file), KeyFormat.PBS, password))


def exported(client: Client, name: str, **said: Any) -> KeyExported:
    return client.call(KeyExport(KeyId(name), format=KeyFormat.PBS, **said))


@pytest.mark.parametrize("kdf", FILES)
def test_in_and_out_again(kdf: KeyKdf, tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        imported(client, "nightly", FILES[kdf], None if kdf is KeyKdf.NONE else PASSWORD)

        plain = exported(client, "nightly")
        protected = exported(client, "nightly", kdf=KeyKdf.PBKDF2, password=PASSWORD)

        assert plain.value.reveal() == FILES[KeyKdf.NONE]
        assert plain.fingerprint == json.loads(FILES[KeyKdf.NONE])["fingerprint"]
        file = parse(protected.value.reveal())
        assert pbskey.open_key_file(file, PASSWORD.reveal(), pbskey.KdfBounds()) == KEY
        assert (file.created, file.modified) == (1_000_000_000, 1_100_000_000)
        assert file.hint == (None if kdf is KeyKdf.NONE else "the horse")


def test_a_file_that_was_written_is_read_again_and_shows_its_hint(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        imported(client, "nightly", FILES[KeyKdf.NONE])
        for kdf in (KeyKdf.SCRYPT, KeyKdf.PBKDF2):
            file = exported(client, "nightly", kdf=kdf, password=PASSWORD, hint="red").value.reveal()
            with pytest.raises(WrongPasswordError, match="its hint is: red"):
                imported(client, f"{kdf.value}-again", file, SecretValue(b"wrong"))
            imported(client, f"{kdf.value}-again", file, PASSWORD)
            assert exported(client, f"{kdf.value}-again", kdf=kdf, password=PASSWORD, hint="").value != SecretValue(
                file
            )


def test_what_a_file_may_cost_is_configured_and_can_change(tmp_path: Path) -> None:
    settings = tmp_path / "config" / "secretd" / "secretd.toml"
    settings.parent.mkdir(mode=0o700, parents=True)
    settings.write_text("[keys]\nkdf-iterations = 999\nkdf-memory = 1048575\n")
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        for kdf, says in ((KeyKdf.PBKDF2, "at most 999"), (KeyKdf.SCRYPT, "at most 1048575")):
            with pytest.raises(KeyFileError, match=says):
                imported(client, kdf.value, FILES[kdf], PASSWORD)
        settings.write_text("[keys]\nkdf-iterations = 1_000\nkdf-memory = 1048576\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_event("configuration read again")
        for kdf in (KeyKdf.PBKDF2, KeyKdf.SCRYPT):
            imported(client, kdf.value, FILES[kdf], PASSWORD)


def test_others_are_answered_while_a_password_is_tried(tmp_path: Path) -> None:
    slow = Protection(Pbkdf2Kdf(1, b""), b"correct horse", bytes(16))
    members = json.loads(write_key_file(KEY, 0, 0, slow))
    members["kdf"]["PBKDF2"]["iter"] = 2_000_000
    file = json.dumps(members).encode()
    told: list[SecretdError] = []
    ended = Event()

    with RunningDaemon(tmp_path) as daemon:

        def try_it() -> None:
            with Client(daemon.socket) as client:
                try:
                    imported(client, "slow", file, PASSWORD)
                except SecretdError as error:
                    told.append(error)
            ended.set()

        thread = Thread(target=try_it)
        with Client(daemon.socket) as client:
            thread.start()
            answered = 0
            while not ended.is_set():
                client.call(Status())
                answered += 1
        thread.join(DEADLINE_S)

    assert [type(error) for error in told] == [WrongPasswordError]
    assert answered > 10
