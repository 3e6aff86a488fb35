"""Processes that are killed, and disks that are full: what was answered stays, and nothing stays half done."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.asynchronous import run
from helpers.store_programs import start
from secretd.store.base import Store
from secretd.store.registry import open_store
from secretd.store.sqlite_files import log_of

ROUNDS = 5
ANSWERS_PER_ROUND = 200


async def _records(store: Store, kind: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    following: bytes | None = kind
    while following is not None:
        page = await store.scan(kind, following)
        found |= {int(record.key[1:]): record.value for record in page.records}
        following = page.next_start
    return found


def log_bytes(directory: Path) -> int:
    return log_of(directory).stat().st_size


async def _check(directory: Path, answered: set[int]) -> None:
    log_before = log_bytes(directory)
    store = await open_store(f"sqlite://{directory}")
    # What the killed process deleted is not kept until the next commit.
    assert log_before > 0 == log_bytes(directory)
    a, b = await _records(store, b"a"), await _records(store, b"b")
    assert answered <= a.keys()
    assert a == b
    assert a == {number: b"%d" % number * 50 for number in a}
    assert await store.count(b"a") == await store.count(b"b") == len(a)
    assert await store.revision() >= len(a)
    await store.close()


def test_a_kill_while_writing_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    answered: set[int] = set()
    for _ in range(ROUNDS):
        with start("write", tmp_path / "store") as writer:
            assert writer.stdout is not None
            answered |= {int(writer.stdout.readline()) for _ in range(ANSWERS_PER_ROUND)}
            writer.kill()
            # What was said before the kill was answered; a line that it cut short was not said.
            answered |= {int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")}
        run(_check(tmp_path / "store", answered))
    assert len(answered) >= ROUNDS * ANSWERS_PER_ROUND


def _private_mounts() -> list[str]:
    """Give the command that runs another with mounts of its own; as any user, where the kernel lets him."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no unshare to mount a small file system with")
    for options in (["--mount"], ["--user", "--map-root-user", "--mount"]):
        trial = [unshare, *options, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
        if subprocess.run(trial, check=False, capture_output=True).returncode == 0:
            return [unshare, *options]
    pytest.skip("this user may not mount a small file system, not even in a namespace of his own")


def test_a_full_disk_is_said_and_got_over(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    with start("fill", place, _private_mounts()) as program:
        said, _ = program.communicate()
    assert program.returncode == 0
    report = json.loads(said)
    answered = report["answered"]
    assert answered > 10
    assert report["together"] == ["StoreFullError"] * 4
    assert (report["readable"], report["count"], report["revision"]) == (answered, answered, answered)
    assert report["afterwards"] == answered + 1
    assert report["reopened"] == [answered - 1, 1, 0]
