"""The system token: how it is made and read, who is believed that shows it, and what is not used."""

from __future__ import annotations

import hmac
import logging
import os
import pickle
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from helpers.daemon import DEADLINE_S
from helpers.users import NOBODY, directory_of, python_as, root_only
from secretd.daemon.token import SystemToken
from secretd.model import Caller, Mode

ONE, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2
OURS = Caller(uid=os.geteuid(), gid=0, pid=1)
REFUSED = "the system token cannot be used: nobody is elevated"


def file_in(directory: Path) -> Path:
    return directory / "common" / "system.token"


def write(directory: Path, text: str = ONE) -> Path:
    """Put a token there as a libvirt daemon has it."""
    path = file_in(directory)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Give what the log says of tokens that are not used."""
    return [record.__dict__["reason"] for record in caplog.records if record.message == REFUSED]


START_OFTEN = """\
import os, sys
from pathlib import Path
from secretd.daemon.token import SystemToken
from secretd.model import Caller, Mode
def say(text): print(text, flush=True); sys.stdin.readline()
root = Path(sys.argv[1])
say("ready")
tokens = [(SystemToken(root / str(n), Mode.SESSION), root / str(n) / "common" / "system.token") for n in range(50)]
say("made")
say(all(token.verify(path.read_bytes(), Caller(os.geteuid(), 0, 1)) for token, path in tokens))
"""

LIBVIRTS_WAY = """\
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
fcntl.lockf(descriptor, fcntl.LOCK_EX, 1)
print("locked", flush=True)
sys.stdin.readline()
os.write(descriptor, sys.argv[2].encode())
"""
"""What strace shows of libvirtd 9.0 and 12.8."""


def wait_until_waited_for(pid: int) -> None:
    """Wait until somebody waits for a lock that this process holds (proc(5), /proc/locks)."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        held = {number for number, *fields in lines if str(pid) in fields}
        if any(number in held and fields[0] == "->" for number, *fields in lines):
            return
    raise AssertionError("nobody waits for the lock")


