"""Socket activation: what systemd hands over is served as it is called, and is left as it was."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon, session_environment
from helpers.handing_over import HandedOver, listen_at, variables, with_descriptors
from helpers.libvirt_place import configure, may_define
from helpers.raw import RawClient
from secretd import operations as ops
from secretd.addresses import LIBVIRT_SOCKETS, NATIVE_SOCKETS
from secretd.client import Client
from secretd.daemon.activation import take_sockets
from secretd.errors import ReadOnlyError

FULL, READ_ONLY = (kind.name for kind in NATIVE_SOCKETS)
LIBVIRT, LIBVIRT_READ_ONLY = (kind.name for kind in LIBVIRT_SOCKETS)


class TestServed:
    def test_each_is_served_as_its_name_says(self, tmp_path: Path) -> None:
        """The paths say nothing: the one whose file is called read-only is not, and the other way round."""
        paths = {FULL: tmp_path / "passed" / READ_ONLY, READ_ONLY: tmp_path / "passed" / FULL}
        with ExitStack() as stack:
            sockets = {name: stack.enter_context(listen_at(path)) for name, path in paths.items()}
            stack.enter_context(HandedOver(tmp_path, sockets))
            client = stack.enter_context(Client(paths[FULL]))
            secret = client.call(ops.AllocateId()).secret
            read_only = stack.enter_context(Client(paths[READ_ONLY]))
            assert [entry.secret for entry in read_only.call(ops.List()).entries] == [secret]
            with pytest.raises(ReadOnlyError):
                read_only.call(ops.AllocateId())

    def test_nothing_else_is_made_and_nothing_is_changed(self, tmp_path: Path) -> None:
        path = tmp_path / "passed" / "any-name"
        with listen_at(path) as listener:
            with HandedOver(tmp_path, {FULL: listener}) as daemon:
                assert not daemon.socket.parent.exists()
            assert stat.S_IMODE(path.stat().st_mode) == 0o640
            # It still listens: who comes now waits for the next daemon.
            with RawClient(path) as client, HandedOver(tmp_path, {FULL: listener}):
                client.send(b"<request serial='7'><whoami/></request>\0")
                assert client.receive().startswith(b"<reply serial='7'>")

    def test_libvirts_are_served_too_wherever_they_are(self, tmp_path: Path) -> None:
        paths = {LIBVIRT: tmp_path / "passed" / LIBVIRT_READ_ONLY, LIBVIRT_READ_ONLY: tmp_path / "passed" / LIBVIRT}
        with ExitStack() as stack:
            sockets = {name: stack.enter_context(listen_at(path)) for name, path in paths.items()}
            with HandedOver(tmp_path, sockets) as daemon:
                assert [may_define(path) for path in paths.values()] == [True, False]
                assert not daemon.socket.parent.exists()
                assert daemon.system_token.exists()
            assert {stat.S_IMODE(path.stat().st_mode) for path in paths.values()} == {0o640}

    def test_the_place_that_is_configured_is_passed_over(self, tmp_path: Path) -> None:
        configure(tmp_path, "libvirt")
        path = tmp_path / "passed" / "any-name"
        with listen_at(path) as listener, HandedOver(tmp_path, {LIBVIRT: listener}) as daemon:
            assert may_define(path)
            assert {entry.name for entry in daemon.system_token.parents[1].iterdir()} == {"common"}

    def test_without_libvirts_there_is_no_token(self, tmp_path: Path) -> None:
        with listen_at(tmp_path / "passed" / FULL) as listener, HandedOver(tmp_path, {FULL: listener}) as daemon:
            assert not daemon.system_token.exists()

    def test_a_session_needs_no_directory_for_them(self, tmp_path: Path) -> None:
        path = tmp_path / "passed" / FULL
        environment = {**variables([FULL]), "XDG_RUNTIME_DIR": ""}
        with listen_at(path) as listener:
            python = (*with_descriptors([listener.fileno()]), sys.executable)
            with (
                RunningDaemon(tmp_path, ("--session",), environment, python, [listener.fileno()]),
                Client(path) as client,
            ):
                client.call(ops.Status())

    def test_no_child_would_inherit_them(self, tmp_path: Path) -> None:
        with listen_at(tmp_path / "passed" / FULL) as listener, HandedOver(tmp_path, {FULL: listener}) as daemon:
            fields = Path(f"/proc/{daemon.process.pid}/fdinfo/3").read_text().split()
            assert int(fields[fields.index("flags:") + 1], 8) & os.O_CLOEXEC

    def test_what_is_another_processs_is_passed_over(self, tmp_path: Path) -> None:
        environment = {"LISTEN_PID": "1", **variables([FULL])}
        with RunningDaemon(tmp_path, extra_environment=environment) as daemon, Client(daemon.socket) as client:
            client.call(ops.Status())

    @pytest.mark.parametrize("pid", ["1", "", "-", str(os.getpid())])
    def test_nothing_of_it_stays_in_the_environment(self, pid: str) -> None:
        environment = {
            "LISTEN_PID": pid,
            "LISTEN_FDS": "0",
            "LISTEN_FDNAMES": "",
            "LISTEN_PIDFDID": "1",
            "PATH": "/bin",
        }
        assert take_sockets(NATIVE_SOCKETS, environment) is None
        assert environment == {"PATH": "/bin"}


def unix_datagram(path: Path) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bound.bind(str(path))
    return bound


def internet(_: Path) -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def connected(_: Path) -> socket.socket:
    """Make what Accept=yes hands over."""
    ours, other = socket.socketpair()
    other.close()
    return ours


def unbound(_: Path) -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


def refused(root: Path, descriptors: list[int], environment: dict[str, str]) -> str:
    """Start a daemon that must not start; give what it says."""
    result = subprocess.run(
        [*with_descriptors(descriptors), sys.executable, "-P", "-m", "secretd", "--session"],
        env={**session_environment(root), **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        pass_fds=descriptors,
    )
    assert (result.returncode, "Traceback" in result.stderr) == (2, False)
    return result.stderr


class TestRefused:
    @pytest.mark.parametrize(
        ("make", "words"),
        [
            pytest.param(unix_datagram, "no Unix stream socket", id="datagrams"),
            pytest.param(internet, "no Unix stream socket", id="internet"),
            pytest.param(connected, "Accept=no", id="a-connection"),
            pytest.param(unbound, "does not listen", id="not-listening"),
        ],
    )
    def test_a_socket_of_another_kind(self, tmp_path: Path, make: Callable[[Path], socket.socket], words: str) -> None:
        with make(tmp_path / "socket") as wrong:
            said = refused(tmp_path, [wrong.fileno()], variables([FULL]))
        assert words in said
        assert f"'{FULL}'" in said

    def test_no_socket(self, tmp_path: Path) -> None:
        with tempfile.TemporaryFile() as file:
            assert "it is no socket" in refused(tmp_path, [file.fileno()], variables([FULL]))

    def test_one_that_the_configuration_turns_off(self, tmp_path: Path) -> None:
        configure(tmp_path, "off")
        with listen_at(tmp_path / "passed" / LIBVIRT) as listener:
            said = refused(tmp_path, [listener.fileno()], variables([LIBVIRT]))
        assert f"'{LIBVIRT}', which is not served" in said
        assert f"is one of {FULL}, {READ_ONLY}\n" in said

    def test_no_descriptor(self, tmp_path: Path) -> None:
        assert "it is no socket" in refused(tmp_path, [], variables([FULL]))

    @pytest.mark.parametrize(
        ("environment", "words"),
        [
            pytest.param(
                variables(["secretd.socket"]),
                f"is one of {FULL}, {READ_ONLY}, {LIBVIRT}, {LIBVIRT_READ_ONLY}\n",
                id="unknown-name",
            ),
            pytest.param(variables([FULL, FULL]), "twice", id="the-same-name"),
            pytest.param(variables([FULL], count=2), "says 2 sockets, and LISTEN_FDNAMES names 1", id="too-few-names"),
            pytest.param(variables([FULL, READ_ONLY], count=1), "LISTEN_FDNAMES names 2", id="too-many-names"),
            pytest.param({"LISTEN_FDS": "1"}, "LISTEN_FDNAMES names 0", id="no-names"),
            pytest.param({**variables([FULL]), "LISTEN_FDS": "one"}, "not a number", id="no-number"),
            pytest.param({**variables([FULL]), "LISTEN_FDS": "-1"}, "says -1 sockets", id="negative"),
        ],
    )
    def test_what_is_said_of_them(self, tmp_path: Path, environment: dict[str, str], words: str) -> None:
        with listen_at(tmp_path / "one") as one, listen_at(tmp_path / "two") as two:
            assert words in refused(tmp_path, [one.fileno(), two.fileno()], environment)


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not installed")
def test_systemds_own_tool_activates_it_and_it_may_start_itself_anew(tmp_path: Path) -> None:
    """The tool sets no variable of the allocator's, so the daemon replaces itself, as the same process."""
    paths = [tmp_path / "one", tmp_path / "two"]
    environment = session_environment(tmp_path)
    command = ["systemd-socket-activate", f"--fdname={FULL}:{READ_ONLY}"]
    command += [f"--listen={path}" for path in paths] + [f"--setenv={name}" for name in environment]
    process = subprocess.Popen(
        [*command, sys.executable, "-P", "-m", "secretd", "--session"],
        env=environment,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    )
    try:
        assert process.stderr is not None
        for path in paths:
            assert str(path) in process.stderr.readline()
        with Client(paths[0]) as client:
            assert client.call(ops.Whoami()).uid == os.geteuid()
            assert client.call(ops.Status()).memory_wiping
        with Client(paths[1]) as client:
            assert client.call(ops.Whoami()).read_only
        process.terminate()
        _, log = process.communicate(timeout=DEADLINE_S)
        assert (process.returncode, f'"pid": {process.pid}' in log) == (0, True)
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE_S)
