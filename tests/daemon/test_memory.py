"""Nothing is left of a value once its secret is deleted: not in a real daemon's memory, in no file, in no log.

The daemon's memory is read from outside, by root.  contrib/memory-scan is the long form of this.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from helpers.clients import Ask, ask_asyncio, ask_blocking
from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.memory import Canary, find_in_files, find_in_process
from helpers.raw import RawClient, code_of
from helpers.users import NOBODY, as_user, directory_of, python_as, root_only
from secretd import limits
from secretd import operations as ops
from secretd.client import Client
from secretd.daemon import reexec
from secretd.model import SecretValue
from secretd.wire.memfd import seal_value

ROUNDS = int(os.environ.get("SECRETD_MEMORY_ROUNDS", "100"))
ROUNDS_TOGETHER = 10
SIZES = (24, 1_024, 65_536)
GONE_WITHIN_S = 5.0

SECRET = UUID("c0ffee00-1111-4222-8333-444455556666")

pytestmark = root_only


@pytest.fixture
def canary() -> Canary:
    return Canary()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    """Run a daemon that logs all it can, and has a directory of its own for temporary files."""
    config = tmp_path / "config" / "secretd" / "secretd.toml"
    config.parent.mkdir(mode=0o700, parents=True)
    config.write_text('[daemon]\nlog-level = "debug"\n')
    (tmp_path / "tmp").mkdir()
    with RunningDaemon(tmp_path, extra_environment={"TMPDIR": str(tmp_path / "tmp")}) as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """Run one daemon for the cases that differ in what they say to it."""
    with RunningDaemon(tmp_path_factory.mktemp("shared")) as running:
        yield running


def set_read_and_delete(ask: Ask, daemon: RunningDaemon, value: SecretValue, *, ephemeral: bool, memfd: bool) -> None:
    """Do so many rounds, each with a secret of its own and some of them on one connection."""
    for _ in range(ROUNDS // ROUNDS_TOGETHER):
        requests: list[ops.Request[ops.Reply]] = []
        for secret in (uuid4() for _ in range(ROUNDS_TOGETHER)):
            requests += [ops.SetValue(secret, value, ephemeral=ephemeral), ops.GetValue(secret), ops.Delete(secret)]
        outcomes = ask(daemon.socket, *requests, descriptors=memfd)
        assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
        assert outcomes[1::3] == [ops.GotValue(value)] * ROUNDS_TOGETHER
        assert outcomes[2::3] == [ops.Deleted()] * ROUNDS_TOGETHER
        for _ in requests:
            # Also so that the pipe is never full, on which the daemon would wait.
            daemon.wait_for_event("operation")


@pytest.mark.parametrize("ask", [pytest.param(ask_blocking, id="sync"), pytest.param(ask_asyncio, id="asyncio")])
def test_a_deleted_value_is_nowhere(ask: Ask, daemon: RunningDaemon, canary: Canary) -> None:
    for size, ephemeral, memfd in product(SIZES, (False, True), (False, True)):
        value = SecretValue(canary.value(size))
        set_read_and_delete(ask, daemon, value, ephemeral=ephemeral, memfd=memfd)

        assert find_in_process(daemon.process.pid, canary) == [], (size, ephemeral, memfd)

    assert find_in_files(daemon.root, canary) == []
    assert list((daemon.root / "tmp").iterdir()) == []
    assert daemon.stop() == 0
    log = "\n".join(map(json.dumps, daemon.log))
    assert log.count('"operation": "get-value"') == ROUNDS * len(SIZES) * 4
    assert not canary.is_in(log.encode())


def test_the_search_finds_what_a_daemon_that_does_not_wipe_leaves(tmp_path: Path, canary: Canary) -> None:
    with RunningDaemon(tmp_path, extra_environment={reexec.MARKER: "yes"}) as daemon:
        with Client(daemon.socket) as client:
            client.call(ops.SetValue(SECRET, SecretValue(canary.value(1_024))))
            client.call(ops.Delete(SECRET))

        assert find_in_process(daemon.process.pid, canary) != []


def test_a_deleted_secret_is_soon_in_no_file_of_the_store(daemon: RunningDaemon, canary: Canary) -> None:
    """A value's record is found by its key, which is in the clear: the record itself is sealed."""
    with Client(daemon.socket) as client:
        client.call(ops.SetValue(SECRET, SecretValue(canary.value(1_024))))
        assert files_that_name(SECRET, daemon.data) != []
        client.call(ops.Delete(SECRET))
        deadline = time.monotonic() + GONE_WITHIN_S
        while files := files_that_name(SECRET, daemon.data):
            assert time.monotonic() < deadline, files
            client.call(ops.Whoami())


