"""The process's own border: what nobody foresaw, outside of any request."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon, session_environment
from helpers.raw import RawClient
from helpers.users import root_only
from secretd import limits
from secretd import operations as ops
from secretd.client import Client
from secretd.daemon import logs, main
from secretd.errors import ExitStatus

CANARY = "c4n4ry in an exception"

RAISE = f"""
import asyncio, sys
from secretd.daemon import main

async def task():
    raise ValueError({CANARY!r})

async def run(_):
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(main._report)
    def callback():
        raise KeyError({CANARY!r})
    loop.call_soon(callback)
    failed = asyncio.create_task(task())
    await asyncio.wait([failed])
    del failed
    raise ZeroDivisionError({CANARY!r})

main._run = run
sys.exit(main.main(["--session"]))
"""


def test_what_nobody_foresaw_is_logged_without_its_text(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-P", "-c", RAISE],
        env=session_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert result.returncode == ExitStatus.FAILED
    assert CANARY not in result.stdout + result.stderr
    *lines, last = result.stderr.splitlines()
    kinds = {json.loads(line)["kind"] for line in lines}
    assert kinds == {"ValueError", "KeyError", "ZeroDivisionError"}
    assert last.startswith("secretd: internal error ")


def test_what_the_event_loop_says_by_itself_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(20)
    with asyncio.Runner() as runner:
        main._report(runner.get_loop(), {"message": "something"})
    assert json.loads(capsys.readouterr().err)["said"] == "something"


def test_without_descriptors_it_waits_and_then_goes_on(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon:
        # Behind its back: of the limit that it started with it leaves enough free.
        _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (40, hard))
        clients = [RawClient(daemon.socket) for _ in range(60)]
        daemon.wait_for_event("cannot accept")
        for client in clients:
            client.socket.close()
        with Client(daemon.socket) as served:
            assert served.call(ops.Status()).persistent == 0
        daemon.stop()
        said = [line for line in daemon.log if line["event"] == "cannot accept"]
        # One each second, not one each turn of the loop.
        assert len(said) < DEADLINE_S


@root_only
@pytest.mark.parametrize("count", [0, 1, 64, 65, 256, 257, 3_000])
def test_a_caller_of_many_groups(tmp_path: Path, count: int) -> None:
    with RunningDaemon(tmp_path) as daemon:
        groups = (
            ["--groups", ",".join(str(100_000 + number) for number in range(count))] if count else ["--clear-groups"]
        )
        ask = (
            "import re, socket, sys\n"
            "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
            "s.sendall(b\"<request serial='1'><whoami/></request>\" + bytes(1)); data = b''\n"
            "while not data.endswith(bytes(1)): data += s.recv(65536) or sys.exit('end')\n"
            "further = re.search(rb\"further-groups='([0-9]+)'\", data)\n"
            "print(data.count(b'<group '), int(further[1]) if further else 0)\n"
        )
        command = ["setpriv", *groups, "--", sys.executable, "-c", ask, str(daemon.socket)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True, env=os.environ)
        named, further = map(int, told.stdout.split())
        assert named == min(count, limits.GROUPS_NAMED)
        assert named + further == count
