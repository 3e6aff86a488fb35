"""A daemon's life: how it starts, what it refuses to start on, how it ends, and what is there afterwards."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon, session_environment
from helpers.raw import RawClient, code_of
from helpers.users import NOBODY, as_user, directory_of, python_as, root_only
from secretd import operations as ops
from secretd.client import Client
from secretd.errors import AccessDeniedError, ReadOnlyError, SealError, UnreachableError, WrongStateError
from secretd.lifecyclerequests import SecretCancelDeletion, SecretGetLifecycle, SecretScheduleDeletion
from secretd.model import Attributes, Mode, SealState, SecretDocument, SecretValue, SlotKind, Usage, UsageType

SECRET = UUID("11111111-2222-4333-8444-555555555555")
VALUE = SecretValue(b"c4n4ry of the lifecycle")
SET_VALUE = ops.SetValue(SECRET, VALUE)


def refused(root: Path, *arguments: str, **environment: str) -> str:
    """Start a daemon that must not start; give what it says."""
    result = subprocess.run(
        [sys.executable, "-P", "-m", "secretd", *arguments],
        env={**session_environment(root), **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    return result.stderr


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestSession:
    def test_sockets_and_directories_are_the_users_alone(self, tmp_path: Path) -> None:
        with RunningDaemon(tmp_path) as daemon:
            assert mode_of(daemon.socket.parent) == 0o700
            assert mode_of(daemon.socket) == 0o600
            assert mode_of(daemon.socket_ro) == 0o600
            assert mode_of(daemon.config) == 0o700
            assert mode_of(daemon.data / "store") == 0o700

    def test_all_directories_follow_the_variables(self, tmp_path: Path) -> None:
        with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
            client.call(SET_VALUE)
        assert {path.name for path in tmp_path.iterdir()} == {"home", "config", "data", "run"}
        assert list((tmp_path / "home").iterdir()) == []

    def test_the_runtime_directory_may_be_named(self, tmp_path: Path) -> None:
        environment = session_environment(tmp_path)
        del environment["XDG_RUNTIME_DIR"]
        (tmp_path / "elsewhere").mkdir()
        with (
            RunningDaemon(
                tmp_path, ("--session", "--runtime-dir", str(tmp_path / "elsewhere")), {"XDG_RUNTIME_DIR": ""}
            ),
            Client(tmp_path / "elsewhere" / "secretd-sock") as client,
        ):
            assert client.call(ops.Status()).mode is Mode.SESSION

    def test_without_a_runtime_directory_it_says_what_to_set(self, tmp_path: Path) -> None:
        text = refused(tmp_path, "--session", XDG_RUNTIME_DIR="")
        assert "XDG_RUNTIME_DIR" in text
        assert "--runtime-dir" in text

    def test_the_read_only_socket_neither_writes_nor_reveals(self, tmp_path: Path) -> None:
        with RunningDaemon(tmp_path) as daemon:
            with Client(daemon.socket) as client:
                client.call(SET_VALUE)
            with Client(daemon.socket_ro) as client:
                assert client.call(ops.Whoami()).read_only
                assert client.call(ops.GetXml(SECRET)).document.id == SECRET
                for request in (ops.GetValue(SECRET), SET_VALUE, ops.Delete(SECRET), ops.AllocateId()):
                    with pytest.raises(ReadOnlyError):
                        client.call(request)

    @root_only
    def test_as_an_ordinary_user(self) -> None:
        with directory_of(NOBODY) as root:
            run = root / "run"
            for name in ("home", "config", "data", "run"):
                (root / name).mkdir(mode=0o700)
                os.chown(root / name, NOBODY, NOBODY)
            with RunningDaemon(root, python=python_as(NOBODY)) as daemon:
                assert (run / "secretd" / "secretd-sock").stat().st_uid == NOBODY
                assert "uid='65534'" in ask_as(NOBODY, daemon.socket, "<whoami/>")
                # Root can open the socket, but a session serves its user alone.
                with RawClient(daemon.socket) as client:
                    assert code_of(client.ask(b"<request serial='1'><list/></request>")) == "access-denied"


def ask_as(uid: int, path: Path, inner: str) -> str:
    """Ask one thing as another user; gives the reply, or why there is none."""
    client = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(30)\n"
        "try: s.connect(sys.argv[1])\n"
        "except OSError as e: sys.exit(e.strerror)\n"
        "s.sendall(sys.argv[2].encode() + bytes(1)); data = b''\n"
        "while not data.endswith(bytes(1)): data += s.recv(65536) or sys.exit('end')\n"
        "print(data[:-1].decode())\n"
    )
    command = [*as_user(uid), "/usr/bin/python3", "-c", client, str(path), f"<request serial='1'>{inner}</request>"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd="/")
    return result.stdout + result.stderr


SYSTEM_CONFIG = """
[daemon]
runtime-directory = "{root}/run/secretd"

[store]
url = "sqlite://{root}/data/store"

