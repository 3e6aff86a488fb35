"""The units of a host in contrib/: what systemd says of them, and a daemon that lives in the service's sandbox.

No systemd runs here; test_user_manager.py has one, for a user's units.  What it would make of a process
helpers.confine makes, by the same means; the directories are made below a directory of the test's own, with the names
and modes that the unit says.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from helpers import confine
from helpers.control_groups import control_group, inside
from helpers.daemon import DEADLINE_S, RunningDaemon, session_environment
from helpers.documents import SECRET_ID
from helpers.handing_over import listen_at, variables, with_descriptors
from helpers.libvirt_place import may_define
from helpers.mounts import private_mounts
from helpers.told import FakeManager
from helpers.tree import ROOT, unmeasured_environment
from helpers.users import NOBODY, as_user, directory_of, root_only
from secretd import addresses
from secretd import operations as ops
from secretd.client import Client
from secretd.daemon import paths, reexec
from secretd.daemon.process import gives_handles
from secretd.model import Attributes, Mode, SecretDocument, SecretValue, Usage, UsageType

UNIT = ROOT / "contrib" / "secretd.service"
SOCKETS = [ROOT / "contrib" / f"secretd{suffix}.socket" for suffix in ("", "-ro", "-libvirt", "-libvirt-ro")]
OF_A_USER = sorted((ROOT / "contrib" / "user").iterdir())
SETTINGS = confine.settings(UNIT)
CONFINED = (sys.executable, "-P", confine.__file__, str(UNIT))
PLACES = {"Configuration": "etc", "State": "var/lib", "Runtime": "run"}

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")

CONFIG = """\
[daemon]
runtime-directory = "{root}/run/secretd"

[store]
url = "sqlite://{root}/var/lib/secretd/store"

[seal]
root-key-directory = "{root}/etc/secretd"
keyring-directory = "{root}/var/lib/secretd/keyring"

