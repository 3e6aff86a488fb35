"""What is known of a caller's process: of real ones, of ones that are gone, and of ones that pretend."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.peers import CAT, Peers, copy_of_cat, directory_of_root, heir_of, peers_of
from helpers.users import NOBODY, as_user, python_as, root_only
from secretd import limits
from secretd.daemon import executable as executable_module
from secretd.daemon import process as process_module
from secretd.daemon.peer import caller_of
from secretd.daemon.process import PeerProcess, gives_handles, peer_status
from secretd.model import Executable, PeerStatus

pytestmark = pytest.mark.skipif(not gives_handles(), reason="the kernel gives no handles of processes (Linux 6.5)")


@pytest.fixture
def peers() -> Iterator[Peers]:
    with peers_of() as peers:
        yield peers


@pytest.fixture
def of_root() -> Iterator[Path]:
    with directory_of_root() as place:
        yield place


def trusts(connection: socket.socket) -> bool | None:
    found = PeerProcess(connection).executable()
    return found.trusted if found else None


class TestWhoIsThere:
    def test_a_process_that_runs(self, peers: Peers) -> None:
        connection, _ = peers.connect()
        process = PeerProcess(connection)
        assert process.executable() == Executable(str(CAT), trusted=True)
        assert process.sha256() == hashlib.sha256(CAT.read_bytes()).hexdigest()

    def test_what_was_looked_up_is_kept(self, peers: Peers) -> None:
        connection, ending = peers.connect()
        process = PeerProcess(connection)
        before = process.executable()
        ending.kill()
        ending.wait()
        assert before is not None
        assert process.executable() is before

    @pytest.mark.parametrize("what", ["unit", "executable", "sha256"])
    def test_what_could_not_be_read_for_want_of_descriptors_is_read_later(
        self, peers: Peers, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        connection, _ = peers.connect()
        process = PeerProcess(connection)
        monkeypatch.setattr(process_module, "unit_of", lambda directory: directory)
        with monkeypatch.context() as without:
            for name in ("unit_of", "running"):
                without.setattr(process_module, name, _without_descriptors)
            assert getattr(process, what)() is None
        assert getattr(process, what)() is not None

    def test_no_descriptor_is_kept(self, peers: Peers) -> None:
        connection, _ = peers.connect()
        before = len([*Path("/proc/self/fd").iterdir()])
        process = PeerProcess(connection)
        assert process.is_seen
        assert process.sha256()
        assert len([*Path("/proc/self/fd").iterdir()]) == before

    def test_a_connection_that_is_closed(self, peers: Peers) -> None:
        connection, _ = peers.connect()
        connection.close()
        assert_nothing_is_known(PeerProcess(connection))

    @root_only
    def test_a_process_of_another_pid_namespace(self) -> None:
        # We are seen from there as number 0, and so is it from a namespace beside it.
        script = (
            "import socket, sys; sys.path[:0] = sys.argv[2:]\n"
            "from secretd.daemon.peer import caller_of\n"
            "listener = socket.socket(fileno=int(sys.argv[1]))\n"
            "caller = caller_of(listener, read_only=False)\n"
            "print(caller.pid, caller.process)\n"
        )
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-P", "-c", script]
            asked = subprocess.run(
                [*command, str(theirs.fileno()), *sys.path],
                pass_fds=[theirs.fileno()],
                capture_output=True,
                text=True,
                check=True,
            )
        assert asked.stdout == "0 None\n"


def _without_descriptors(_: Path) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def assert_nothing_is_known(process: PeerProcess) -> None:
    assert (process.unit(), process.executable(), process.sha256()) == (None, None, None)
    assert not process.is_seen


class TestAnotherProcessHasItsNumber:
    """The number is the next process's: nothing of that one may ever be said of the one that connected."""

    def test_nobody_has_it_yet(self, peers: Peers) -> None:
        connection, process = peers.connect()
        process.kill()
        process.wait()
        assert_nothing_is_known(PeerProcess(connection))

    @root_only
    def test_before_it_is_looked_at(self, peers: Peers) -> None:
        connection, process = peers.connect()
        with heir_of(process):
            assert Path(f"/proc/{process.pid}/exe").exists()
            assert caller_of(connection, read_only=False).pid == process.pid
            assert_nothing_is_known(PeerProcess(connection))

    @root_only
    @pytest.mark.parametrize("when", ["before-reading", "after-reading"])
    @pytest.mark.parametrize("what", ["unit", "executable", "sha256"])
    def test_while_it_is_looked_at(self, peers: Peers, monkeypatch: pytest.MonkeyPatch, what: str, when: str) -> None:
        connection, process = peers.connect()
        read: list[object] = []

        def racing(reader: Callable[[Path], Any]) -> Callable[[Path], Any]:
            def reads(directory: Path) -> object:
                if when == "after-reading":
                    read.append(reader(directory))
                with heir_of(process):
                    return read[0] if read else reader(directory)

            return reads

        monkeypatch.setattr(process_module, "running", racing(executable_module.running))
        monkeypatch.setattr(process_module, "unit_of", racing(lambda directory: directory))
        assert getattr(PeerProcess(connection), what)() is None


