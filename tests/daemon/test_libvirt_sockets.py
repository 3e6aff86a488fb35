"""The sockets for libvirt's clients: where they are, what they are made beside, and that nobody's are taken."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon, session_environment
from helpers.handing_over import listen_at
from helpers.libvirt_place import configure, may_define, may_read_private
from helpers.mounts import PrivateMounts, private_mounts
from helpers.users import NOBODY, directory_of, python_as, root_only
from secretd.addresses import LIBVIRT, LIBVIRT_SOCKETS, NATIVE_SOCKETS
from secretd.daemon.sockets import RuntimeDirectory
from secretd.errors import ConfigError
from secretd.model import Mode

NAMES = {kind.name for kind in LIBVIRT_SOCKETS}


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refused(root: Path, python: tuple[str, ...] = (sys.executable,)) -> str:
    """Start a daemon that must not start; give what it says."""
    result = subprocess.run(
        [*python, "-P", "-m", "secretd", "--session"],
        env=session_environment(root),
        cwd=root,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (result.returncode, "Traceback" in result.stderr) == (2, False)
    return result.stderr


class TestWhere:
    def test_beside_its_own(self, tmp_path: Path) -> None:
        with RunningDaemon(tmp_path) as daemon:
            assert names_in(daemon.socket.parent) == NAMES | {kind.name for kind in NATIVE_SOCKETS} | {"secretd.lock"}
            assert [mode_of(path) for path in (daemon.libvirt_socket, daemon.libvirt_socket_ro)] == [0o600] * 2
            assert [may_define(path) for path in (daemon.libvirt_socket, daemon.libvirt_socket_ro)] == [True, False]
            assert mode_of(daemon.system_token) == 0o600
        assert names_in(daemon.socket.parent) == {"secretd.lock"}

    def test_beside_its_own_by_the_option(self, tmp_path: Path) -> None:
        session_environment(tmp_path)
        with RunningDaemon(tmp_path, ("--session", "--runtime-dir", str(tmp_path / "elsewhere"))):
            assert may_define(tmp_path / "elsewhere" / LIBVIRT.name)

    def test_where_libvirts_clients_look(self, tmp_path: Path) -> None:
        configure(tmp_path, "libvirt")
        directory = tmp_path / "run" / "libvirt"
        # The option is for the daemon's own.
        arguments = ("--session", "--runtime-dir", str(tmp_path / "run" / "elsewhere"))
        with RunningDaemon(tmp_path, arguments):
            assert names_in(directory) == {*NAMES, "secretd.lock", "common"}
            assert mode_of(directory) == 0o700
            assert {mode_of(directory / name) for name in NAMES} == {0o600}
            assert [may_define(directory / kind.name) for kind in LIBVIRT_SOCKETS] == [True, False]
            assert not names_in(tmp_path / "run" / "elsewhere") & NAMES
        assert names_in(directory) == {"secretd.lock", "common"}

    def test_nowhere(self, tmp_path: Path) -> None:
        configure(tmp_path, "off")
        with RunningDaemon(tmp_path) as daemon:
            assert not names_in(daemon.socket.parent) & NAMES
            assert names_in(tmp_path / "run") == {"secretd"}

    def test_in_one_directory_with_its_own(self, tmp_path: Path) -> None:
        configure(tmp_path, "libvirt")
        directory = tmp_path / "run" / "libvirt"
        with RunningDaemon(tmp_path, ("--session", "--runtime-dir", str(directory))):
            assert names_in(directory) > {*NAMES, "secretd-sock"}

    def test_without_a_runtime_directory_it_says_what_to_set(self, tmp_path: Path) -> None:
        configure(tmp_path, "libvirt")
        command = [sys.executable, "-P", "-m", "secretd", "--session", "--runtime-dir", str(tmp_path / "elsewhere")]
        environment = {**session_environment(tmp_path), "XDG_RUNTIME_DIR": ""}
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        assert result.returncode == 2
        assert "XDG_RUNTIME_DIR" in result.stderr
        assert "libvirt.sockets" in result.stderr

    def test_a_directory_that_is_there_stays_as_it_is(self, tmp_path: Path) -> None:
        configure(tmp_path, "libvirt")
        session_environment(tmp_path)
        directory = tmp_path / "run" / "libvirt"
        (directory / "common").mkdir(parents=True)
        directory.chmod(0o711)
        (directory / "virtqemud-sock").write_text("another's")
        (directory / "common" / "system.token").write_text("0" * 32)
        (directory / "common" / "system.token").chmod(0o600)
        with RunningDaemon(tmp_path):
            assert names_in(directory) == {*NAMES, "secretd.lock", "common", "virtqemud-sock"}
        assert names_in(directory) == {"secretd.lock", "common", "virtqemud-sock"}
        assert mode_of(directory) == 0o711
        assert (directory / "virtqemud-sock").read_text() == "another's"
        assert (directory / "common" / "system.token").read_text() == "0" * 32

    def test_a_directory_that_others_can_write_is_refused(self, tmp_path: Path) -> None:
        configure(tmp_path, "libvirt")
        session_environment(tmp_path)
        (tmp_path / "run" / "libvirt").mkdir()
        (tmp_path / "run" / "libvirt").chmod(0o777)
        assert "can be written by others" in refused(tmp_path)
        assert names_in(tmp_path / "run" / "libvirt") == set()

    @root_only
    def test_as_an_ordinary_user(self) -> None:
        with session_of_nobody() as root:
            configure(root, "libvirt")
            with RunningDaemon(root, python=python_as(NOBODY)) as daemon:
                directory = root / "run" / "libvirt"
                assert {(path.stat().st_uid, mode_of(path)) for path in map(directory.joinpath, NAMES)} == {
                    (NOBODY, 0o600)
                }
                assert (daemon.system_token.stat().st_uid, mode_of(daemon.system_token)) == (NOBODY, 0o600)
                assert may_define(directory / LIBVIRT.name, uid=NOBODY)


@contextmanager
def session_of_nobody() -> Iterator[Path]:
    """Make a session's directories for an ordinary user."""
    with directory_of(NOBODY) as root:
        session_environment(root)
        for place in root.iterdir():
            os.chown(place, NOBODY, NOBODY)
        yield root