[libvirt]
sockets = "off"
"""

SECRET = UUID(SECRET_ID)
VALUE = SecretValue(b"open sesame")


def directory_of_the_daemon(kind: str) -> str:
    """Give the directory of this kind that is the daemon's alone; of what it has beside that, libvirt's is the last."""
    return SETTINGS[f"{kind}Directory"][0].split()[0]


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )


@needs_systemd
class TestWhatSystemdSays:
    def test_exposure_is_at_most_1_2(self) -> None:
        judged = analyze("security", "--offline=true", "--threshold=12", str(UNIT))
        assert judged.returncode == 0, judged.stdout

    def test_the_threshold_is_held_at_all(self) -> None:
        assert analyze("security", "--offline=true", "--threshold=1", str(UNIT)).returncode != 0

    @pytest.mark.parametrize(
        ("units", "manager"), [([UNIT, *SOCKETS], "--system"), (OF_A_USER, "--user")], ids=["of-a-host", "of-a-user"]
    )
    def test_nothing_in_them_is_unknown(
        self, tmp_path: Path, units: list[Path], manager: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in session_environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        for unit in units:
            (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/bin/secretd", sys.executable))
        verified = analyze(manager, "verify", *(str(tmp_path / unit.name) for unit in units))
        assert (verified.returncode, verified.stderr) == (0, "")

    def test_a_setting_that_is_unknown_is_noticed(self, tmp_path: Path) -> None:
        installed = tmp_path / UNIT.name
        installed.write_text(UNIT.read_text().replace("/usr/bin/secretd", sys.executable) + "[Service]\nNoSuch=1\n")
        assert "NoSuch" in analyze("verify", str(installed)).stderr


class TestWhatItSays:
    def test_it_runs_system_mode_and_its_directories_are_the_daemons(self) -> None:
        assert SETTINGS["ExecStart"] == ["/usr/bin/secretd --system"]
        named = [Path("/", place, directory_of_the_daemon(kind)) for kind, place in PLACES.items()]
        assert paths.directories(Mode.SYSTEM) == paths.Directories(*named)
        # systemd makes it, but leaves it read-only under ProtectSystem=strict.
        assert SETTINGS["ReadWritePaths"] == [str(named[0])]

    def test_the_daemon_does_not_have_to_start_anew(self) -> None:
        assert confine.environment(SETTINGS) == dict([reexec.ALLOCATOR, reexec.TUNABLES, reexec.BINDING])

    @pytest.mark.parametrize(
        ("directory", "mode", "directory_mode", "listens_in"),
        [
            pytest.param(ROOT / "contrib", "0666", "0755", "/run/secretd", id="of-a-host"),
            pytest.param(ROOT / "contrib" / "user", "0600", "0700", "%t/secretd", id="of-a-user"),
        ],
    )
    def test_the_sockets_are_those_that_the_daemon_would_make(
        self, directory: Path, mode: str, directory_mode: str, listens_in: str
    ) -> None:
        kinds = (*addresses.NATIVE_SOCKETS, *addresses.LIBVIRT_SOCKETS)
        for kind, unit in zip(kinds, SOCKETS, strict=True):
            socket_settings = confine.settings(directory / unit.name)
            assert socket_settings["ListenStream"] == [f"{listens_in}/{kind.name}"]
            assert socket_settings["FileDescriptorName"] == [kind.name]
            assert (socket_settings["SocketMode"], socket_settings["DirectoryMode"]) == ([mode], [directory_mode])

    def test_systemd_waits_for_it_watches_it_and_reloads_it_as_a_users_does(self) -> None:
        """What test_user_manager.py tries is tried for a host too."""
        of_a_user = confine.settings(ROOT / "contrib" / "user" / UNIT.name)
        names = (
            "Type",
            "WatchdogSec",
            "ExecReload",
            "Restart",
            "RestartPreventExitStatus",
            "KillMode",
            "TimeoutStopSec",
        )
        for name in (*names, "Environment"):
            assert SETTINGS[name] == of_a_user[name]

    def test_libvirts_directory_is_made_as_libvirt_does_and_can_be_written(self) -> None:
        assert SETTINGS["RuntimeDirectory"] == ["secretd libvirt"]
        assert SETTINGS["RuntimeDirectoryMode"] == ["0755"]
        assert addresses.libvirt_directory(Mode.SYSTEM) == Path("/run/libvirt")

    @pytest.mark.parametrize("directory", [ROOT / "contrib", ROOT / "contrib" / "user"], ids=["host", "user"])
    def test_who_starts_the_first_socket_has_all_of_them_and_none_without_it(self, directory: Path) -> None:
        first, *others = [confine.settings(directory / unit.name) for unit in SOCKETS]
        assert first["Wants"] == [" ".join(unit.name for unit in SOCKETS[1:])]
        for other in others:
            assert (other["BindsTo"], other["After"]) == ([SOCKETS[0].name], [SOCKETS[0].name])
            assert other["Service"] == [UNIT.name]

    def test_the_end_of_the_daemon_leaves_the_sockets_of_systemd(self) -> None:
        assert SETTINGS["RuntimeDirectoryPreserve"] == ["yes"]

    def test_callers_stay_who_they_are(self) -> None:
        assert "PrivateUsers" not in SETTINGS


@pytest.fixture
def root() -> Iterator[Path]:
    """Make the directories as systemd does, below one that everybody can reach."""
    with directory_of(0) as root:
        root.chmod(0o755)
        for kind, place in PLACES.items():
            (root / place).mkdir(parents=True)
            directory = root / place / directory_of_the_daemon(kind)
            directory.mkdir()
            directory.chmod(int(SETTINGS[f"{kind}DirectoryMode"][0], 8))
        (root / "etc" / "secretd" / "secretd.toml").write_text(CONFIG.format(root=root))
        yield root


def arguments(root: Path) -> tuple[str, ...]:
    return ("--system", "--config", str(root / "etc" / "secretd" / "secretd.toml"))


def start(root: Path) -> RunningDaemon:
    return RunningDaemon(root, arguments(root), python=(*CONFINED, sys.executable))


def as_nobody(code: str, *arguments: object) -> str:
    command = [*as_user(NOBODY), "/usr/bin/python3", "-c", code, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd="/")
    return result.stdout + result.stderr


ASK = """\
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b"<request serial='1'><whoami/></request>\\0")
data = b''
while not data.endswith(b'\\0'): data += s.recv(65536) or sys.exit('end')
print(data.decode())
"""


@root_only
@needs_systemd
class TestSandbox:
    def test_the_daemon_lives_in_it(self, root: Path) -> None:
        with start(root) as daemon:
            status = Path(f"/proc/{daemon.process.pid}/status").read_text()
            held = dict(line.split(":\t", 1) for line in status.splitlines())
            with Client(daemon.socket) as client:
                digest = client.call(ops.SetValue(SECRET, VALUE)).digest
                document = SecretDocument(Attributes(Usage(UsageType.VOLUME, "/a")), SECRET)
                client.call(ops.SetXml(SECRET, document, digest=digest))
                client.call(ops.GenerateValue(client.call(ops.AllocateId()).secret, 32))
                assert client.call(ops.List()).entries
                assert client.call(ops.LookupByUsage(Usage(UsageType.VOLUME, "/a"))).secret == SECRET
            assert daemon.stop() == 0
            assert {entry["level"] for entry in daemon.log} <= {"info", "warning"}
        assert [held[name].strip("0") for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")] == [""] * 5
        assert (held["NoNewPrivs"], held["Seccomp"], held["Seccomp_filters"]) == ("1", "2", "3")

    def test_what_was_stored_is_there_at_the_next_start(self, root: Path) -> None:
        with start(root) as daemon, Client(daemon.socket) as client:
            client.call(ops.SetValue(SECRET, VALUE))
        with start(root) as daemon, Client(daemon.socket) as client:
            assert client.call(ops.GetValue(SECRET)).value == VALUE
            client.call(ops.Delete(SECRET))

    def test_it_takes_a_socket_and_tells_systemd(self, root: Path) -> None:
        path = root / "run" / "secretd" / "secretd-sock"
        manager = FakeManager(str(root / "notify"))
        with listen_at(path) as listener, manager.socket:
            descriptors = [listener.fileno()]
            environment = {**variables([path.name]), **manager.environment, "WATCHDOG_USEC": "20000"}
            python = (*with_descriptors(descriptors), *CONFINED, sys.executable)
            with RunningDaemon(root, arguments(root), environment, python, descriptors), Client(path) as client:
                assert manager.receive()["READY"] == "1"
                manager.wait_for("WATCHDOG")
                assert client.call(ops.Status()).memory_wiping

    @pytest.mark.parametrize("place", ["own", "libvirt"])
    def test_it_has_the_libvirt_sockets_and_the_token(self, tmp_path: Path, place: str) -> None:
        with private_mounts() as mounts:
            for hidden in ("/run", "/etc", "/var/lib"):
                mounts.small_memory_disk(Path(hidden), "16m")
            for kind, parent in PLACES.items():
                for directory in SETTINGS[f"{kind}Directory"][0].split():
                    mounts.run("mkdir", "-m", SETTINGS[f"{kind}DirectoryMode"][0], Path("/", parent, directory))
            mounts.path(Path("/etc/secretd/secretd.toml")).write_text(f"[libvirt]\nsockets = '{place}'\n")
            with RunningDaemon(tmp_path, ("--system",), python=(*mounts.prefix, *CONFINED, sys.executable)) as daemon:
                sockets = mounts.path(Path("/run", "secretd" if place == "own" else place))
                paths = [sockets / kind.name for kind in addresses.LIBVIRT_SOCKETS]
                assert [may_define(path, Mode.SYSTEM) for path in paths] == [True, False]
                assert mounts.path(Path("/run/libvirt/common/system.token")).exists()
                assert daemon.stop() == 0
            assert not [path for path in paths if path.exists()]

    def test_it_sees_the_units_of_callers_and_not_what_they_run(self, root: Path) -> None:
        options = f"hidepid={SETTINGS['ProtectProc'][0]},subset={SETTINGS['ProcSubset'][0]}"
        with private_mounts() as mounts, control_group(f"{root.name}.slice", "nginx.service") as group:
            mounts.run("mount", "-t", "proc", "-o", options, "proc", "/proc")
            with RunningDaemon(root, arguments(root), python=(*mounts.prefix, *CONFINED, sys.executable)) as daemon:
                with Client(daemon.socket) as client:
                    status = client.call(ops.Status())
                command = [*inside(group), sys.executable, "-c", ASK, str(daemon.socket)]
                you = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert (status.peer_handles, status.peer_executables) == (gives_handles(), False)
        assert ("<unit>nginx.service</unit>" in you) is gives_handles()
        assert "<executable>" not in you

    def test_freed_memory_is_wiped_in_it(self, root: Path) -> None:
        with start(root) as daemon, Client(daemon.socket) as client:
            assert client.call(ops.Status()).memory_wiping

    def test_another_user_reaches_the_sockets_and_nothing_else(self, root: Path) -> None:
        with start(root):
            for name in ("secretd-sock", "secretd-sock-ro"):
                path = root / "run" / "secretd" / name
                assert stat.S_IMODE(path.stat().st_mode) == 0o666
                assert "access-denied" in as_nobody(ASK, path)
            for place in ("etc", "var/lib"):
                told = as_nobody("import os, sys; os.listdir(sys.argv[1])", root / place / "secretd")
                assert "PermissionError" in told
            for attempt in ("os.unlink(sys.argv[1] + '/secretd-sock')", "open(sys.argv[1] + '/new', 'w')"):
                assert "PermissionError" in as_nobody(f"import os, sys; {attempt}", root / "run" / "secretd")


@root_only
@needs_systemd
@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param("socket.socket(socket.AF_INET)", id="network"),
        pytest.param("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", id="netlink"),
        pytest.param("mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)", id="executable-memory"),
        pytest.param("os.chroot('/')", id="chroot"),
        pytest.param("os.setuid(1)", id="setuid"),
        pytest.param("os.setpriority(os.PRIO_PROCESS, 0, -1)", id="priority"),
        pytest.param("os.listdir(sys.argv[1])", id="files-of-others"),
    ],
)
def test_only_the_sandbox_refuses(attempt: str, tmp_path: Path) -> None:
    with directory_of(NOBODY) as foreign:
        foreign.chmod(0o700)
        code = f"import mmap, os, socket, sys\ntry: {attempt}\nexcept OSError: sys.exit(7)"
        for confined, status in ((CONFINED, 7), ((), 0)):
            command = [*confined, sys.executable, "-c", code, str(foreign)]
            # Unmeasured: who has given up his rights cannot write down what coverage saw.
            result = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
                cwd=tmp_path,
                env=unmeasured_environment(),
            )
            assert (result.returncode, result.stderr) == (status, "")