def files_that_name(secret: UUID, directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and secret.bytes in path.read_bytes()]


def text(canary: Canary, size: int = 1_024) -> bytes:
    return b64encode(canary.value(size))


def set_value(inside: bytes) -> bytes:
    return b"<request serial='1'><set-value secret='%s' ephemeral='yes'>%s</set-value></request>" % (
        str(SECRET).encode(),
        inside,
    )


Make = Callable[[Canary], bytes]


@pytest.mark.parametrize(
    ("make", "code"),
    [
        pytest.param(lambda c: set_value(b"<value>%s</value" % text(c)), "invalid-xml", id="cut-tag"),
        pytest.param(lambda c: set_value(b"<value>%s</wrong>" % text(c)), "invalid-xml", id="wrong-end-tag"),
        pytest.param(lambda c: set_value(b"<value>%s\x01</value>" % text(c)), "invalid-xml", id="no-character"),
        pytest.param(lambda c: set_value(b"<value>%s=</value>" % text(c)), "invalid-value", id="not-canonical"),
        pytest.param(lambda c: set_value(b"<value>%s</value>" % text(c, 65_537)), "invalid-value", id="too-long"),
        pytest.param(lambda c: set_value(b"<value x='%s'/>" % text(c)), "invalid-document", id="unknown-attribute"),
        pytest.param(lambda c: set_value(b"<value descriptor='%s'/>" % text(c)), "invalid-document", id="attribute"),
        pytest.param(lambda c: set_value(b"%s<value>AAAA</value>" % text(c)), "invalid-document", id="stray-text"),
        pytest.param(lambda c: set_value(b"<!--%s--><value/>" % text(c)), "invalid-value", id="comment"),
        pytest.param(lambda c: set_value(b"<x:value xmlns:y='%s'/>" % text(c, 24)), "invalid-document", id="namespace"),
        pytest.param(lambda c: b"<!DOCTYPE a [<!ENTITY b '%s'>]><a/>" % text(c), "invalid-xml", id="entity"),
        pytest.param(text, "invalid-xml", id="no-document"),
        pytest.param(lambda c: text(c, 250_000), "protocol-error", id="too-long-a-message"),
    ],
)
def test_a_value_in_a_message_that_is_refused_is_nowhere(
    make: Make, code: str, shared: RunningDaemon, canary: Canary
) -> None:
    with RawClient(shared.socket) as client:
        assert code_of(client.ask(make(canary))) == code

        assert find_in_process(shared.process.pid, canary) == []


def test_a_descriptor_that_nothing_announces_is_nowhere(shared: RunningDaemon, canary: Canary) -> None:
    descriptor = seal_value(SecretValue(canary.value(1_024)))
    try:
        with RawClient(shared.socket) as client:
            assert code_of(client.ask(set_value(b"<value>AAAA</value>"), [descriptor])) == "invalid-value"
    finally:
        os.close(descriptor)

    assert find_in_process(shared.process.pid, canary) == []


def test_the_beginning_of_the_next_message_keeps_nothing_of_the_last(shared: RunningDaemon, canary: Canary) -> None:
    """Both lie in one buffer: what was taken must not stay in it as long as the next is not whole."""
    first = set_value(b"<value>%s</value>" % text(canary))
    with RawClient(shared.socket) as client:
        client.send(first + b"\0" + b"<request serial='2'>" + b" " * 4_096)
        assert code_of(client.receive()) == ""
        assert code_of(ask_delete(shared)) == ""

        assert find_in_process(shared.process.pid, canary) == []


