"""Limits: who keeps the daemon waiting, or fills it, costs others nothing; nobody's memory grows without a bound."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from helpers.asynchronous import run
from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.raw import RawClient, code_of
from helpers.serving import serving
from helpers.starving import SECRET, VALUE, attacker, measure, system_daemon, wait_until_done
from helpers.tree import ROOT
from helpers.users import NOBODY, as_user, directory_of, python_as, root_only
from secretd import limits
from secretd import operations as ops
from secretd.client import AsyncClient, Client
from secretd.core.service import Service
from secretd.daemon.accounts import Account, Accounts
from secretd.daemon.connection import Connection
from secretd.doors.native import NativeSession
from secretd.doors.session import Answer, Nothing, Outlet, Session, Taken
from secretd.doors.stepping import Done, step
from secretd.errors import BusyError, SecretdError

MOST_GROWTH_BYTES = 50_000_000
OWN_UID = 500
PROTOCOL = " ".join((ROOT / "docs" / "protocol.md").read_text().split())


class TestAccounts:
    def accounts(self, descriptors: int = 100_000) -> Accounts:
        return Accounts(OWN_UID, descriptors)

    def test_a_uid_has_so_many_connections_and_no_more(self) -> None:
        accounts = self.accounts()
        kept = [accounts.open(1000) for _ in range(limits.CONNECTIONS_PER_UID)]
        with pytest.raises(BusyError):
            accounts.open(1000)
        assert accounts.open(1001) is not kept[0]
        accounts.close(kept.pop())
        assert accounts.open(1000) is kept[0]

    @pytest.mark.parametrize("uid", [pytest.param(0, id="root"), pytest.param(OWN_UID, id="own")])
    def test_who_is_trusted_gets_in_when_the_others_have_all(self, uid: int) -> None:
        accounts = self.accounts(descriptors=1_024)
        most = 1_024 - limits.DESCRIPTORS_RESERVED
        kept = [accounts.open(1_000 + number) for number in range(most // 2)]
        with pytest.raises(BusyError):
            accounts.open(999)
        kept.extend(accounts.open(uid) for _ in range(most - most // 2))
        with pytest.raises(BusyError):
            accounts.open(uid)

    def test_all_others_together_are_bounded_however_many_descriptors_there_are(self) -> None:
        accounts = self.accounts(descriptors=1 << 30)
        kept = [accounts.open(1_000 + number) for number in range(limits.CONNECTIONS_OF_OTHERS)]
        with pytest.raises(BusyError):
            accounts.open(999)
        accounts.close(kept[0])
        accounts.open(999)

    def test_to_connect_anew_does_not_forget_what_is_under_way(self) -> None:
        accounts = self.accounts()
        account = accounts.open(1000)
        account.requests += 1
        accounts.close(account)
        assert accounts.open(1000).requests == 1

    @pytest.mark.parametrize(
        "account",
        [
            pytest.param(Account(1, 1, limits.REQUESTS_IN_FLIGHT_PER_UID, 0), id="requests"),
            pytest.param(Account(1, 1, 0, limits.REPLY_BYTES_WAITING_PER_UID), id="replies"),
        ],
    )
    def test_an_account_is_exhausted_by_either(self, account: Account) -> None:
        assert account.exhausted
        assert not Account(
            1, 1, limits.REQUESTS_IN_FLIGHT_PER_UID - 1, limits.REPLY_BYTES_WAITING_PER_UID - 1
        ).exhausted


class Echo(Session):
    """A session whose messages are lines, answered by as many copies as its door was told."""

    def __init__(self, *, admitted: bool = True, copies: int = 1) -> None:
        self._admitted = admitted
        self._copies = copies
        self._received = b""
        self._ended = False

    @property
    def admitted(self) -> bool:
        return self._admitted

    @property
    def begun(self) -> bool:
        return not self._received.endswith(b"\n") and self._received != b""

    def refuse(self, error: SecretdError) -> Answer:
        return Answer(memoryview(error.code.encode() + b"\n"))

    def receive(self, data: bytes, descriptors: Sequence[int]) -> tuple[int, ...]:
        self._received += data
        return tuple(descriptors)

    def receive_eof(self) -> None:
        self._ended = True

    def take_message(self) -> Taken | Nothing:
        line, newline, rest = self._received.partition(b"\n")
        if not newline:
            return Nothing.MORE if self._ended else Nothing.YET
        self._received = rest
        return Taken(Done(Answer(memoryview((line + newline) * self._copies))))

    def attach(self, outlet: Outlet) -> None:
        pass

    def give_up(self) -> tuple[int, ...]:
        return ()


class Slow(Echo):
    """One that answers only when it may, and says what became of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on, self.given_up = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.swept = asyncio.Event()
        self._looked_at = 0

    @property
    def admitted(self) -> bool:
        self._looked_at += 1
        if self._looked_at > 10:
            self.swept.set()
        return True

    def take_message(self) -> Taken | Nothing:
        taken = super().take_message()
        if isinstance(taken, Taken) and isinstance(taken.outcome, Done):
            return Taken(step(self._answer(taken.outcome.result)))
        return taken

    async def _answer(self, answer: Answer) -> Answer:
        self.asked.set()
        await self.go_on.wait()
        return answer

    def give_up(self) -> tuple[int, ...]:
        self.given_up.set()
        return ()


