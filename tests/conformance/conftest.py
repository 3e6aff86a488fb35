"""A real libvirtd and secretd, to compare the one with the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.libvirt_both import Both, Pair, both_clients
from helpers.libvirt_secretd import session_secretd, system_secretd
from helpers.libvirtd import session_libvirtd, system_libvirtd
from helpers.users import root_only


@pytest.fixture(scope="package")
def session_pair() -> Iterator[Pair]:
    with session_libvirtd() as libvirtd, session_secretd() as secretd:
        yield Pair(libvirtd, secretd)


@pytest.fixture(scope="package")
def system_pair() -> Iterator[Pair]:
    with system_libvirtd() as libvirtd, system_secretd() as secretd:
        yield Pair(libvirtd, secretd)


@pytest.fixture(params=["session", pytest.param("system", marks=root_only)])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Give both daemons, once in each mode, without secrets."""
    pair: Pair = request.getfixturevalue(f"{request.param}_pair")
    pair.wipe()
    return pair


@pytest.fixture
def both(pair: Pair) -> Iterator[Both]:
    with both_clients(pair) as both:
        yield both