class TestMade:
    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777], ids=oct)
    @pytest.mark.parametrize(("mode", "expected"), [(Mode.SYSTEM, 0o755), (Mode.SESSION, 0o700)])
    def test_as_libvirts_daemons_make_it(self, tmp_path: Path, umask: int, mode: Mode, expected: int) -> None:
        before = os.umask(umask)
        try:
            token = SystemToken(tmp_path / "libvirt", mode)
        finally:
            os.umask(before)
        path = file_in(tmp_path / "libvirt")
        assert re.fullmatch(b"[0-9a-f]{32}", path.read_bytes())
        assert [mode_of(place) for place in (path, path.parent, tmp_path / "libvirt")] == [0o600, 0o700, expected]
        assert token.verify(path.read_bytes(), OURS)

    def test_each_is_another(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            SystemToken(tmp_path / name, Mode.SESSION)
        assert file_in(tmp_path / "one").read_bytes() != file_in(tmp_path / "two").read_bytes()

    def test_what_is_there_is_left_as_it_is(self, tmp_path: Path) -> None:
        path = write(tmp_path)
        tmp_path.chmod(0o711)
        before = path.stat()
        assert SystemToken(tmp_path, Mode.SYSTEM).verify(ONE.encode(), OURS)
        assert (path.stat().st_ino, path.stat().st_mtime_ns, path.read_text()) == (
            before.st_ino,
            before.st_mtime_ns,
            ONE,
        )
        assert mode_of(tmp_path) == 0o711

    def test_many_that_start_at_once_have_one_token(self, tmp_path: Path) -> None:
        command = [sys.executable, "-P", "-c", START_OFTEN, str(tmp_path)]
        with ExitStack() as stack:
            started = [
                stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
                for _ in range(4)
            ]
            for line in ("ready", "made", "True"):
                # All at once each time: none goes on before all are there.
                assert [process.stdout and process.stdout.readline() for process in started] == [f"{line}\n"] * 4
                for process in started:
                    assert process.stdin is not None
                    process.stdin.write("\n")
                    process.stdin.flush()

    def test_a_libvirt_daemon_that_is_about_to_write_it_is_waited_for(self, tmp_path: Path) -> None:
        path = file_in(tmp_path)
        path.parent.mkdir(mode=0o700)
        command = [sys.executable, "-c", LIBVIRTS_WAY, str(path), ONE]
        with (
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as libvirts,
            ThreadPoolExecutor(1) as pool,
        ):
            assert libvirts.stdout is not None
            assert libvirts.stdout.readline() == "locked\n"
            token = pool.submit(SystemToken, tmp_path, Mode.SESSION)
            wait_until_waited_for(libvirts.pid)
            libvirts.communicate("\n", timeout=DEADLINE_S)
            assert token.result(DEADLINE_S).verify(ONE.encode(), OURS)
        assert path.read_text() == ONE


class TestBelieved:
    @pytest.mark.parametrize(
        "offered",
        [
            pytest.param(OTHER, id="another"),
            pytest.param("", id="nothing"),
            pytest.param(ONE[:-1], id="shorter"),
            pytest.param(ONE + "0", id="longer"),
            pytest.param(ONE + "\n", id="a-newline"),
            pytest.param(ONE.upper(), id="upper-case"),
            pytest.param("\0" * 32, id="zeros"),
        ],
    )
    def test_nothing_but_the_token(self, tmp_path: Path, offered: str) -> None:
        write(tmp_path)
        token = SystemToken(tmp_path, Mode.SYSTEM)
        assert not token.verify(offered.encode(), OURS)
        assert token.verify(ONE.encode(), OURS)

    @pytest.mark.parametrize(
        ("uid", "believed"), [(0, True), (os.geteuid(), True), (1_000_000, False), (4_294_967_295, False)]
    )
    def test_only_who_may_hold_it(self, tmp_path: Path, uid: int, believed: bool) -> None:
        write(tmp_path)
        assert SystemToken(tmp_path, Mode.SYSTEM).verify(ONE.encode(), Caller(uid, 0, 1)) is believed

    @root_only
    def test_in_a_session_its_user_may_hold_it(self) -> None:
        with directory_of(NOBODY) as root:
            os.chown(write(root), NOBODY, NOBODY)
            os.chown(root / "common", NOBODY, NOBODY)
            code = (
                "import sys; from pathlib import Path; from secretd.daemon.token import SystemToken; "
                "from secretd.model import Caller, Mode; token = SystemToken(Path(sys.argv[1]), Mode.SESSION); "
                f"print([token.verify(b{ONE!r}, Caller(uid, 0, 1)) for uid in (0, {NOBODY}, 1)])"
            )
            command = [*python_as(NOBODY), "-P", "-c", code, str(root)]
            told = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", timeout=DEADLINE_S)
        assert told.stdout == "[True, True, False]\n"

    def test_it_is_compared_in_constant_time(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path)
        compared: list[tuple[bytes, bytes]] = []

        def compare(one: bytes, other: bytes) -> bool:
            compared.append((one, bytes(other)))
            return True

        monkeypatch.setattr(hmac, "compare_digest", compare)
        assert SystemToken(tmp_path, Mode.SYSTEM).verify(OTHER.encode(), OURS)
        assert compared == [(OTHER.encode(), ONE.encode())]


class TestReadAgain:
    def test_another_file(self, tmp_path: Path) -> None:
        write(tmp_path)
        token = SystemToken(tmp_path, Mode.SYSTEM)
        write(tmp_path, OTHER)
        assert [token.verify(offered.encode(), OURS) for offered in (ONE, OTHER)] == [False, True]

    def test_the_old_one_is_overwritten(self, tmp_path: Path) -> None:
        write(tmp_path)
        token = SystemToken(tmp_path, Mode.SYSTEM)
        held = token._token
        write(tmp_path, OTHER)
        assert not token.verify(ONE.encode(), OURS)
        assert held == bytes(32)

    def test_one_that_is_gone_counts_as_it_does_for_the_daemons_that_read_it(self, tmp_path: Path) -> None:
        path = write(tmp_path)
        token = SystemToken(tmp_path, Mode.SYSTEM)
        path.unlink()
        assert token.verify(ONE.encode(), OURS)
        assert not path.exists()
        write(tmp_path, OTHER)
        assert [token.verify(offered.encode(), OURS) for offered in (ONE, OTHER)] == [False, True]

    def test_one_that_could_not_be_used_and_was_mended(self, tmp_path: Path) -> None:
        path = write(tmp_path)
        path.chmod(0o644)
        token = SystemToken(tmp_path, Mode.SYSTEM)
        assert not token.verify(ONE.encode(), OURS)
        path.chmod(0o600)
        assert token.verify(ONE.encode(), OURS)

    def test_one_that_is_opened_to_others_is_used_no_more(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = write(tmp_path)
        token = SystemToken(tmp_path, Mode.SYSTEM)
        path.chmod(0o640)
        assert not token.verify(ONE.encode(), OURS)
        assert not token.verify(ONE.encode(), OURS)
        assert reasons(caplog) == ["others may read or write it"]


def as_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def as_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


class TestNotUsed:
    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            pytest.param(lambda path: path.chmod(0o640), "others may read", id="its-group-reads"),
            pytest.param(lambda path: path.chmod(0o602), "others may read", id="others-write"),
            pytest.param(lambda path: path.write_text(ONE[:-1]), "32 bytes", id="too-short"),
            pytest.param(lambda path: path.write_text(ONE + "\n"), "32 bytes", id="too-long"),
            pytest.param(as_link, "symbolic", id="a-link"),
            pytest.param(as_fifo, "no regular file", id="a-fifo"),
            pytest.param(as_directory, "no regular file", id="a-directory"),
            pytest.param(lambda path: os.chown(path, NOBODY, NOBODY), "another user", id="anothers", marks=root_only),
        ],
    )
    def test_a_file_that_may_be_known_to_others(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object], words: str
    ) -> None:
        path = write(tmp_path)
        spoil(path)
        token = SystemToken(tmp_path, Mode.SYSTEM)
        assert not token.verify(ONE.encode(), OURS)
        assert not token.verify(b"", OURS)
        (reason,) = reasons(caplog)
        assert words in reason
        assert [record.__dict__["path"] for record in caplog.records] == [str(path)]

    @pytest.mark.parametrize("mode", [0o644, 0o606])
    def test_an_empty_file_of_that_kind_is_not_written_to(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
    ) -> None:
        path = write(tmp_path, "")
        path.chmod(mode)
        assert not SystemToken(tmp_path, Mode.SYSTEM).verify(b"", OURS)
        assert (path.read_text(), reasons(caplog)) == ("", ["others may read or write it"])

    def test_one_that_cannot_be_made(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "common").write_text("")
        token = SystemToken(tmp_path, Mode.SYSTEM)
        assert not token.verify(b"", OURS)
        assert reasons(caplog) == ["Not a directory"]
        (tmp_path / "common").unlink()
        write(tmp_path)
        assert token.verify(ONE.encode(), OURS)

    def test_a_session_without_a_place_for_it(self, caplog: pytest.LogCaptureFixture) -> None:
        token = SystemToken(None, Mode.SESSION)
        assert not token.verify(b"", OURS)
        (reason,) = reasons(caplog)
        assert "XDG_RUNTIME_DIR" in reason


class TestShownToNobody:
    def test_its_repr_hides_it(self, tmp_path: Path) -> None:
        write(tmp_path)
        token = SystemToken(tmp_path, Mode.SYSTEM)
        assert (repr(token), str(token)) == ("SystemToken(...)", "SystemToken(...)")
        assert not hasattr(token, "__dict__")

    def test_it_does_not_pickle(self, tmp_path: Path) -> None:
        write(tmp_path)
        with pytest.raises(TypeError):
            pickle.dumps(SystemToken(tmp_path, Mode.SYSTEM))

    def test_no_log_has_it(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        path = write(tmp_path, ONE + "0")
        SystemToken(tmp_path, Mode.SYSTEM).verify(ONE.encode(), OURS)
        path.chmod(0o644)
        SystemToken(tmp_path, Mode.SYSTEM).verify(ONE.encode(), OURS)
        assert len(caplog.records) == 2
        assert ONE not in "".join(repr(record.__dict__) for record in caplog.records)
