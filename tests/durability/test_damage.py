"""A damaged store under a real daemon: it is noticed and named, nothing false is answered, and nobody dies of it."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon, session_environment
from secretd import operations as ops
from secretd import storerequests
from secretd.client import Client
from secretd.errors import ExitStatus, NotFoundError, StoreError
from secretd.model import SecretValue

COUNT = 60
PAGE = 4096


def value_of(number: int) -> SecretValue:
    return SecretValue(b"value of %d " % number * 40)


def fill(root: Path, end: Callable[[RunningDaemon], object] = RunningDaemon.stop) -> Path:
    """Keep some secrets; gives the store's directory."""
    with RunningDaemon(root) as daemon:
        with Client(daemon.socket) as client:
            for number in range(1, COUNT + 1):
                client.call(ops.SetValue(UUID(int=number), value_of(number)))
        end(daemon)
        return daemon.data / "store"


def log_after_crash(root: Path) -> Path:
    """Crash a daemon; gives its log, with changes in it. The daemon empties it by the clock, so it is tried again."""
    for _ in range(20):
        log = fill(root, RunningDaemon.kill) / "store.db-wal"
        if log.stat().st_size > 20 * PAGE:
            return log
    raise AssertionError("the log was emptied just before the crash, each time")


def flip_bits(path: Path, seed: int) -> None:
    data, chance = bytearray(path.read_bytes()), random.Random(seed)
    for _ in range(6):
        data[chance.randrange(PAGE, len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def zero_a_page(path: Path, seed: int) -> None:
    data = bytearray(path.read_bytes())
    start = random.Random(seed).randrange(1, len(data) // PAGE) * PAGE
    data[start : start + PAGE] = bytes(PAGE)
    path.write_bytes(data)


def swap_pages(path: Path, seed: int) -> None:
    data = bytearray(path.read_bytes())
    one, two = (page * PAGE for page in random.Random(seed).sample(range(1, len(data) // PAGE), 2))
    data[one : one + PAGE], data[two : two + PAGE] = data[two : two + PAGE], data[one : one + PAGE]
    path.write_bytes(data)


def cut_in_half(path: Path, seed: int) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 + seed])


def starts(root: Path) -> bool:
    """Say whether a daemon starts at all; if not, it has said why in one clear line and its exit status."""
    command = [sys.executable, "-P", "-m", "secretd", "--session"]
    told = []
    with subprocess.Popen(command, env=session_environment(root), stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or []:
            told.append(line)
            if '"ready"' in line:
                process.terminate()
        assert process.wait(DEADLINE_S) in (ExitStatus.OK, ExitStatus.STORE)
    assert "Traceback" not in "".join(told)
    if process.returncode == ExitStatus.STORE:
        assert told[-1].startswith("secretd: the store's database")
    return process.returncode == ExitStatus.OK


def read_all(client: Client) -> int:
    """Read every secret: each is right, or an error that says so; gives the number of errors."""
    wrong = 0
    for number in range(1, COUNT + 1):
        try:
            assert client.call(ops.GetValue(UUID(int=number))).value == value_of(number)
        except (StoreError, NotFoundError):
            wrong += 1
    return wrong


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("damage", [flip_bits, zero_a_page, swap_pages, cut_in_half])
def test_nothing_false_is_answered(tmp_path: Path, damage: Callable[[Path, int], None], seed: int) -> None:
    damage(fill(tmp_path) / "store.db", seed)
    if not starts(tmp_path):
        return
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        if client.call(ops.Status()).state.value == "sealed":
            return
        wrong = read_all(client)
        checked = client.call(storerequests.Check())
        assert checked.found or not wrong, "what cannot be read is found by a check"
        if wrong and damage in (zero_a_page, swap_pages):
            named = [problem for problem in checked.problems if problem.secret or "database" in problem.what]
            assert named, "which secret, which page, or that it is the database"
        assert daemon.process.poll() is None


@pytest.mark.parametrize("seed", range(3))
def test_a_bit_of_the_log_after_a_crash(tmp_path: Path, seed: int) -> None:
    """SQLite drops all that follows the bit in silence; the high-water mark does not."""
    log = log_after_crash(tmp_path)
    data = bytearray(log.read_bytes())
    data[random.Random(seed).randrange(len(data) // 4, len(data) // 2)] ^= 1
    log.write_bytes(data)
    assert_noticed(tmp_path)


def test_a_lost_tail_of_the_log(tmp_path: Path) -> None:
    log = log_after_crash(tmp_path)
    data = log.read_bytes()
    log.write_bytes(data[: len(data) // 2])
    assert_noticed(tmp_path)


def assert_noticed(root: Path) -> None:
    with RunningDaemon(root) as daemon, Client(daemon.socket) as client:
        assert client.call(ops.Status()).read_only
        read_all(client)
        with pytest.raises(StoreError, match="store-accept"):
            client.call(ops.SetValue(UUID(int=1), value_of(1)))
        client.call(storerequests.StoreAccept())
        client.call(ops.SetValue(UUID(int=1), value_of(1)))