def test_a_message_that_is_never_whole_is_nowhere_once_its_connection_ends(
    shared: RunningDaemon, canary: Canary
) -> None:
    with RawClient(shared.socket) as client:
        client.send(set_value(b"<value>%s" % text(canary, 65_536)))
        client.socket.shutdown(1)
        assert code_of(client.receive()) == "protocol-error"

        assert find_in_process(shared.process.pid, canary) == []


def test_answers_that_nobody_reads_are_nowhere_once_their_connection_ends(
    shared: RunningDaemon, canary: Canary
) -> None:
    get = b"<request serial='3'><get-value secret='%s'/></request>\0" % str(SECRET).encode()
    with RawClient(shared.socket) as client:
        client.ask(set_value(b"<value>%s</value>" % text(canary, 65_536)))
        client.send(get * 32)
        client.receive()
        # The control: they do wait in the daemon.
        assert find_in_process(shared.process.pid, canary) != []
    assert code_of(ask_delete(shared)) == ""

    assert find_in_process(shared.process.pid, canary) == []


def ask_delete(daemon: RunningDaemon) -> bytes:
    with RawClient(daemon.socket) as client:
        return client.ask(b"<request serial='1'><delete secret='%s'/></request>" % str(SECRET).encode())


OPEN_MEMORY = """
import sys
for name in ("mem", "environ"):
    try: open(f"/proc/{sys.argv[1]}/{name}", "rb").close()
    except PermissionError: print("refused")
    else: print("opened")
"""


def open_memory_as(uid: int, pid: int) -> list[str]:
    command = [*as_user(uid), "/usr/bin/python3", "-c", OPEN_MEMORY, str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True, cwd="/")
    return done.stdout.split()


def test_another_process_of_its_user_cannot_look_into_it() -> None:
    with directory_of(NOBODY) as root:
        for name in ("home", "config", "data", "run"):
            (root / name).mkdir(mode=0o700)
            os.chown(root / name, NOBODY, NOBODY)
        with RunningDaemon(root, python=python_as(NOBODY)) as daemon:
            assert open_memory_as(NOBODY, daemon.process.pid) == ["refused", "refused"]
            (line,) = (line for line in daemon.log if line["event"] == "memory")
            assert line["wiping"] is True
    with subprocess.Popen([*as_user(NOBODY), "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as ordinary:
        assert ordinary.stdin is not None
        assert ordinary.stdout is not None
        ordinary.stdin.write(b"it runs\n")
        ordinary.stdin.flush()
        ordinary.stdout.readline()
        # The control: this user can look into an ordinary process of his.
        assert open_memory_as(NOBODY, ordinary.pid) == ["opened", "opened"]
        ordinary.stdin.close()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT], ids=lambda number: number.name)
def test_it_dumps_no_core(number: signal.Signals, tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, python=("prlimit", "--core=unlimited", "--", sys.executable)) as daemon:
        limit = Path(f"/proc/{daemon.process.pid}/limits").read_text()
        assert "Max core file size        0                    0 " in limit
        daemon.process.send_signal(number)
        end = os.waitid(os.P_PID, daemon.process.pid, os.WEXITED | os.WNOWAIT)
        assert end is not None
        assert (end.si_code, end.si_status) == (os.CLD_KILLED, number)
        daemon.finish()


def test_neither_the_command_line_nor_the_environment_holds_a_value(daemon: RunningDaemon, canary: Canary) -> None:
    with Client(daemon.socket) as client:
        client.call(ops.SetValue(SECRET, SecretValue(canary.value(24))))
        process = Path(f"/proc/{daemon.process.pid}")
        assert (process / "cmdline").read_bytes().split(b"\0")[1:] == [b"-P", b"-m", b"secretd", b"--session", b""]
        assert not canary.is_in((process / "environ").read_bytes())


def test_the_time_given_to_the_store_is_longer_than_its_own() -> None:
    assert limits.STORE_LOG_SECONDS < GONE_WITHIN_S