class TestExecutables:
    @root_only
    def test_the_file_of_an_ordinary_user_s_process(self, peers: Peers, of_root: Path) -> None:
        copy = copy_of_cat(of_root)
        connection, _ = peers.connect(copy, as_user(NOBODY), python_as(NOBODY)[-1:])
        assert PeerProcess(connection).executable() == Executable(str(copy), trusted=True)

    def test_a_copy_under_the_same_name(self, peers: Peers, tmp_path: Path) -> None:
        copy = copy_of_cat(tmp_path)
        connection, _ = peers.connect(copy)
        assert PeerProcess(connection).executable() == Executable(str(copy), trusted=False)
        assert PeerProcess(connection).sha256() is None

    def test_a_name_in_the_command_line_and_a_link_say_nothing(self, peers: Peers, tmp_path: Path) -> None:
        link = tmp_path / "nginx"
        link.symlink_to(CAT)
        connection, process = peers.connect(link)
        assert Path(f"/proc/{process.pid}/cmdline").read_bytes() == b"nginx: worker process\0"
        assert PeerProcess(connection).executable() == Executable(str(CAT), trusted=True)

    def test_a_path_that_no_document_can_hold(self, peers: Peers, tmp_path: Path) -> None:
        copy = copy_of_cat(tmp_path).rename(tmp_path / "ng\x01inx")
        connection, _ = peers.connect(copy)
        assert PeerProcess(connection).executable() is None
        assert PeerProcess(connection).sha256() is None

    @root_only
    @pytest.mark.parametrize(
        ("change", "trusted"),
        [
            pytest.param(lambda file: file, True, id="root-s-alone"),
            pytest.param(lambda file: file.chmod(0o775), False, id="written-by-the-group"),
            pytest.param(lambda file: file.chmod(0o757), False, id="written-by-all"),
            pytest.param(lambda file: os.chown(file, NOBODY, 0), False, id="another-user-s"),
            pytest.param(lambda file: os.chown(file, 0, NOBODY), True, id="another-group-s-to-run"),
            pytest.param(lambda file: file.parent.chmod(0o775), False, id="a-directory-written-by-the-group"),
            pytest.param(lambda file: file.parent.chmod(0o1777), False, id="a-sticky-directory"),
            pytest.param(lambda file: os.chown(file.parent, NOBODY, 0), False, id="another-user-s-directory"),
            pytest.param(lambda file: os.chown(file.parent.parent, NOBODY, 0), False, id="one-further-up"),
        ],
    )
    def test_who_can_change_it(
        self, peers: Peers, of_root: Path, change: Callable[[Path], object], trusted: bool
    ) -> None:
        (of_root / "sbin").mkdir(mode=0o755)
        copy = copy_of_cat(of_root / "sbin")
        change(copy)
        connection, _ = peers.connect(copy)
        assert trusts(connection) is trusted

    @root_only
    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda file: file.unlink(), id="deleted"),
            pytest.param(lambda file: copy_of_cat(file.parent.parent).rename(file), id="replaced"),
            pytest.param(lambda file: file.rename(file.with_name("nginx (deleted)")).touch(), id="touched"),
        ],
    )
    def test_what_is_done_to_it_later(self, peers: Peers, of_root: Path, change: Callable[[Path], object]) -> None:
        (of_root / "sbin").mkdir(mode=0o755)
        copy = copy_of_cat(of_root / "sbin")
        connection, _ = peers.connect(copy)
        process = PeerProcess(connection)
        assert process.executable() == Executable(str(copy), trusted=True)
        change(copy)
        assert process.sha256() is None

    @root_only
    def test_a_file_that_was_replaced_before_it_is_looked_at(self, peers: Peers, of_root: Path) -> None:
        (of_root / "sbin").mkdir(mode=0o755)
        copy = copy_of_cat(of_root / "sbin")
        connection, _ = peers.connect(copy)
        copy_of_cat(of_root).rename(copy)
        assert PeerProcess(connection).executable() == Executable(f"{copy} (deleted)", trusted=False)

    @root_only
    def test_a_hard_link_elsewhere(self, peers: Peers, of_root: Path) -> None:
        copy = copy_of_cat(of_root)
        (of_root / "public").mkdir()
        (of_root / "public").chmod(0o1777)
        link = of_root / "public" / "nginx"
        link.hardlink_to(copy)
        connection, _ = peers.connect(link)
        assert PeerProcess(connection).executable() == Executable(str(link), trusted=False)

    @root_only
    def test_a_mount_of_its_own_over_the_path(self, peers: Peers, of_root: Path, tmp_path: Path) -> None:
        copy, forged = copy_of_cat(of_root), copy_of_cat(tmp_path)
        script = f'mount --bind {forged} {copy} && exec "$@"'
        connection, _ = peers.connect(copy, ("unshare", "--mount", "sh", "-c", script, "sh"))
        assert PeerProcess(connection).executable() == Executable(str(copy), trusted=False)