class Faulty(Echo):
    """One that raises what nobody foresaw whenever it is looked at, but for the first few times."""

    def __init__(self, sound: int = 1) -> None:
        super().__init__()
        self._sound = sound

    @property
    def admitted(self) -> bool:
        self._sound -= 1
        if self._sound < 0:
            raise RuntimeError("a fault of ours")
        return True


async def _wait_for_end(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while await reader.read(65_536):
            pass


class TestWhoKeepsTheDaemonWaiting:
    @pytest.fixture(autouse=True)
    def hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "SWEEP_MILLISECONDS", 20)

    @pytest.mark.parametrize(
        "sent", [pytest.param([], id="nothing"), pytest.param([b"x"] * 3, id="drip"), pytest.param([b"x\n"], id="once")]
    )
    def test_who_may_do_nothing_does_not_keep_a_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: list[bytes]
    ) -> None:
        monkeypatch.setattr(limits, "DENIED_IDLE_SECONDS", 0.1)

        async def scenario() -> None:
            async with serving(tmp_path, lambda _: Echo(admitted=False)) as path:
                reader, writer = await asyncio.open_unix_connection(path)
                for data in sent:
                    writer.write(data)
                    await writer.drain()
                await _wait_for_end(reader)
                writer.close()

        run(scenario())

    def test_a_message_that_was_begun_has_to_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "MESSAGE_SECONDS", 0.1)

        async def scenario() -> None:
            async with serving(tmp_path, lambda _: Echo()) as path:
                idle = await asyncio.open_unix_connection(path)
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(b"whole\nbegun")
                assert await reader.readline() == b"whole\n"
                assert await reader.read() == b""
                # Who only is silent has stayed.
                idle[1].write(b"still here\n")
                assert await idle[0].readline() == b"still here\n"
                writer.close()
                idle[1].close()

        run(scenario())

    def test_who_does_not_read_does_not_hold_up_the_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "DRAIN_STALL_SECONDS", 0.2)

        async def scenario() -> float:
            async with serving(tmp_path, lambda _: Echo(copies=1 << 20)) as path:
                reader, writer = await asyncio.open_unix_connection(path, limit=1_024)
                writer.write(b"x" * 7 + b"\n")
                assert await reader.readline()
                ends = time.monotonic()
            writer.close()
            return time.monotonic() - ends

        assert run(scenario()) < limits.DRAIN_SECONDS / 2

    def test_what_goes_on_for_who_has_hung_up_is_given_up(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            session = Slow()
            async with serving(tmp_path, lambda _: session) as path, asyncio.timeout(DEADLINE_S):
                _, writer = await asyncio.open_unix_connection(path)
                writer.write(b"x\n")
                await session.asked.wait()
                writer.close()
                await session.given_up.wait()

        run(scenario())

    def test_who_only_sends_no_more_is_answered(self, tmp_path: Path) -> None:
        async def scenario() -> None:
            session = Slow()
            async with serving(tmp_path, lambda _: session) as path, asyncio.timeout(DEADLINE_S):
                reader, writer = await asyncio.open_unix_connection(path)
                writer.write(b"x\n")
                writer.write_eof()
                await session.asked.wait()
                await session.swept.wait()
                session.go_on.set()
                assert await reader.read() == b"x\n"
                writer.close()

        run(scenario())

    def test_a_fault_with_one_does_not_free_others_of_their_deadlines(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "DENIED_IDLE_SECONDS", 0.1)

        async def scenario() -> None:
            sessions: list[Session] = [Faulty(), Echo(admitted=False), Faulty()]
            async with serving(tmp_path, lambda _: sessions.pop()) as path:
                first, second, third = [await asyncio.open_unix_connection(path) for _ in range(3)]
                await _wait_for_end(second[0])
                for _, writer in (first, second, third):
                    writer.close()

        run(scenario())

    def test_what_a_uid_has_does_not_stop_its_other_connections(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "REPLY_BYTES_WAITING_PER_UID", 1)

        async def scenario() -> None:
            async with serving(tmp_path, lambda _: Echo(copies=1 << 20)) as path:
                _, greedy = await asyncio.open_unix_connection(path, limit=1_024)
                greedy.write(b"12345\n" * 10)
                reader, writer = await asyncio.open_unix_connection(path)
                # Pipelined, so that each has to wake the next.
                writer.write(b"67890\n" * 10)
                async with asyncio.timeout(DEADLINE_S):
                    for _ in range(10):
                        assert await reader.readexactly(6 << 20)
                writer.close()
                greedy.transport.abort()

        monkeypatch.setattr(limits, "DRAIN_STALL_SECONDS", 0)
        run(scenario())


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path_factory.mktemp("daemon")) as daemon:
        with Client(daemon.socket) as client:
            client.call(ops.SetValue(SECRET, VALUE))
        yield daemon


