"""Callers of whom the kernel does not say who they are: a daemon in a user namespace that maps root alone."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.raw import code_of
from helpers.users import NOBODY, as_user, directory_of, effective_user, root_only
from secretd import operations as ops
from secretd.client import Client
from secretd.daemon import peer
from secretd.grantrequests import GrantAdd
from secretd.grants import EverySecret, Grant, Principal, PrincipalKind
from secretd.model import Permission

SOMEBODY = 1_234
NAMESPACE = ("unshare", "--user", "--map-root-user")

CONFIG = """
[daemon]
runtime-directory = "{root}/run/secretd"

[store]
url = "sqlite://{root}/data/store"

[seal]
root-key-directory = "{root}/config"
keyring-directory = "{root}/data/keyring"

[libvirt]
sockets = "off"
"""

ASK = """\
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(30)
connection.connect(sys.argv[1])
connection.sendall(sys.argv[2].encode() + bytes(1))
answer = b""
while not answer.endswith(bytes(1)):
    answer += connection.recv(65536) or sys.exit("end")
print(answer[:-1].decode())
"""


def has_namespaces() -> bool:
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


def ask_as(uid: int, path: Path, inner: str) -> bytes:
    command = [*as_user(uid), "/usr/bin/python3", "-c", ASK, str(path), f"<request serial='1'>{inner}</request>"]
    return subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=True, cwd="/").stdout


@pytest.fixture
def daemon() -> Iterator[RunningDaemon]:
    if not has_namespaces():
        pytest.skip("no user namespace can be made here")
    with directory_of(0) as root:
        root.chmod(0o755)
        (root / "config").mkdir(mode=0o700)
        config = root / "config" / "secretd.toml"
        config.write_text(CONFIG.format(root=root))
        (root / "run").mkdir(mode=0o755)
        arguments = ("--system", "--config", str(config))
        with RunningDaemon(root, arguments, python=(*NAMESPACE, sys.executable)) as running:
            yield running


@root_only
def test_who_is_not_mapped_is_not_known_whatever_is_granted(daemon: RunningDaemon) -> None:
    permissions = frozenset({Permission.SEARCH, Permission.GETATTR, Permission.ADMIN})
    scopes = (EverySecret(),)
    with Client(daemon.socket) as client:
        assert client.call(ops.Whoami()).uid == 0
        for name, principal in (
            ("anyone", Principal(PrincipalKind.ANYONE)),
            ("nobody", Principal(PrincipalKind.USER, NOBODY)),
            ("nogroup", Principal(PrincipalKind.GROUP, NOBODY)),
        ):
            client.call(GrantAdd(Grant(name, None, principal, permissions, scopes)))
    for path in (daemon.socket, daemon.socket_ro):
        for uid in (SOMEBODY, NOBODY):
            for inner in ("<status/>", "<whoami/>", "<list/>", "nonsense"):
                assert code_of(ask_as(uid, path, inner)) == "not-authenticated"
    with Client(daemon.socket) as client:
        assert client.call(ops.Count()).secrets == 0, "root is mapped, and served as ever"


@root_only
def test_where_all_users_are_mapped_nobody_is_one_of_them() -> None:
    with effective_user(NOBODY):
        ours, theirs = socket.socketpair()
    with ours, theirs:
        caller = peer.caller_of(ours, read_only=False)
    assert caller.uid == NOBODY
    assert caller.known is (peer._stands_for_many() is None)


@pytest.mark.parametrize(
    ("uid_map", "overflow", "expected"),
    [
        pytest.param("         0          0 4294967295\n", "65534\n", None, id="all"),
        pytest.param("0 0 1\n1 1 4294967294\n", "65534\n", None, id="all-in-parts"),
        pytest.param("0 1000 1\n", "65534\n", 65_534, id="one"),
        pytest.param("0 1000 1\n1 100000 65536\n", "65534\n", 65_534, id="as-many-as-a-container-has"),
        pytest.param("0 1000 1\n", "65533\n", 65_533, id="another-number-for-the-others"),
        pytest.param("0 1000 1\n", None, 65_534, id="a-number-that-is-not-shown"),
        pytest.param("", "65534\n", 65_534, id="nobody-yet"),
        pytest.param(None, "65534\n", 65_534, id="a-map-that-is-not-shown"),
    ],
)
def test_the_number_of_those_who_are_not_mapped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uid_map: str | None, overflow: str | None, expected: int | None
) -> None:
    files = {"/proc/self/uid_map": uid_map, "/proc/sys/kernel/overflowuid": overflow}

    def path(name: str) -> Path:
        place, text = tmp_path / name.rpartition("/")[2], files[name]
        if text is not None:
            place.write_text(text)
        return place

    monkeypatch.setattr(peer, "Path", path)
    assert peer._stands_for_many.__wrapped__() == expected