@root_only
class TestHashes:
    def test_a_file_is_read_once_for_all_who_run_it(
        self, peers: Peers, of_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[object] = []
        original = hashlib.file_digest

        def counting(*given: Any) -> object:
            read.append(given)
            return original(*given)

        monkeypatch.setattr(hashlib, "file_digest", counting)
        copy = copy_of_cat(of_root)
        hashes = {PeerProcess(peers.connect(copy)[0]).sha256() for _ in range(3)}
        assert hashes == {hashlib.sha256(CAT.read_bytes()).hexdigest()}
        assert len(read) == 1

    def test_one_that_is_too_large_is_not_read(
        self, peers: Peers, of_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copy = copy_of_cat(of_root)
        connection, _ = peers.connect(copy)
        monkeypatch.setattr(limits, "EXECUTABLE_BYTES", copy.stat().st_size - 1)
        assert PeerProcess(connection).sha256() is None
        monkeypatch.setattr(limits, "EXECUTABLE_BYTES", copy.stat().st_size)
        assert PeerProcess(connection).sha256() is not None

    def test_one_that_changes_while_it_is_read(
        self, peers: Peers, of_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copy = copy_of_cat(of_root)
        connection, _ = peers.connect(copy)
        original = hashlib.file_digest

        def changing(*given: Any) -> object:
            copy.touch()
            return original(*given)

        monkeypatch.setattr(hashlib, "file_digest", changing)
        assert PeerProcess(connection).sha256() is None


@root_only
class TestWhatTheDaemonMaySee:
    def test_without_the_capability_units_alone(self) -> None:
        script = "from secretd.daemon.process import peer_status; print(peer_status())"
        drop = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all")
        asked = subprocess.run(
            [*drop, sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True, cwd="/"
        )
        assert asked.stdout == f"{PeerStatus(handles=True, executables=False)}\n"

    def test_with_it_both(self) -> None:
        assert peer_status() == PeerStatus(handles=True, executables=True)


class TestKernelWithoutHandles:
    @pytest.fixture(autouse=True)
    def old_kernel(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        original = socket.socket.getsockopt

        def getsockopt(connection: socket.socket, level: int, option: int, *size: int) -> int | bytes:
            if option == 77:
                raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
            return original(connection, level, option, *size)

        monkeypatch.setattr(socket.socket, "getsockopt", getsockopt)
        gives_handles.cache_clear()
        yield
        gives_handles.cache_clear()

    def test_a_caller_has_no_process(self, peers: Peers) -> None:
        connection, process = peers.connect()
        caller = caller_of(connection, read_only=False)
        assert (caller.pid, caller.process) == (process.pid, None)

    def test_status_would_say_so(self) -> None:
        assert peer_status() == PeerStatus(handles=False, executables=False)

    def test_nothing_is_known_of_one_that_was_met_before(self, peers: Peers) -> None:
        connection, _ = peers.connect()
        assert_nothing_is_known(PeerProcess(connection))