def test_the_daemon_takes_all_descriptors_that_it_may(daemon: RunningDaemon) -> None:
    soft, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


def test_a_value_that_no_descriptor_is_left_for_is_busy(daemon: RunningDaemon) -> None:
    with RawClient(daemon.socket) as client, Client(daemon.socket) as beside:
        beside.call(ops.Whoami())
        used = len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))
        _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (used, hard))
        memfd = os.memfd_create("value", os.MFD_ALLOW_SEALING)
        os.write(memfd, b"value")
        fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, 0xF)
        ask = (
            f"<request serial='1'><set-value secret='{SECRET}'><value descriptor='yes'/></set-value></request>".encode()
        )
        try:
            assert code_of(client.ask(ask, [memfd])) == "busy"
            assert beside.call(ops.GetValue(SECRET)).value == VALUE
        finally:
            os.close(memfd)
            resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (hard, hard))


ATTACKS = [
    pytest.param("never-read", 8, id="never-read"),
    pytest.param("drip", 2, id="drip"),
    pytest.param("idle", 1_000, id="idle"),
    pytest.param("names", 20, id="names"),
    pytest.param("deaf", 200, id="deaf"),
    pytest.param("nonsense", 5_000, id="nonsense"),
]


@pytest.mark.parametrize(("name", "count"), ATTACKS)
def test_an_attack_from_ones_own_uid_is_borne(daemon: RunningDaemon, name: str, count: int) -> None:
    figures = measure(daemon, name, count)
    sys.stdout.write(f"{name}: {figures}\n")
    assert figures.grown_bytes < MOST_GROWTH_BYTES


@pytest.fixture(scope="module")
def system() -> Iterator[RunningDaemon]:
    with system_daemon() as daemon:
        yield daemon


@root_only
class TestAnotherUid:
    @pytest.mark.parametrize(
        ("name", "count"),
        [
            pytest.param("nuls", 1, id="nuls"),
            pytest.param("begin-long", limits.CONNECTIONS_PER_UID, id="begin-long"),
            pytest.param("idle", 1_000, id="idle"),
        ],
    )
    def test_his_attack_is_borne(self, system: RunningDaemon, name: str, count: int) -> None:
        figures = measure(system, name, count, NOBODY)
        sys.stdout.write(f"{name}: {figures}\n")
        assert figures.grown_bytes < MOST_GROWTH_BYTES

    def test_his_connections_beyond_the_limit_are_told_so_and_root_gets_in(self, system: RunningDaemon) -> None:
        with attacker(system, "idle", limits.CONNECTIONS_PER_UID + 1, NOBODY) as process:
            wait_until_done(process)
            said = system.wait_for_event("connections refused")
            assert (said["uid"], said["level"]) == (NOBODY, "warning")
            with Client(system.socket) as client:
                assert client.call(ops.GetValue(SECRET)).value == VALUE


