"""What libvirtd was recorded to make of a document, the one of this machine still does, and secretd does at its door.

tests/documents holds the reader itself against the same recordings; here they go through a live socket.
"""

from __future__ import annotations

import os
import re
from typing import Any
from uuid import UUID

import pytest

from helpers.libvirt_both import Pair
from helpers.libvirt_documents import FLAGS, VECTORS, Outcome, body_of, recorded
from helpers.libvirt_frames import arguments_of, shown
from helpers.libvirt_raw import RawConnection, wipe
from helpers.libvirt_target import Target
from helpers.libvirtd import version
from secretd import limits

RECORDED_VERSIONS = ("12.8", "9.0")

documents = pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["name"]) for vector in VECTORS])


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Pair:
    """Give both daemons in one mode: a document is the same to each."""
    pair: Pair = request.getfixturevalue("session_pair" if os.geteuid() else "system_pair")
    return pair


def define(target: Target, body: bytes, flags: int) -> Outcome:
    """Define a secret where there is none; gives what a vector says of it."""
    with RawConnection(target) as connection:
        connection.open(target.uri)
        said = connection.call("DEFINE_XML", body, flags)
        if "error" in said:
            return {"error": said["error"][:2]}
        uuid, usage_type, usage_id = said["result"][0]
        xml = connection.call("GET_XML_DESC", (UUID(uuid), usage_type, usage_id), 0)["result"][0]
    return {"accepted": xml, "uuid": uuid}


def as_told(outcome: Outcome, uuid: str | None) -> Outcome:
    """Give an outcome as a connection tells it; an id that the daemon made up is in no recording."""
    if "accepted" not in outcome:
        return outcome
    xml = outcome["accepted"]
    if uuid and "<uuid>" not in xml:
        xml = re.sub(r"(<secret .*>\n)", rf"\1  <uuid>{uuid}</uuid>\n", xml, count=1)
    return {"accepted": shown(xml.encode()), "uuid": uuid}


@documents
@pytest.mark.parametrize("call", FLAGS)
def test_the_libvirtd_of_this_machine_answers_what_was_recorded(pair: Pair, vector: dict[str, Any], call: str) -> None:
    if version() not in RECORDED_VERSIONS:
        pytest.skip(f"no libvirtd {version()} was recorded")
    wipe(pair.libvirtd)

    outcome = define(pair.libvirtd, body_of(vector), FLAGS[call])

    assert outcome == as_told(recorded(vector, call, version()), outcome.get("uuid"))


@documents
@pytest.mark.parametrize("call", FLAGS)
def test_secretd_answers_what_the_newest_libvirtd_did(pair: Pair, vector: dict[str, Any], call: str) -> None:
    wipe(pair.secretd)
    body = body_of(vector)
    expected = recorded(vector, call, "ours")
    if len(arguments_of("DEFINE_XML", body, 0)) > limits.LIBVIRT_MESSAGE_BYTES:
        expected = {"error": [39, 7]}
    elif "accepted" in expected:
        # docs/libvirt-documents.md, "Differences": so that what is read back is what was defined.
        expected = {"accepted": expected["accepted"].replace("\r", "&#13;")}

    outcome = define(pair.secretd, body, FLAGS[call])

    assert outcome == as_told(expected, outcome.get("uuid"))
