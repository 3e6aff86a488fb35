"""Which system service a process is in: by texts that /proc could have, and by control groups that are there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.control_groups import control_group, inside
from helpers.daemon import RunningDaemon
from helpers.peers import CAT, peers_of
from helpers.users import NOBODY, as_user, root_only
from secretd.daemon import units
from secretd.daemon.process import PeerProcess
from secretd.daemon.units import service_in, unit_of
from secretd.model import Unit

ASK = """\
import sys
from pathlib import Path
from secretd.client import Client
from secretd.operations import Whoami
with Client(Path(sys.argv[1])) as client:
    you = client.call(Whoami())
print(you.unit, you.executable, sep="\\n")
"""

INVOCATION = "0123456789abcdef0123456789abcdef"

PATHS = [
    pytest.param("/system.slice/nginx.service", "nginx.service", id="a-service"),
    pytest.param("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", id="in-a-slice-of-it"),
    pytest.param("/web.slice/nginx.service", "nginx.service", id="in-another-slice-of-the-system"),
    pytest.param("/machine.slice/libvirtd.service/vcpu0", "libvirtd.service", id="below-its-group"),
    pytest.param(
        r"/system.slice/system-systemd\x2dfsck.slice/systemd-fsck@dev-sda.service",
        "systemd-fsck@dev-sda.service",
        id="an-escape-on-the-way",
    ),
    pytest.param(r"/system.slice/a\x2db.service", r"a\x2db.service", id="an-escape-stays"),
    pytest.param("/system.slice/a.service/nginx.service", "a.service", id="a-name-below-a-service"),
    pytest.param("/system.slice/a.service/system.slice/nginx.service", "a.service", id="a-slice-below-a-service"),
    pytest.param("/user.slice/user-7.slice/user@7.service/app.slice/nginx.service", None, id="a-user-s-service"),
    pytest.param("/user.slice/nginx.service", None, id="right-below-user-slice"),
    pytest.param("/user.slice/system.slice/nginx.service", None, id="a-slice-below-user-slice"),
    pytest.param("/system.slice/user.slice/nginx.service", None, id="user-slice-anywhere"),
    pytest.param("/user.slice/user-7.slice/session-1.scope", None, id="a-session"),
    pytest.param(r"/machine.slice/machine-qemu\x2d1\x2dguest.scope", None, id="a-guest"),
    pytest.param("/system.slice/docker-0123.scope/nginx.service", None, id="below-a-scope"),
    pytest.param("/docker/0123/system.slice/nginx.service", None, id="a-container-without-systemd"),
    pytest.param("/nginx.service", None, id="below-no-slice"),
    pytest.param("/system.slice", None, id="a-slice-itself"),
    pytest.param("/init.scope", None, id="systemd-itself"),
    pytest.param("/", None, id="the-root"),
    pytest.param("/../system.slice/nginx.service", None, id="outside-of-our-namespace"),
    pytest.param("/system.slice/../user.slice/nginx.service", None, id="up-again"),
    pytest.param("//system.slice/nginx.service", None, id="doubled-slash"),
    pytest.param("/system.slice//nginx.service", None, id="doubled-slash-within"),
    pytest.param("/System.slice/nginx.Service", None, id="case"),
    pytest.param("/system.slice/nginx.service (deleted)", None, id="a-group-that-is-gone"),
    pytest.param("/system.slice/.service", None, id="no-name"),
    pytest.param("/system.slice/ng inx.service", None, id="no-unit-s-name"),
    pytest.param("/system.slice/ng\udcffinx.service", None, id="not-text"),
    pytest.param(f"/system.slice/{'a' * 247}.service", f"{'a' * 247}.service", id="the-longest-name"),
    pytest.param(f"/system.slice/{'a' * 248}.service", None, id="longer-than-a-unit-s-name"),
]


class TestTexts:
    @pytest.mark.parametrize(("path", "unit"), PATHS)
    def test_a_path(self, path: str, unit: str | None) -> None:
        assert service_in(f"0::{path}\n") == unit

    @pytest.mark.parametrize(
        ("text", "unit"),
        [
            pytest.param("", None, id="nothing"),
            pytest.param("1:name=systemd:/system.slice/nginx.service\n", None, id="the-first-version-alone"),
            pytest.param(
                "4:memory:/user.slice\n1:name=systemd:/x\n0::/system.slice/nginx.service\n", "nginx.service", id="both"
            ),
            pytest.param("4:a,0::/system.slice/nginx.service\n0::/\n", None, id="a-name-that-looks-like-it"),
            pytest.param("10::/system.slice/nginx.service\n", None, id="another-number"),
        ],
    )
    def test_lines(self, text: str, unit: str | None) -> None:
        assert service_in(text) == unit


class TestInvocations:
    @pytest.mark.parametrize(
        ("target", "invocation"),
        [
            pytest.param(INVOCATION, INVOCATION, id="as-systemd-writes-it"),
            pytest.param(None, None, id="none"),
            pytest.param(INVOCATION.upper(), None, id="in-capitals"),
            pytest.param(f"{INVOCATION}0", None, id="too-long"),
            pytest.param(f"/{INVOCATION}", None, id="a-path"),
        ],
    )
    def test_it_is_what_systemd_links_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str | None, invocation: str | None
    ) -> None:
        monkeypatch.setattr(units, "_RUNS", tmp_path)
        (tmp_path / "cgroup").write_text("0::/system.slice/nginx.service\n")
        if target is not None:
            (tmp_path / "invocation:nginx.service").symlink_to(target)
        assert unit_of(tmp_path) == Unit("nginx.service", invocation)

    def test_a_process_that_is_gone(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            unit_of(tmp_path)


NAME = f"secretd-test-{os.getpid()}"


@root_only
class TestControlGroups:
    def test_a_service_s(self) -> None:
        with control_group(f"{NAME}.slice", "nginx.service") as group, peers_of() as peers:
            connection, process = peers.connect(CAT, inside(group))
            assert Path(f"/proc/{process.pid}/cgroup").read_text().endswith(f"0::/{NAME}.slice/nginx.service\n")
            assert PeerProcess(connection).unit() == Unit("nginx.service")

    def test_one_that_a_service_made_for_itself(self) -> None:
        with control_group(f"{NAME}.slice", "a.service", "nginx.service") as group, peers_of() as peers:
            connection, _ = peers.connect(CAT, inside(group))
            assert PeerProcess(connection).unit() == Unit("a.service")

    def test_one_that_a_user_made_where_he_may(self) -> None:
        with control_group("user.slice", NAME) as delegated:
            for each in (delegated, delegated / "cgroup.procs", delegated / "cgroup.subtree_control"):
                os.chown(each, NOBODY, NOBODY)
            forged = delegated / "system.slice" / "nginx.service"
            subprocess.run([*as_user(NOBODY), "mkdir", "-p", str(forged)], check=True)
            try:
                with peers_of() as peers:
                    as_the_user = (*inside(delegated), *as_user(NOBODY), *inside(forged))
                    connection, process = peers.connect(CAT, as_the_user, ("/usr/bin/python3",))
                    told = Path(f"/proc/{process.pid}/cgroup").read_text()
                    assert told.endswith(f"/{NAME}/system.slice/nginx.service\n")
                    assert PeerProcess(connection).unit() is None
            finally:
                forged.rmdir()
                forged.parent.rmdir()

    def test_whoami_tells_a_service_its_name(self, tmp_path: Path) -> None:
        with control_group(f"{NAME}.slice", "nginx.service") as group, RunningDaemon(tmp_path) as daemon:
            command = [*inside(group), sys.executable, "-P", "-c", ASK, str(daemon.socket)]
            asked = subprocess.run(command, check=True, capture_output=True, text=True)
        assert asked.stdout.splitlines() == ["nginx.service", str(Path(sys.executable).resolve())]


def test_a_process_in_no_service_is_in_none() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        in_one = service_in(Path("/proc/self/cgroup").read_text())
        unit = PeerProcess(ours).unit()
        assert (unit.name if unit else None) == in_one