@contextmanager
def host() -> Iterator[PrivateMounts]:
    """Make a namespace where what a host's daemon has is not this host's."""
    with private_mounts() as mounts:
        for place in ("/run", "/etc", "/var/lib"):
            mounts.small_memory_disk(Path(place), "16m")
        mounts.run("chmod", "755", "/run", "/etc", "/var/lib")
        yield mounts


class TestOnAHost:
    @pytest.mark.parametrize("place", ["own", "libvirt"])
    def test_everybody_may_connect_to_them(self, tmp_path: Path, place: str) -> None:
        with host() as mounts:
            config = mounts.path(Path("/etc/secretd/secretd.toml"))
            config.parent.mkdir(mode=0o700)
            config.write_text(f"[libvirt]\nsockets = '{place}'\n")
            directory = mounts.path(Path("/run/secretd" if place == "own" else "/run/libvirt"))
            with RunningDaemon(tmp_path, ("--system",), python=(*mounts.prefix, sys.executable)):
                assert {mode_of(directory / name) for name in NAMES} == {0o666}
                assert mode_of(directory) == 0o755
                made = [mounts.path(Path("/run/libvirt", name)) for name in ("", "common", "common/system.token")]
                assert [mode_of(path) for path in made] == [0o755, 0o700, 0o600]
                assert [may_define(directory / kind.name, Mode.SYSTEM) for kind in LIBVIRT_SOCKETS] == [True, False]
            assert not names_in(directory) & NAMES

    def test_a_session_of_root_has_a_sessions_places(self, tmp_path: Path) -> None:
        with (
            host() as mounts,
            RunningDaemon(tmp_path, python=(*mounts.prefix, sys.executable)) as daemon,
        ):
            assert daemon.system_token.exists()
            assert not names_in(mounts.path(Path("/run"))) & {"secretd", "libvirt"}


