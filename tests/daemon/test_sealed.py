"""A system's daemon that is sealed, turns so, or has no grant in force: all but root hear that, and hold nobody up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.libvirt_raw import END, RawConnection
from helpers.libvirt_secretd import SystemPlace, system_place
from helpers.libvirt_target import Target
from helpers.raw import RawClient, code_of
from helpers.rows import put_rows, rows_of
from helpers.users import NOBODY, effective_user, root_only
from secretd import limits, storerequests
from secretd import operations as ops
from secretd.client import Client
from secretd.core.kinds import GRANT as GRANT_RECORDS
from secretd.errors import SealError
from secretd.grantrequests import GrantAdd
from secretd.grants import PERMISSIONS_OF, EverySecret, Grant, PermissionSet, Principal, PrincipalKind
from secretd.model import Attributes, SealState, SecretDocument

pytestmark = root_only

WHOAMI, COUNT = (f"<request serial='1'><{name}/></request>".encode() for name in ("whoami", "count"))

SEALED = {"error": [1, 30, 2]}
"""libvirt has no word for it: an internal error of the secret driver."""

NOT_WHOLE = {"error": [38, 30, 2]}

GRANT = Grant(
    "nobody",
    None,
    Principal(PrincipalKind.USER, NOBODY),
    PERMISSIONS_OF[PermissionSet.READ_ONLY],
    (EverySecret(),),
)


@pytest.fixture
def place() -> Iterator[SystemPlace]:
    """A place where a daemon ran that has a secret, and has granted somebody something."""
    with system_place() as place:
        with place.start() as daemon, Client(daemon.socket) as root:
            root.call(ops.Define(SecretDocument(Attributes())))
            root.call(GrantAdd(GRANT))
        yield place


@dataclass(frozen=True)
class Nobody:
    """Another user than root."""

    daemon: RunningDaemon
    target: Target

    def native(self) -> RawClient:
        with effective_user(NOBODY):
            return RawClient(self.daemon.socket)

    def libvirt(self) -> RawConnection:
        return RawConnection(self.target, uid=NOBODY)


def connections_of_others(root: Client) -> int:
    bounds = {bound.name: bound.used for bound in root.call(ops.Status()).bounds}
    return bounds["connections of others than root"]


def answer_after_sealed(client: RawClient, request: bytes) -> bytes:
    """Ask until the answer is another than that it is sealed: the grants are read after the keyring."""
    until = time.monotonic() + DEADLINE_S
    while code_of(said := client.ask(request)) == "sealed":
        assert time.monotonic() < until
    return said


def assert_nothing_unforeseen(daemon: RunningDaemon) -> None:
    assert [line for line in daemon.log if line["event"] in {"internal error", "event loop"}] == []


def test_who_connects_meanwhile_is_told_so_and_keeps_no_place(place: SystemPlace) -> None:
    away = place.root_key.rename(place.root_key.with_name("away"))
    with place.start() as daemon:
        nobody = Nobody(daemon, place.target(daemon))
        for _ in range(limits.CONNECTIONS_PER_UID):
            with nobody.native(), nobody.libvirt():
                pass
            with nobody.native() as native:
                assert code_of(native.ask(WHOAMI)) == "sealed"
            with nobody.libvirt() as libvirt:
                assert libvirt.open(nobody.target.uri) == SEALED
        with nobody.native() as native, Client(daemon.socket) as root:
            assert root.call(ops.Status()).state is SealState.SEALED
            away.rename(place.root_key)
            daemon.wait_for_event("unsealed")
            assert b"<count secrets='1'/>" in answer_after_sealed(native, COUNT)
            assert connections_of_others(root) == 1
    assert_nothing_unforeseen(daemon)


def test_who_is_connected_when_it_turns_so_is_told_and_only_then_cut_off(place: SystemPlace) -> None:
    with place.start() as daemon, ExitStack() as held:
        nobody = Nobody(daemon, place.target(daemon))
        root = held.enter_context(Client(daemon.socket, timeout_s=DEADLINE_S))
        native, idle = (held.enter_context(nobody.native()) for _ in range(2))
        libvirt = held.enter_context(nobody.libvirt())
        assert b"<count secrets='1'/>" in native.ask(COUNT)
        assert b"<whoami " in idle.ask(WHOAMI)
        assert "error" not in libvirt.open(nobody.target.uri)
        assert libvirt.call("NUM_OF_SECRETS") == {"result": [1]}

        turn_sealed(place, root)
        assert root.call(ops.Status()).state is SealState.SEALED
        for request in (WHOAMI, COUNT, b"<request serial='1'><status/></request>"):
            assert code_of(native.ask(request)) == "sealed"
        assert libvirt.call("NUM_OF_SECRETS") == SEALED
        with nobody.native() as another:
            assert code_of(another.ask(WHOAMI)) == "sealed"
        # All deadlines go on, and who was admitted and is not any more has that of a stranger.
        assert idle.receive() == native.receive() == b""
        assert libvirt.receive() == END
        assert root.call(ops.Status()).state is SealState.SEALED
    assert_nothing_unforeseen(daemon)


def test_while_no_grant_is_in_force_that_is_said_at_both_doors(place: SystemPlace) -> None:
    rows = rows_of(place.root / "data")
    put_rows(place.root / "data", {key: row for key, row in rows.items() if not key.startswith(GRANT_RECORDS)})
    with place.start() as daemon:
        nobody = Nobody(daemon, place.target(daemon))
        with nobody.native() as native, nobody.libvirt() as libvirt, Client(daemon.socket) as root:
            for asked in (WHOAMI, COUNT, b"no document"):
                assert code_of(native.ask(asked)) == "store-corrupt"
            assert libvirt.open(nobody.target.uri) == NOT_WHOLE
            assert root.call(ops.Count()).secrets == 1
            root.call(storerequests.StoreAccept())
            # Now it is known that nothing is granted to him.
            assert code_of(native.ask(WHOAMI)) == "access-denied"
    assert_nothing_unforeseen(daemon)


def turn_sealed(place: SystemPlace, root: Client) -> None:
    """Restore where a copy of the keyring cannot be written."""
    backup = root.call(storerequests.Backup())
    assert backup.last
    for entry in root.call(ops.List()).entries:
        root.call(ops.Delete(entry.secret))
    copy = place.root / "data" / "keyring" / "node.copy"
    copy.unlink()
    copy.mkdir()
    with pytest.raises(SealError):
        root.call(storerequests.Restore(backup.value, None, last=True))
