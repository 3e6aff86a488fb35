"""virsh shows a person the same, whichever daemon it talks to: output, errors and exit status."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest

from helpers.daemon import DEADLINE_S
from helpers.libvirt_both import Pair
from helpers.libvirt_raw import RawConnection, Said
from helpers.libvirt_target import Target
from helpers.users import directory_of

pytestmark = pytest.mark.skipif(shutil.which("virsh") is None, reason="libvirt-clients is not installed")

ONE = "00000001-1111-4222-8333-444444444444"
TWO = "00000002-1111-4222-8333-444444444444"
SECRET = (UUID(ONE), 2, "one")
NONE = "deadbeef-dead-4eef-8ead-beefdeadbeef"

FILES = {
    "one.xml": f"<secret><uuid>{ONE}</uuid><usage type='ceph'><name>one</name></usage></secret>",
    "changed.xml": f"<secret><uuid>{ONE}</uuid><usage type='ceph'><name>another</name></usage></secret>",
    "described.xml": f"<secret><uuid>{ONE}</uuid><description>a &amp; b</description>"
    "<usage type='ceph'><name>one</name></usage></secret>",
    "two.xml": f"<secret ephemeral='yes' private='yes'><uuid>{TWO}</uuid>"
    "<usage type='tls'><name>two</name></usage></secret>",
    "unknown.xml": f"<secret colour='red'><uuid>{ONE}</uuid></secret>",
    "broken.xml": "<secret",
    "value": "plain value\n",
    "empty": "",
}

SCRIPTS: dict[str, list[str]] = {
    "define": [
        "secret-define one.xml",
        "secret-define one.xml",
        "secret-define described.xml",
        f"secret-dumpxml {ONE}",
        "secret-define changed.xml",
        "secret-define one.xml --validate",
        "secret-define unknown.xml",
        "secret-define unknown.xml --validate",
        "secret-define broken.xml",
        "secret-define nothing.xml",
    ],
    "dumpxml": [f"secret-dumpxml {ONE}", "secret-define two.xml", f"secret-dumpxml {TWO}", "secret-dumpxml zz"],
    "values": [
        "secret-define one.xml",
        f"secret-get-value {ONE}",
        f"secret-set-value {ONE} aGVsbG8=",
        f"secret-get-value {ONE}",
        f"secret-get-value {ONE} --plain",
        f"secret-set-value {ONE} ***",
        f"secret-set-value {ONE} --file value --plain",
        f"secret-get-value {ONE}",
        f"secret-get-value {ONE} --plain",
        f"secret-set-value {ONE} --file value",
        f"secret-set-value {ONE} --file empty --plain",
        f"secret-set-value {ONE} --file nothing --plain",
        f"secret-get-value {ONE} --plain",
        f"secret-get-value {NONE}",
        f"secret-set-value {NONE} aGVsbG8=",
    ],
    "private": ["secret-define two.xml", f"secret-set-value {TWO} aGVsbG8=", f"secret-get-value {TWO}"],
    "list": [
        "secret-list",
        "secret-define one.xml",
        "secret-define two.xml",
        "secret-list",
        "secret-list --ephemeral",
        "secret-list --no-ephemeral",
        "secret-list --private",
        "secret-list --no-private",
        "secret-list --ephemeral --no-private",
        "secret-list --ephemeral --no-ephemeral --private",
    ],
    "undefine": [
        "secret-define one.xml",
        f"secret-undefine {ONE}",
        f"secret-undefine {ONE}",
        f"secret-dumpxml {ONE}",
        "secret-list",
    ],
    "read-only": [
        "secret-define one.xml",
        f"secret-set-value {ONE} aGVsbG8=",
        "-r secret-list",
        f"-r secret-dumpxml {ONE}",
        f"-r secret-get-value {ONE}",
        f"-r secret-set-value {ONE} aGVsbG8=",
        f"-r secret-undefine {ONE}",
        "-r secret-define two.xml",
    ],
    "connection": [
        "uri",
        "hostname",
        "version",
        "nodeinfo",
        "capabilities",
        "list",
        "pool-list",
        "net-list",
        "secret-event --list",
        "secret-event --event unheard-of",
        "secret-event --event lifecycle --timeout 1",
    ],
    "one-connection": [
        "; ".join(
            [
                "secret-define one.xml",
                f"secret-set-value {ONE} aGVsbG8=",
                f"secret-get-value {ONE}",
                "secret-list",
                f"secret-undefine {ONE}",
                f"secret-get-value {ONE}",
            ]
        )
    ],
}


class Shown(NamedTuple):
    """What a command showed."""

    output: str
    errors: str
    status: int


@pytest.fixture
def files() -> Iterator[Path]:
    # Where both daemons' users can read them.
    with directory_of(os.geteuid()) as place:
        place.chmod(0o755)
        for name, text in FILES.items():
            (place / name).write_text(text)
        yield place


def command(target: Target, arguments: Sequence[str]) -> list[str]:
    options = ["-r"] if arguments[0] == "-r" else []
    uri = target.client_uri(read_only=bool(options))
    return [*target.client_prefix, "virsh", *options, "-c", uri, *arguments[len(options) :]]


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}


def virsh(target: Target, files: Path, line: str) -> Shown:
    arguments = [line] if ";" in line else line.split()
    done = subprocess.run(
        command(target, arguments),
        check=False,
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        cwd=files,
        env=environment(),
        timeout=DEADLINE_S,
    )
    return Shown(
        without_what_may_differ(done.stdout, target), without_what_may_differ(done.stderr, target), done.returncode
    )


def without_what_may_differ(text: str, target: Target) -> str:
    """Leave out the daemon's socket and version, and what follows libvirt's "error: " in its own words."""
    text = text.replace(str(target.socket), "SOCKET").replace(str(target.socket_ro), "SOCKET")
    return re.sub(
        r"^error: (?!Failed to|failed to|Could not|command|'|unknown).*(?:\n(?!error: ).*)*",
        "error: ...",
        text,
        flags=re.MULTILINE,
    )


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_virsh_shows_the_same(pair: Pair, files: Path, script: list[str]) -> None:
    for line in script:
        shown = [virsh(target, files, line) for target in pair]

        assert shown[0] == shown[1], line


@pytest.mark.parametrize(
    ("arguments", "change"),
    [
        ("--event lifecycle", "define"),
        ("--event value-changed", "set"),
        (f"--event lifecycle --secret {ONE}", "define"),
        (f"--event value-changed --secret {ONE}", "set"),
    ],
)
def test_virsh_is_told_the_same_event(pair: Pair, files: Path, arguments: str, change: str) -> None:
    shown = [told(target, files, arguments, change) for target in pair]

    assert shown[0] == shown[1]
    assert shown[0].status == 0


def told(target: Target, files: Path, arguments: str, change: str) -> Shown:
    """Have virsh wait for one event, and make a change until it was told."""
    until = time.monotonic() + DEADLINE_S
    with RawConnection(target) as connection:
        connection.open(target.uri)
        acts: dict[str, Callable[[], Said]] = {
            "define": lambda: connection.call("DEFINE_XML", FILES["one.xml"], 0),
            "set": lambda: connection.call("SET_VALUE", SECRET, b"value", 0),
        }
        acts["define"]()
        with subprocess.Popen(
            command(target, ["secret-event", *arguments.split()]),
            stdout=subprocess.PIPE,
            # It may complain of an event that comes while it hangs up.
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=files,
            env=environment(),
        ) as virsh:
            # Nothing shows when it listens, so the change is made again and again.
            while virsh.poll() is None and time.monotonic() < until:
                acts[change]()
                with suppress(subprocess.TimeoutExpired):
                    virsh.wait(timeout=0.02)
            virsh.kill()
            output, _ = virsh.communicate()
    return Shown(output, "", virsh.returncode)
