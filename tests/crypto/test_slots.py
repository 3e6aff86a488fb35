from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from secretd.crypto.slots import SlotLocation, is_missing, read_slot_key
from secretd.errors import SealError
from secretd.model import SlotKind

KEY = bytes(range(100, 132))
UID = os.geteuid()
STRANGER = 54_321
FILE, CREDENTIAL = SlotKind.LOCAL_FILE, SlotKind.CREDENTIAL
NOUNS = {FILE: "the root key file", CREDENTIAL: "the root key credential"}


class Owners:
    """Gives files to other users: really where the tests run as root, else in what fstat says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._claimed: dict[int, int] = {}
        self._fstat = os.fstat
        if UID != 0:
            monkeypatch.setattr("secretd.crypto.slots.os.fstat", self._claim)

    def give(self, path: Path, uid: int) -> None:
        if UID == 0:
            os.chown(path, uid, -1)
        else:
            self._claimed[path.stat().st_ino] = uid

    def _claim(self, descriptor: int) -> os.stat_result:
        status = self._fstat(descriptor)
        fields = list(status)
        fields[stat.ST_UID] = self._claimed.get(status.st_ino, status.st_uid)
        return os.stat_result(fields)


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> Owners:
    return Owners(monkeypatch)


def place(directory: Path, kind: SlotKind, key: bytes = KEY) -> SlotLocation:
    """Put a slot key there, as it should be."""
    directory.mkdir(mode=0o700, exist_ok=True)
    location = SlotLocation(kind, directory)
    location.path.write_bytes(key)
    location.path.chmod(0o600)
    return location


@pytest.mark.parametrize(
    ("kind", "name"), [(FILE, "root.key"), (CREDENTIAL, "secretd.root-key")], ids=["local-file", "credential"]
)
def test_location_names_the_file(kind: SlotKind, name: str) -> None:
    assert SlotLocation(kind, Path("/etc/secretd")).path == Path("/etc/secretd") / name


def mode(file: int, directory: int = 0o700) -> Callable[[SlotLocation], None]:
    def change(location: SlotLocation) -> None:
        location.path.chmod(file)
        location.directory.chmod(directory)

    return change


def link(location: SlotLocation) -> None:
    real = location.directory.with_name("real")
    location.directory.rename(real)
    location.directory.symlink_to(real)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        pytest.param(FILE, mode(0o600), id="file-0600"),
        pytest.param(FILE, mode(0o400), id="file-0400"),
        pytest.param(FILE, mode(0o600, 0o755), id="directory-0755"),
        pytest.param(FILE, link, id="directory-by-a-link"),
        pytest.param(CREDENTIAL, mode(0o400, 0o500), id="credential-of-systemd"),
        pytest.param(CREDENTIAL, mode(0o440, 0o550), id="credential-with-an-access-control-list"),
    ],
)
def test_a_good_key_is_read(tmp_path: Path, kind: SlotKind, change: Callable[[SlotLocation], None]) -> None:
    location = place(tmp_path / "keys", kind)
    change(location)
    assert read_slot_key(location, UID) == KEY


@pytest.mark.parametrize("owner", [0, STRANGER], ids=["root", "daemon"])
def test_a_key_of_root_or_of_the_daemon_is_read(tmp_path: Path, owners: Owners, owner: int) -> None:
    location = place(tmp_path / "keys", FILE)
    owners.give(location.path, owner)
    owners.give(location.directory, owner)
    assert read_slot_key(location, STRANGER) == KEY


@pytest.mark.parametrize("kind", SlotKind)
@pytest.mark.parametrize("uid", [0, 1_000], ids=["system", "session"])
@pytest.mark.parametrize("owned", ["path", "directory"])
def test_a_strangers_key_is_refused(tmp_path: Path, owners: Owners, kind: SlotKind, uid: int, owned: str) -> None:
    location = place(tmp_path / "keys", kind)
    owners.give(location.path, uid)
    owners.give(location.directory, uid)
    owners.give(getattr(location, owned), STRANGER)
    noun = {"path": NOUNS[kind], "directory": f"the directory of {NOUNS[kind]}"}[owned]
    with pytest.raises(SealError, match=f"^{noun} belongs to another user"):
        read_slot_key(location, uid)


def absent(location: SlotLocation) -> None:
    location.path.unlink()


def absent_directory(location: SlotLocation) -> None:
    location.path.unlink()
    location.directory.rmdir()


def directory_is_a_file(location: SlotLocation) -> None:
    absent_directory(location)
    location.directory.write_bytes(KEY)


def symbolic_link(location: SlotLocation) -> None:
    real = location.path.rename(location.directory / "real")
    location.path.symlink_to(real)


def is_a_directory(location: SlotLocation) -> None:
    location.path.unlink()
    location.path.mkdir(mode=0o700)


def is_a_fifo(location: SlotLocation) -> None:
    location.path.unlink()
    os.mkfifo(location.path, 0o600)


def is_a_socket(location: SlotLocation) -> None:
    location.path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        # By a relative name, for a socket's path may have no more than 107 bytes.
        listener.bind(os.path.relpath(location.path))


def holds(key: bytes) -> Callable[[SlotLocation], None]:
    def change(location: SlotLocation) -> None:
        location.path.write_bytes(key)

    return change


@dataclass(frozen=True)
class Refusal:
    change: Callable[[SlotLocation], None]
    says: str
    kinds: tuple[SlotKind, ...] = (FILE, CREDENTIAL)


REFUSALS = {
    "missing": Refusal(absent, "is missing"),
    "directory-missing": Refusal(absent_directory, "is missing"),
    "directory-is-a-file": Refusal(directory_is_a_file, "is missing"),
    "symbolic-link": Refusal(symbolic_link, "symbolic link"),
    "directory": Refusal(is_a_directory, "not a regular file"),
    "fifo": Refusal(is_a_fifo, "not a regular file"),
    "socket": Refusal(is_a_socket, "not a regular file"),
    "empty": Refusal(holds(b""), "exactly 32 bytes"),
    "31-bytes": Refusal(holds(KEY[:31]), "exactly 32 bytes"),
    "33-bytes": Refusal(holds(KEY + b"\n"), "exactly 32 bytes"),
    "hexadecimal": Refusal(holds(KEY.hex().encode()), "exactly 32 bytes"),
    "a-megabyte": Refusal(holds(bytes(1_000_000)), "exactly 32 bytes"),
    "group-writable": Refusal(mode(0o620), "written by group or others"),
    "others-writable": Refusal(mode(0o602), "written by group or others"),
    "directory-group-writable": Refusal(mode(0o600, 0o770), "directory of"),
    "directory-others-writable": Refusal(mode(0o600, 0o702), "directory of"),
    "directory-sticky": Refusal(mode(0o600, 0o1777), "directory of"),
    "group-readable": Refusal(mode(0o640), "mode 0600", (FILE,)),
    "others-readable": Refusal(mode(0o604), "mode 0600", (FILE,)),
    "credential-others-readable": Refusal(mode(0o444), "read by others", (CREDENTIAL,)),
}


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        pytest.param(kind, refusal, id=f"{label}-{kind.value}")
        for label, refusal in REFUSALS.items()
        for kind in refusal.kinds
    ],
)
def test_a_bad_key_is_refused_without_its_path(tmp_path: Path, kind: SlotKind, refusal: Refusal) -> None:
    location = place(tmp_path / "keys", kind)
    refusal.change(location)
    with pytest.raises(SealError, match=refusal.says) as caught:
        read_slot_key(location, UID)
    assert NOUNS[kind] in caught.value.message
    assert str(tmp_path) not in caught.value.message
    assert location.path.name not in caught.value.message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("call", "number", "says"),
    [
        pytest.param("open", errno.EIO, r"cannot be read \(EIO\)", id="open-eio"),
        pytest.param("open", errno.EACCES, "may not be read by the daemon", id="open-eacces"),
        pytest.param("open", None, r"cannot be read \(unknown error\)", id="open-unknown"),
        pytest.param("read", errno.EIO, r"cannot be read \(EIO\)", id="read-eio"),
    ],
)
def test_a_failing_system_call_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int | None, says: str
) -> None:
    location = place(tmp_path / "keys", FILE)

    def fail(*_: object, **__: object) -> int:
        raise OSError(number, "text of the system", str(location.path))

    monkeypatch.setattr(f"secretd.crypto.slots.os.{call}", fail)
    with pytest.raises(SealError, match=says) as caught:
        read_slot_key(location, UID)
    assert "text of the system" not in caught.value.message


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    location = place(tmp_path / "keys", FILE)
    before = len(list(Path("/proc/self/fd").iterdir()))
    read_slot_key(location, UID)
    location.path.chmod(0o666)
    with pytest.raises(SealError):
        read_slot_key(location, UID)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("put", "missing"),
    [
        pytest.param("nothing", True, id="nothing"),
        pytest.param("no-directory", True, id="no-directory"),
        pytest.param("a-file-for-a-directory", True, id="a-file-for-a-directory"),
        pytest.param("a-file", False, id="a-file"),
        pytest.param("a-broken-link", False, id="a-broken-link"),
        pytest.param("a-name-too-long", False, id="what-cannot-be-told"),
    ],
)
def test_what_is_missing(tmp_path: Path, put: str, missing: bool) -> None:
    directory = tmp_path / ("x" * 300 if put == "a-name-too-long" else "keys")
    location = SlotLocation(FILE, directory)
    if put == "a-file-for-a-directory":
        directory.write_bytes(b"")
    elif put in ("nothing", "a-file", "a-broken-link"):
        directory.mkdir()
    if put == "a-file":
        location.path.write_bytes(b"")
    elif put == "a-broken-link":
        location.path.symlink_to("nowhere")
    assert is_missing(location) is missing