[seal]
root-key-directory = "{root}/config"
keyring-directory = "{root}/data/keyring"

[libvirt]
sockets = "off"
"""


@root_only
class TestSystem:
    def test_everybody_may_connect_and_only_root_is_served(self) -> None:
        with directory_of(0) as root:
            root.chmod(0o755)
            (root / "config").mkdir(mode=0o700)
            config = root / "config" / "secretd.toml"
            config.write_text(SYSTEM_CONFIG.format(root=root))
            (root / "run").mkdir(mode=0o755)
            with RunningDaemon(root, ("--system", "--config", str(config))) as daemon:
                assert mode_of(daemon.socket.parent) == 0o755
                assert mode_of(daemon.socket) == 0o666
                assert mode_of(daemon.socket_ro) == 0o666
                with Client(daemon.socket) as client:
                    assert client.call(ops.Status()).mode is Mode.SYSTEM
                    client.call(SET_VALUE)
                for path in (daemon.socket, daemon.socket_ro):
                    for inner in ("<whoami/>", "<status/>", "<list/>", f"<get-value secret='{SECRET}'/>", "nonsense"):
                        assert code_of(ask_as(NOBODY, path, inner).encode()) == "access-denied"

    def test_the_mode_is_for_root(self) -> None:
        with directory_of(NOBODY) as root:
            command = [*python_as(NOBODY), "-P", "-m", "secretd", "--system"]
            result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd=root)
            assert result.returncode == 2
            assert "--session" in result.stderr


class TestStart:
    def test_a_second_daemon_is_refused(self, tmp_path: Path) -> None:
        with RunningDaemon(tmp_path) as daemon:
            assert "another secretd is running" in refused(tmp_path, "--session")
            (tmp_path / "other").mkdir(mode=0o700)
            text = refused(tmp_path, "--session", XDG_RUNTIME_DIR=str(tmp_path / "other"))
            assert "another secretd is running" in text
            with Client(daemon.socket) as client:
                assert client.call(ops.Status()).state is SealState.OPEN

    def test_a_socket_left_by_a_crash_is_replaced(self, tmp_path: Path) -> None:
        with RunningDaemon(tmp_path) as daemon:
            daemon.kill()
            assert daemon.socket.exists()
        with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
            assert client.call(ops.Status()).state is SealState.OPEN

    def test_a_socket_that_somebody_answers_on_is_left_alone(self, tmp_path: Path) -> None:
        session_environment(tmp_path)
        directory = tmp_path / "run" / "secretd"
        directory.mkdir(mode=0o700)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(directory / "secretd-sock"))
            other.listen()
            assert "another daemon answers" in refused(tmp_path, "--session")
            assert (directory / "secretd-sock").is_socket()

    def test_a_file_in_place_of_the_socket_is_left_alone(self, tmp_path: Path) -> None:
        session_environment(tmp_path)
        directory = tmp_path / "run" / "secretd"
        directory.mkdir(mode=0o700)
        (directory / "secretd-sock").write_text("mine")
        assert "is no socket" in refused(tmp_path, "--session")
        assert (directory / "secretd-sock").read_text() == "mine"

    def test_a_runtime_directory_that_others_can_write_is_refused(self, tmp_path: Path) -> None:
        session_environment(tmp_path)
        (tmp_path / "run" / "secretd").mkdir()
        (tmp_path / "run" / "secretd").chmod(0o777)
        assert "can be written by others" in refused(tmp_path, "--session")

    def test_a_path_that_no_socket_can_have_is_refused(self, tmp_path: Path) -> None:
        session_environment(tmp_path)
        long = tmp_path / ("x" * 100)
        long.mkdir()
        assert "107 bytes" in refused(tmp_path, "--session", "--runtime-dir", str(long))

    def test_a_wrong_root_key_seals_until_it_is_mended(self, tmp_path: Path) -> None:
        with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
            client.call(SET_VALUE)
        key_file = tmp_path / "config" / "secretd" / "root.key"
        key = key_file.read_bytes()
        key_file.write_bytes(b"w" * 32)
        with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
            status = client.call(ops.Status())
            assert status.state is SealState.SEALED
            assert "does not open this keyring" in (status.reason or "")
            with pytest.raises(SealError):
                client.call(ops.GetValue(SECRET))
            key_file.write_bytes(key)
            daemon.wait_for_event("unsealed")
            assert client.call(ops.GetValue(SECRET)).value == VALUE

    def test_a_credential_opens_it(self, tmp_path: Path) -> None:
        credentials = tmp_path / "credentials"
        credentials.mkdir(mode=0o700)
        (credentials / "secretd.root-key").write_bytes(os.urandom(32))
        (credentials / "secretd.root-key").chmod(0o400)
        environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
        with RunningDaemon(tmp_path, extra_environment=environment) as daemon, Client(daemon.socket) as client:
            assert client.call(ops.Status()).slots == (ops.Slot(SlotKind.CREDENTIAL),)
        assert not (tmp_path / "config" / "secretd" / "root.key").exists()


class TestEnd:
    @pytest.mark.parametrize("end", [RunningDaemon.stop, RunningDaemon.kill], ids=["stopped", "killed"])
    def test_what_was_answered_is_there_again(self, tmp_path: Path, end: Callable[[RunningDaemon], object]) -> None:
        usage = Usage(UsageType.ISCSI, "iqn.2026-11.example:disk")
        with RunningDaemon(tmp_path) as daemon:
            with Client(daemon.socket) as client:
                client.call(ops.SetXml(SECRET, SecretDocument(Attributes(usage=usage))))
                client.call(SET_VALUE)
            end(daemon)
        with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
            assert client.call(ops.GetValue(SECRET)).value == VALUE
            assert client.call(ops.LookupByUsage(usage)).secret == SECRET

    def test_a_deletion_that_waits_is_there_again(self, tmp_path: Path) -> None:
        with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
            client.call(SET_VALUE)
            due = client.call(SecretScheduleDeletion(SECRET)).due
            daemon.kill()
        with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
            assert client.call(SecretGetLifecycle(SECRET)).due == due
            with pytest.raises(WrongStateError):
                client.call(ops.GetValue(SECRET))
            assert client.call(ops.List()).entries == ()
            client.call(SecretCancelDeletion(SECRET))
            assert client.call(ops.GetValue(SECRET)).value == VALUE

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_in_order(self, tmp_path: Path, number: signal.Signals) -> None:
        with RunningDaemon(tmp_path) as daemon:
            assert daemon.stop(number) == 0
            assert not daemon.socket.exists()
            assert not daemon.socket_ro.exists()

    def test_what_was_taken_is_answered(self, tmp_path: Path) -> None:
        with RunningDaemon(tmp_path) as daemon, RawClient(daemon.socket) as client:
            number = 200
            for serial in range(number):
                inner = f"<set-value secret='{UUID(int=serial)}'><value>YQ==</value></set-value>"
                client.send(f"<request serial='{serial}'>{inner}</request>\0".encode())
            replies = [client.receive()]
            daemon.process.send_signal(signal.SIGTERM)
            while reply := client.receive():
                replies.append(reply)
            assert daemon.finish() == 0
            assert all(reply.endswith(b"</reply>") and not code_of(reply) for reply in replies)
        with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
            kept = {entry.secret.int for entry in client.call(ops.List()).entries}
            answered = {int(reply.split(b"'")[1]) for reply in replies}
            # What it took and stored but could no longer say is allowed; an answer that is not true is not.
            assert answered <= kept

    def test_an_idle_connection_does_not_hold_it_up(self, tmp_path: Path) -> None:
        with RunningDaemon(tmp_path) as daemon, RawClient(daemon.socket) as client:
            assert daemon.stop() == 0
            assert client.receive() == b""

    def test_a_client_is_told_that_it_went_away(self, tmp_path: Path) -> None:
        with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
            client.call(ops.Status())
            daemon.stop()
            with pytest.raises(UnreachableError):
                client.call(ops.Status())

    def test_the_log_never_holds_a_value(self, tmp_path: Path) -> None:
        (tmp_path / "config" / "secretd").mkdir(mode=0o700, parents=True)
        (tmp_path / "config" / "secretd" / "secretd.toml").write_text('[daemon]\nlog-level = "debug"\n')
        canary = VALUE.reveal().decode()
        with RunningDaemon(tmp_path) as daemon:
            with Client(daemon.socket) as client:
                client.call(SET_VALUE)
                client.call(ops.GetValue(SECRET))
                client.call(ops.SetXml(SECRET, SecretDocument(Attributes(private=True))))
            with RawClient(daemon.socket) as raw:
                raw.ask(f"<request serial='1'><set-value secret='{SECRET}'><value>{canary}".encode())
                raw.ask(f"<request serial='1'><{canary.replace(' ', '-')}/></request>".encode())
            daemon.stop()
            assert canary not in repr(daemon.log)
            operations = [line["operation"] for line in daemon.log if line["event"] == "operation"]
            assert operations == ["set-value", "get-value", "set-xml"]


def test_a_denied_client_is_told_so(tmp_path: Path) -> None:
    """The error class crosses the wire as what it is, with its parents."""
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket_ro) as client, pytest.raises(AccessDeniedError):
        client.call(ops.AllocateId())


def test_many_threads_of_clients(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with Client(daemon.socket) as client:
                for turn in range(20):
                    value = SecretValue(f"{number} {turn}".encode())
                    client.call(ops.SetValue(UUID(int=number), value))
                    assert client.call(ops.GetValue(UUID(int=number))).value == value
        except BaseException as error:  # noqa: BLE001  # what a thread meets is judged by the test
            failures.append(error)

    with RunningDaemon(tmp_path) as daemon:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
    assert failures == []