def test_the_token_of_the_file_opens_private_values_and_no_other_does(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon:
        token = daemon.system_token.read_bytes()
        offered = (b"0" * 32, b"", token)
        assert [may_read_private(daemon.libvirt_socket, shown) for shown in offered] == [False, False, True]
        daemon.system_token.chmod(0o644)
        assert not may_read_private(daemon.libvirt_socket, token)
        line = daemon.wait_for_event("the system token cannot be used: nobody is elevated")
        assert line["path"] == str(daemon.system_token)
        daemon.stop()
    assert token.decode() not in str(daemon.log)


class TestTaken:
    def test_a_path_that_somebody_answers_on_is_left_to_him(self, tmp_path: Path) -> None:
        configure(tmp_path, "libvirt")
        session_environment(tmp_path)
        path = tmp_path / "run" / "libvirt" / LIBVIRT.name
        with listen_at(path):
            before = path.stat()
            said = refused(tmp_path)
            assert f"another daemon answers on {path}" in said
            assert "libvirt.sockets" in said
            assert os.path.samestat(before, path.stat())
            assert names_in(path.parent) == {LIBVIRT.name, "secretd.lock"}

    def test_his_who_is_stuck_too(self, tmp_path: Path) -> None:
        """Nobody accepts, and no more can wait for it: to connect would wait for ever."""
        configure(tmp_path, "libvirt")
        session_environment(tmp_path)
        path = tmp_path / "run" / "libvirt" / LIBVIRT.name
        with ExitStack() as stack:
            stack.enter_context(listen_at(path)).listen(0)
            failed = 0
            while not failed:
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                failed = client.connect_ex(str(path))
            assert failed == errno.EAGAIN
            assert f"another daemon answers on {path}" in refused(tmp_path)

    def test_what_a_dead_daemon_left_is_replaced(self, tmp_path: Path) -> None:
        configure(tmp_path, "libvirt")
        with RunningDaemon(tmp_path) as daemon:
            daemon.kill()
        path = tmp_path / "run" / "libvirt" / LIBVIRT.name
        assert path.is_socket()
        with RunningDaemon(tmp_path):
            assert may_define(path)
        assert names_in(path.parent) == {"secretd.lock", "common"}

    def test_what_is_no_socket_is_left_alone(self, tmp_path: Path) -> None:
        configure(tmp_path, "libvirt")
        session_environment(tmp_path)
        path = tmp_path / "run" / "libvirt" / LIBVIRT.name
        path.parent.mkdir(mode=0o700)
        path.write_text("mine")
        assert f"{path} is there and is no socket" in refused(tmp_path)
        assert path.read_text() == "mine"

    def test_a_second_secretd_is_refused_though_its_own_directory_is_another(self, tmp_path: Path) -> None:
        configure(tmp_path, "libvirt")
        with RunningDaemon(tmp_path):
            other = tmp_path / "other"
            configure(other, "libvirt")
            environment = {**session_environment(other), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
            result = subprocess.run(
                [sys.executable, "-P", "-m", "secretd", "--session", "--runtime-dir", str(other / "own")],
                env=environment,
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
            assert f"another secretd is running in {tmp_path / 'run' / 'libvirt'}" in result.stderr
            assert may_define(tmp_path / "run" / "libvirt" / LIBVIRT.name)

    def test_another_daemons_socket_is_not_removed_at_the_end(self, tmp_path: Path) -> None:
        """libvirt's daemons take the path of whoever has it."""
        configure(tmp_path, "libvirt")
        path = tmp_path / "run" / "libvirt" / LIBVIRT.name
        with RunningDaemon(tmp_path) as daemon:
            path.unlink()
            with listen_at(path):
                assert daemon.stop() == 0
                assert names_in(path.parent) == {LIBVIRT.name, "secretd.lock", "common"}
        assert path.is_socket()

    def test_one_that_is_gone_is_not_missed_at_the_end(self, tmp_path: Path) -> None:
        with RunningDaemon(tmp_path) as daemon:
            daemon.libvirt_socket.unlink()
            assert daemon.stop() == 0


def bound(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    return made


class TestRaces:
    """What another daemon does, that does not know of our lock, between two steps of ours."""

    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        path = tmp_path / "run"
        path.mkdir(mode=0o700)
        bound(path / LIBVIRT.name).close()
        return path

    def test_he_comes_after_the_first_look(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = directory / LIBVIRT.name
        really_rename = Path.rename
        with ExitStack() as stack:

            def rename(self: Path, target: Path) -> Path:
                path.unlink()
                stack.enter_context(listen_at(path))
                return really_rename(self, target)

            monkeypatch.setattr(Path, "rename", rename)
            with RuntimeDirectory(directory, Mode.SESSION) as runtime:
                with pytest.raises(ConfigError, match="another daemon answers"):
                    runtime.listen(LIBVIRT)
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
            assert names_in(directory) == {LIBVIRT.name, "secretd.lock"}

    def test_he_listens_only_after_the_first_look(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = directory / LIBVIRT.name
        path.unlink()
        really_rename = Path.rename
        with bound(path) as other:

            def rename(self: Path, target: Path) -> Path:
                other.listen()
                return really_rename(self, target)

            monkeypatch.setattr(Path, "rename", rename)
            with RuntimeDirectory(directory, Mode.SESSION) as runtime:
                with pytest.raises(ConfigError, match="another daemon answers"):
                    runtime.listen(LIBVIRT)
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
            assert names_in(directory) == {LIBVIRT.name, "secretd.lock"}

    def test_he_comes_when_the_old_one_is_removed(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = directory / LIBVIRT.name
        really_unlink = Path.unlink
        with ExitStack() as stack:

            def unlink(self: Path, *, missing_ok: bool = False) -> None:
                really_unlink(self, missing_ok=missing_ok)
                if not path.exists():
                    stack.enter_context(listen_at(path))

            monkeypatch.setattr(Path, "unlink", unlink)
            with RuntimeDirectory(directory, Mode.SESSION) as runtime:
                with pytest.raises(ConfigError, match="cannot be made"):
                    runtime.listen(LIBVIRT)
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))

    def test_he_removes_the_old_one_himself(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = directory / LIBVIRT.name
        really_rename = Path.rename

        def rename(self: Path, target: Path) -> Path:
            path.unlink()
            return really_rename(self, target)

        monkeypatch.setattr(Path, "rename", rename)
        with RuntimeDirectory(directory, Mode.SESSION) as runtime, runtime.listen(LIBVIRT):
            assert path.is_socket()
