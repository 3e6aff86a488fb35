"""A guest's disk is opened with a private secret, which libvirt's own QEMU driver takes from secretd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.qemu_host import Host, make_encrypted_image, needs_qemu, session_host, system_host
from helpers.users import root_only
from secretd.errors import LibvirtCode, LibvirtDomain

PASSPHRASE = "open sesame"
DISK_BYTES = 1 << 20
STARTED = {"result": {"paused": True, "disk_bytes": DISK_BYTES}}
HOSTS = {"session": session_host, "system": system_host}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_qemu()
    image = tmp_path_factory.mktemp("image") / "disk"
    make_encrypted_image(image, PASSPHRASE, DISK_BYTES)
    return image


@pytest.fixture(scope="module", params=["session", pytest.param("system", marks=root_only)])
def host(request: pytest.FixtureRequest, image: Path) -> Iterator[Host]:
    # One for all tests: QEMU is asked for seconds what it can do before its first guest.
    with HOSTS[request.param](image) as host:
        yield host


def test_a_guest_starts_with_the_passphrase_of_its_disk(host: Host) -> None:
    host.set_passphrase(PASSPHRASE)

    started = host.start_guest()

    assert started.outcome == STARTED
    assert started.elevated


def test_another_passphrase_opens_no_disk(host: Host) -> None:
    host.set_passphrase("open barley")

    started = host.start_guest()

    assert "Invalid password, cannot unlock any keyslot" in started.outcome["message"]
    assert started.elevated


def test_a_secret_without_a_value_starts_no_guest(host: Host) -> None:
    host.define_secret()

    assert host.start_guest().outcome["error"] == [LibvirtCode.NO_SECRET, LibvirtDomain.SECRET, 2]


def test_the_secret_is_refused_while_others_may_read_the_token(host: Host) -> None:
    host.set_passphrase(PASSPHRASE)
    host.token.chmod(0o644)
    try:
        started = host.start_guest()
    finally:
        host.token.chmod(0o600)

    assert started.outcome["error"] == [LibvirtCode.INVALID_SECRET, LibvirtDomain.SECRET, 2]
    assert not started.elevated


def test_a_token_that_libvirt_makes_anew_is_believed(host: Host) -> None:
    host.set_passphrase(PASSPHRASE)
    before = host.token.read_text()
    host.token.unlink()

    started = host.start_guest()

    assert host.token.read_text() != before
    assert started.outcome == STARTED
    assert started.elevated