def test_a_connection_that_a_fault_kept_from_being_served_keeps_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, descriptors = 2, 4
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))

    async def scenario() -> None:
        sessions = [Echo(), *(Faulty(sound=0) for _ in range(most + 1))]
        async with serving(tmp_path, lambda _: sessions.pop()) as path:
            for _ in range(most + 1):
                reader, writer = await asyncio.open_unix_connection(path)
                assert await reader.read() == b""
                writer.close()
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"served\n")
            assert await reader.readline() == b"served\n"
            writer.close()

    run(scenario())


def test_a_refusal_is_an_answer_that_our_client_understands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Accounts, uid: int) -> Account:
        raise BusyError(f"{uid} has enough")

    monkeypatch.setattr(Accounts, "open", refuse)

    async def scenario() -> None:
        # The session is asked for its refusal alone, so no service is behind it.
        async with (
            serving(tmp_path, lambda caller: NativeSession(cast(Service, None), caller)) as path,
            await AsyncClient.connect(path) as client,
        ):
            with pytest.raises(BusyError, match="has enough"):
                await client.call(ops.Whoami())

    run(scenario())
    assert f"`{BusyError.code}`" in PROTOCOL


def ask_as(uid: int, path: Path, inner: str) -> str:
    client = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(30)\n"
        "s.sendall(sys.argv[2].encode() + bytes(1)); data = b''\n"
        "while not data.endswith(bytes(1)): data += s.recv(65536) or sys.exit('end')\n"
        "print(data[:-1].decode())\n"
    )
    command = [*as_user(uid), "/usr/bin/python3", "-c", client, str(path), f"<request serial='1'>{inner}</request>"]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True, cwd="/").stdout


@root_only
def test_who_has_as_much_as_he_may_is_told_so() -> None:
    with directory_of(NOBODY) as root:
        for name in ("home", "config", "config/secretd", "data", "run"):
            (root / name).mkdir(mode=0o700)
            os.chown(root / name, NOBODY, NOBODY)
        config = root / "config" / "secretd" / "secretd.toml"
        config.write_text("[quota]\nsecrets = 2\n")
        with RunningDaemon(root, python=python_as(NOBODY)) as daemon:
            # A session serves its user alone, so he asks.
            said = [ask_as(NOBODY, daemon.socket, "<allocate-id/>") for _ in range(3)]
    assert ["<allocate-id" in reply for reply in said] == [True, True, False]
    assert code_of(said[2].encode()) == "quota"


def test_the_page_has_the_numbers_in_force() -> None:
    for words in (
        f"more than {limits.CONNECTIONS_PER_UID} of one uid",
        f"more than {limits.CONNECTIONS_OF_OTHERS:,} of all",
        f"complete after {limits.MESSAGE_SECONDS} seconds",
        f"whole message for {limits.DENIED_IDLE_SECONDS} seconds",
        f"more than {limits.DRAIN_STALL_SECONDS} seconds",
        f"share {limits.REQUESTS_IN_FLIGHT_PER_UID} requests and {limits.REPLY_BYTES_WAITING_PER_UID >> 20} MiB",
    ):
        assert words in PROTOCOL


def test_what_answers_nothing_does_not_put_off_the_end() -> None:
    async def test() -> bytes:
        ours, peers = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with peers:
            ours.setblocking(False)
            peers.setblocking(False)
            connection = Connection(ours, Echo(), Account(1), lambda _: None)
            connection.send(Answer(memoryview(bytes(1_000_000))))
            connection.drain()
            connection.send(Answer(memoryview(b"late")))
            received = b""
            while data := await asyncio.get_running_loop().sock_recv(peers, 65_536):
                received += data
            return received

    assert run(test()) == bytes(1_000_000)
