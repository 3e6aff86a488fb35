"""What a libvirtd was recorded to answer, secretd answers; and the libvirtd that is installed still does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.libvirt_differences import DIFFERENCES, Difference, expected
from helpers.libvirt_raw import wipe
from helpers.libvirt_secretd import system_secretd
from helpers.libvirt_target import Target
from helpers.libvirt_vectors import first_difference, play, recorded, recordings
from helpers.libvirtd import system_libvirtd, version
from helpers.tree import ROOT
from helpers.users import root_only

NEWEST = "12.8"
VERSIONS = (NEWEST, "9.0")
CASES = list(recordings()["cases"])

pytestmark = root_only


@pytest.fixture(scope="module")
def secretd() -> Iterator[Target]:
    with system_secretd() as target:
        yield target


@pytest.fixture(scope="module")
def libvirtd() -> Iterator[Target]:
    if version() not in VERSIONS:
        pytest.skip(f"no libvirtd {version()} was recorded")
    with system_libvirtd() as target:
        yield target


@pytest.mark.parametrize("name", CASES)
def test_secretd_answers_as_the_newest_libvirtd_does(secretd: Target, name: str) -> None:
    wipe(secretd)
    got = play(name, secretd)

    assert not first_difference(name, expected(name, recorded(name, NEWEST), got), got)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_what_is_meant_to_differ_does(secretd: Target, difference: Difference) -> None:
    met = []
    for name in filter(difference.shows_in, CASES):
        wipe(secretd)
        pairs = zip(recorded(name, NEWEST), play(name, secretd), strict=True)
        met += [mine for wanted, mine in pairs if mine != wanted]

    assert [answer for answer in difference.instead if answer not in met] == []


@pytest.mark.parametrize("name", CASES)
def test_the_libvirtd_of_this_machine_still_answers_what_was_recorded(libvirtd: Target, name: str) -> None:
    wipe(libvirtd)

    assert not first_difference(name, recorded(name, version()), play(name, libvirtd))


def test_there_are_recordings_of_every_part() -> None:
    assert {name[:2] for name in CASES} == {"a.", "b.", "c.", "d.", "e.", "f.", "g."}


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_what_differs_stands_in_the_page(difference: Difference) -> None:
    assert difference.row in (ROOT / "docs" / "libvirt.md").read_text().splitlines()
