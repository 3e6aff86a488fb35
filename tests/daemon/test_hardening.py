"""How the daemon closes itself off: the one new start, what it looks at, what it says, and what it leaves behind."""

from __future__ import annotations

import configparser
import ctypes
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.tree import ROOT
from helpers.users import NOBODY, directory_of, python_as, root_only
from secretd import operations as ops
from secretd.client import Client
from secretd.daemon import hardening, reexec
from secretd.model import MemoryLock, SealState

TUNABLES = "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0"
SETTINGS = {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": TUNABLES, "LD_BIND_NOW": "1"}
DONE = {reexec.MARKER: "yes"}


class StartedAnewError(Exception):
    """Stands for what execve does: nothing after it happens."""


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], dict[str, str]]]:
    """Note what is executed instead of doing it."""
    calls: list[tuple[str, list[str], dict[str, str]]] = []

    def execve(program: str, command: list[str], environment: dict[str, str]) -> NoReturn:
        calls.append((program, command, environment))
        raise StartedAnewError

    monkeypatch.setattr(os, "execve", execve)
    return calls


@pytest.mark.parametrize(
    ("environment", "tunables"),
    [
        pytest.param({}, TUNABLES, id="nothing"),
        pytest.param({**SETTINGS, "PYTHONMALLOC": "debug"}, f"{TUNABLES}:{TUNABLES}", id="another-allocator"),
        pytest.param({**SETTINGS, "LD_BIND_NOW": ""}, f"{TUNABLES}:{TUNABLES}", id="lazy-binding"),
        pytest.param(
            {**SETTINGS, "GLIBC_TUNABLES": "glibc.malloc.perturb=0:glibc.malloc.tcache_count=0"},
            f"glibc.malloc.perturb=0:glibc.malloc.tcache_count=0:{TUNABLES}",
            id="overwriting-off",
        ),
        pytest.param(
            {**SETTINGS, "GLIBC_TUNABLES": "glibc.malloc.perturb=1"}, f"glibc.malloc.perturb=1:{TUNABLES}", id="a-cache"
        ),
        pytest.param(
            {"GLIBC_TUNABLES": "glibc.rtld.nns=2"}, f"glibc.rtld.nns=2:{TUNABLES}", id="a-tunable-of-somebody-else"
        ),
    ],
)
def test_it_starts_anew_without_the_settings(
    environment: dict[str, str],
    tunables: str,
    executed: list[tuple[str, list[str], dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", {"LANG": "C", **environment})
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-P", "-m", "secretd", "--session"])

    with pytest.raises(StartedAnewError):
        reexec.ensure_settings()

    assert executed == [
        (
            sys.executable,
            [sys.executable, "-P", "-m", "secretd", "--session"],
            {"LANG": "C", **SETTINGS, "GLIBC_TUNABLES": tunables, **DONE},
        )
    ]


@pytest.mark.parametrize(
    ("environment", "ignored"),
    [
        pytest.param(SETTINGS, 0, id="a-unit-set-them"),
        pytest.param(
            {**SETTINGS, "GLIBC_TUNABLES": f"{TUNABLES}:glibc.rtld.nns=2"}, 0, id="a-unit-set-them-and-others"
        ),
        pytest.param({**SETTINGS, **DONE}, 0, id="after-the-new-start"),
        pytest.param(DONE, 0, id="a-new-start-that-did-not-help"),
        pytest.param({}, 1, id="the-environment-is-ignored"),
    ],
)
def test_it_does_not_start_anew(
    environment: dict[str, str],
    ignored: int,
    executed: list[tuple[str, list[str], dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", {"LANG": "C", **environment})
    monkeypatch.setattr(sys, "flags", SimpleNamespace(ignore_environment=ignored))

    reexec.ensure_settings()

    assert executed == []
    assert os.environ == {"LANG": "C"}


def test_where_the_interpreter_cannot_be_reached_it_tries_its_file_and_then_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def execve(program: str, *_: Any) -> NoReturn:
        tried.append(program)
        raise PermissionError

    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(os, "execve", execve)

    reexec.ensure_settings()

    assert tried == [sys.executable, "/proc/self/exe"]


def memory_of(daemon: RunningDaemon) -> dict[str, Any]:
    (line,) = (line for line in daemon.log if line["event"] == "memory")
    return line


def test_what_it_frees_is_overwritten_and_its_status_says_so(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        assert client.call(ops.Status()).memory_wiping
        assert memory_of(daemon)["wiping"] is True
        assert daemon.log[-1]["pid"] == daemon.process.pid


def test_it_starts_with_the_settings_of_a_unit_just_once(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, extra_environment=SETTINGS) as daemon, Client(daemon.socket) as client:
        assert client.call(ops.Status()).memory_wiping
        environment = Path(f"/proc/{daemon.process.pid}/environ").read_bytes()
        assert reexec.MARKER.encode() not in environment


def test_without_the_settings_it_says_no(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, extra_environment=DONE) as daemon, Client(daemon.socket) as client:
        assert not client.call(ops.Status()).memory_wiping
        assert memory_of(daemon)["wiping"] is False
        assert "freed memory is not overwritten" in {line["event"] for line in daemon.log}


def test_the_installed_command_does_the_same(tmp_path: Path) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    entries = dict(line.split(" = ") for line in setup["options.entry_points"]["console_scripts"].split("\n") if line)
    module, function = entries["secretd"].split(":")
    script = tmp_path / "secretd-command"
    # As pip writes it, but for the arguments "-P -m secretd", with which the helper begins.
    script.write_text(f"import sys\nfrom {module} import {function}\ndel sys.argv[1:4]\nsys.exit({function}())\n")

    with RunningDaemon(tmp_path, python=(sys.executable, "-P", str(script))) as daemon:
        assert memory_of(daemon)["wiping"] is True


def test_a_sealed_daemon_says_it_too(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon:
        pass
    (daemon.config / "root.key").unlink()
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        status = client.call(ops.Status())
        assert (status.state, status.memory_wiping) == (SealState.SEALED, True)


def test_children_meet_nothing_of_it() -> None:
    program = (
        "import json, os\n"
        "from secretd.daemon import reexec\n"
        "reexec.ensure_settings()\n"
        "print(json.dumps({**os.environ}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env={**os.environ, "SOMETHING": "else"},
        capture_output=True,
        timeout=DEADLINE_S,
        check=True,
    )
    left = json.loads(done.stdout)
    assert left["SOMETHING"] == "else"
    assert not {*SETTINGS, *DONE} & set(left)


@pytest.mark.parametrize(
    ("limit", "capabilities", "refused", "locked"),
    [
        pytest.param(2**30, 0, False, MemoryLock.NO, id="a-limit"),
        pytest.param(2**30, ~(1 << 14), False, MemoryLock.NO, id="every-other-capability"),
        pytest.param(2**30, 1 << 14, False, MemoryLock.ALL, id="the-capability"),
        pytest.param(resource.RLIM_INFINITY, 0, False, MemoryLock.ALL, id="no-limit"),
        pytest.param(resource.RLIM_INFINITY, 1 << 14, True, MemoryLock.NO, id="refused"),
    ],
)
def test_memory_is_locked_only_where_no_limit_can_be_met(
    limit: int, capabilities: int, refused: bool, locked: MemoryLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    monkeypatch.setattr(hardening, "effective_capabilities", lambda: capabilities)
    libc: Any = SimpleNamespace(mlockall=lambda _: -1 if refused else 0)

    assert hardening._lock(libc) is locked


@root_only
def test_the_memory_of_an_ordinary_user_is_left_unlocked_under_a_limit() -> None:
    with directory_of(NOBODY) as root:
        for name in ("home", "config", "data", "run"):
            (root / name).mkdir(mode=0o700)
            os.chown(root / name, NOBODY, NOBODY)
        with RunningDaemon(root, python=("prlimit", "--memlock=65536", "--", *python_as(NOBODY))) as daemon:
            assert memory_of(daemon)["locked"] == "no"
            assert "VmLck:\t       0 kB" in Path(f"/proc/{daemon.process.pid}/status").read_text()


@root_only
def test_with_the_capability_all_memory_is_locked_under_any_limit(tmp_path: Path) -> None:
    python = ("prlimit", "--memlock=65536", "--", sys.executable)
    with RunningDaemon(tmp_path, python=python) as daemon, Client(daemon.socket) as client:
        assert client.call(ops.Status()).memory_locked is MemoryLock.ALL


def test_where_memory_cannot_be_read_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable() -> NoReturn:
        raise PermissionError

    monkeypatch.setattr(hardening, "_private_memory", unreadable)

    assert not hardening.freed_memory_is_wiped()


def test_a_kernel_that_refuses_to_close_the_process_off_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(prctl=lambda *_: -1))

    with pytest.raises(OSError, match="prctl"):
        hardening.harden()
