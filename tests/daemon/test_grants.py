"""Grants in a system's daemon: another user is let in by root, at both doors, and only as far as was said."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from helpers.daemon import DEADLINE_S
from helpers.libvirt_client import LIFECYCLE, LibvirtClient
from helpers.libvirt_peer import Refused
from helpers.libvirt_place import may_define
from helpers.libvirt_raw import RawConnection
from helpers.libvirt_secretd import system_secretd
from helpers.libvirt_target import Target
from helpers.users import NOBODY, as_user, effective_user, python_as, root_only
from secretd.client import Client
from secretd.errors import ExitStatus, NotFoundError
from secretd.model import Mode, Usage, UsageType
from secretd.operations import GetValue, LookupByUsage

pytestmark = root_only

SECRETCTL = "from secretd.cli.main import main; main()"
CEPH = """<secret><usage type='ceph'><name>client.one</name></usage></secret>"""
TLS = """<secret><usage type='tls'><name>web</name></usage></secret>"""

CLOSED_BY_AN_ERROR = 0
"""libvirt's word: virConnectCloseReason has none for news that were lost."""

Done = subprocess.CompletedProcess[str]


class Host:
    """A host with a system's daemon: root and another user of it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.libvirt_socket = target.socket
        self.socket = target.socket.with_name("secretd-sock")

    def root(self, *words: str, given: str = "") -> str:
        """Give a command as root, which has to succeed."""
        done = self._run((sys.executable,), words, given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def explained(self, *words: str) -> Done:
        """Have root ask what would come of a request."""
        return self._run((sys.executable,), ("explain", *words))

    def nobody(self, *words: str) -> Done:
        return self._run(python_as(NOBODY), words)

    def _run(self, python: Sequence[str], words: Sequence[str], given: str = "") -> Done:
        command = [*python, "-P", "-c", SECRETCTL, "--connect", str(self.socket), *words]
        return subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd="/"
        )


@pytest.fixture
def host() -> Iterator[Host]:
    with system_secretd() as target:
        host = Host(target)
        for document in (CEPH, TLS):
            host.root("secret-define", "-", given=document)
        ceph = host.root("secret-lookup", "ceph", "client.one").strip()
        host.root("secret-set-value", ceph, "--plain", "--file", "-", given="open sesame")
        yield host


def test_what_is_granted_is_given_and_no_more(host: Host) -> None:
    ceph, tls = (host.root("secret-lookup", *usage).strip() for usage in (("ceph", "client.one"), ("tls", "web")))
    for words in (["secret-list"], ["secret-get-value", ceph], ["whoami"]):
        assert host.nobody(*words).returncode == ExitStatus.DENIED

    host.root("grant-add", "--name", "keys", "--user", "nobody", "--allow", "read-only", "--usage", "ceph")
    assert host.nobody("secret-get-value", ceph, "--plain").stdout == "open sesame"
    assert ceph in host.nobody("secret-list").stdout
    assert tls not in host.nobody("secret-list").stdout
    assert host.nobody("secret-dumpxml", tls).returncode == ExitStatus.NOT_FOUND
    assert host.nobody("secret-undefine", ceph).returncode == ExitStatus.DENIED
    assert host.nobody("grant-list").returncode == ExitStatus.DENIED

    host.root("grant-remove", "keys")
    assert host.nobody("secret-get-value", ceph).returncode == ExitStatus.DENIED


def test_a_connection_that_is_open_has_what_is_granted_now(host: Host) -> None:
    usage = LookupByUsage(Usage(UsageType.CEPH, "client.one"))
    host.root("grant-add", "--name", "all", "--anyone", "--allow", "read-only", "--all")
    with _as_nobody(host.socket) as client:
        secret = client.call(usage).secret
        host.root("grant-add", "--replace", "--name", "all", "--anyone", "--allow", "read-only", "--usage", "tls")
        for request in (usage, GetValue(secret)):
            with pytest.raises(NotFoundError):
                client.call(request)


def test_so_has_one_at_libvirts_door(host: Host) -> None:
    reading = ("--name", "all", "--anyone", "--allow", "read-only")
    host.root("grant-add", *reading, "--all")
    with RawConnection(host.target, uid=NOBODY) as client:
        client.open(host.target.uri)
        ((ceph, *_),) = client.call("LOOKUP_BY_USAGE", 2, "client.one")["result"]
        for change, said in (
            (("grant-add", "--replace", *reading, "--usage", "tls"), {"error": [66, 30, 2]}),  # there is no such secret
            (("grant-add", "--replace", *reading, "--usage", "ceph"), {"result": ["open sesame"]}),
            (("grant-remove", "all"), {"error": [88, 55, 2]}),  # access is denied
        ):
            host.root(*change)
            assert client.call("GET_VALUE", (UUID(ceph), 2, "client.one"), 0) == said


def test_the_same_is_granted_at_libvirts_door(host: Host) -> None:
    assert may_define(host.libvirt_socket, Mode.SYSTEM)
    host.root("grant-add", "--name", "look", "--user", str(NOBODY), "--allow", "search,getattr,read", "--all")
    with pytest.raises(Refused, match="'append'"):
        may_define(host.libvirt_socket, Mode.SYSTEM, NOBODY)
    host.root("grant-add", "--name", "make", "--user", str(NOBODY), "--allow", "append,write,save", "--all")
    assert may_define(host.libvirt_socket, Mode.SYSTEM, NOBODY)


def test_libvirts_own_client_comes_to_its_end_when_it_may_see_others(host: Host) -> None:
    host.root("grant-add", "--name", "look", "--user", "nobody", "--allow", "read-only", "--usage", "ceph")
    with LibvirtClient(replace(host.target, uid=NOBODY)) as client:
        client.ask("watch-end", "rw")
        client.listen(LIFECYCLE)
        assert client.call("isAlive") == {"result": 1}
        host.root("grant-add", "--name", "more", "--user", "nobody", "--allow", "read-only", "--usage", "tls")
        assert client.ask("wait-for-end", "rw") == {"result": CLOSED_BY_AN_ERROR}
        assert client.call("isAlive") == {"result": 0}


def test_an_executable_narrows_to_who_runs_it(host: Host) -> None:
    host.root(
        *("grant-add", "--name", "virsh", "--user", "nobody", "--executable", "/usr/bin/virsh"),
        *("--allow", "read-only", "--all"),
    )
    uri = f"secret:///system?socket={host.libvirt_socket}"
    listed = subprocess.run(
        [*as_user(NOBODY), "env", "HOME=/", "virsh", "-c", uri, "secret-list"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        cwd="/",
    )
    assert "ceph client.one" in listed.stdout, listed.stderr
    assert host.nobody("secret-list").returncode == ExitStatus.DENIED


def test_a_grant_is_listed_shown_and_given_again(host: Host) -> None:
    said = ("--name", "web", "--group", "nogroup", "--allow", "append-only", "--usage", "tls", "--pattern", "w*")
    host.root("grant-add", *said, "--expires", "2999-01-01T00:00:00Z")
    document = host.root("grant-show", "web")
    assert "<permission name='append'/>" in document
    assert host.root("grant-list").splitlines() == [
        " Name   Who                     May           Until                  Of",
        "----------------------------------------------------------------------------",
        f" web    group nogroup ({NOBODY})   append,save   2999-01-01T00:00:00Z   tls w*",
    ]
    host.root("grant-add", "--replace", "-", given=document)
    assert host.root("grant-show", "web") == document


def test_what_explain_prints_is_all_that_is_lacking(host: Host) -> None:
    usage = "it's $(touch /canary) ; \\ é"
    host.root("secret-define", "-", given=f"<secret><usage type='tls'><name>{usage}</name></usage></secret>")
    web = host.root("secret-lookup", "tls", usage).strip()
    host.root("secret-set-value", web, "--plain", "--file", "-", given="open sesame")
    explained = host.explained("get-value", "tls", usage, "--as", "user:nobody")
    assert explained.returncode == ExitStatus.REFUSED
    assert host.nobody("secret-get-value", web).returncode == ExitStatus.DENIED

    program, *words = shlex.split(explained.stdout.splitlines()[-1])
    assert program == "secretctl"
    host.root(*words)
    assert host.explained("get-value", web, "--as", "user:nobody").returncode == ExitStatus.OK
    assert host.nobody("secret-get-value", web, "--plain").stdout == "open sesame"
    assert "allow-get-value" in host.nobody("whoami").stdout
    other = host.root("secret-lookup", "tls", "web").strip()
    for refused in (["secret-get-value", other], ["secret-dumpxml", web], ["secret-undefine", web], ["secret-list"]):
        assert host.nobody(*refused).returncode in (ExitStatus.DENIED, ExitStatus.NOT_FOUND)
    assert host.nobody("explain", "list", "--as", "user:nobody").returncode == ExitStatus.DENIED


@contextmanager
def _as_nobody(socket: Path) -> Iterator[Client]:
    with ExitStack() as stack:
        with effective_user(NOBODY):
            client = stack.enter_context(Client(socket, timeout_s=DEADLINE_S))
        yield client
