"""The examples of docs/access.md, played in a system's daemon by root and by those whom he grants something."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from helpers.daemon import DEADLINE_S
from helpers.libvirt_secretd import system_secretd
from helpers.mounts import private_mounts
from helpers.transcripts import console_transcript, play
from helpers.tree import ROOT
from helpers.users import NOBODY, as_user, python_as, root_only

PAGE = ROOT / "docs" / "access.md"
MAIN = "from secretd.cli.main import main; main()"

# It stands in for sudo, which a host that runs the tests need not have: -u USER secretctl ARGUMENTS.
SUDO = """#!/bin/sh
user=$2
shift 3
exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups -- {secretctl} "$@"
"""


@root_only
def test_the_examples_are_what_happens(tmp_path: Path) -> None:
    with system_secretd() as target, private_mounts() as mounts:
        # Where --system looks, and root without it.
        mounts.small_memory_disk(Path("/run"), "1m")
        mounts.run("chmod", "755", "/run")
        mounts.run("ln", "-s", target.socket.parent, "/run/secretd")
        # An interpreter that any user can run, without the command that makes him one.
        python = python_as(NOBODY)[len(as_user(NOBODY)) :]
        arguments = ("-P", "-c", MAIN)
        put(tmp_path / "secretctl", f'#!/bin/sh\nexec {shlex.join([sys.executable, *arguments])} "$@"\n')
        put(tmp_path / "sudo", SUDO.format(secretctl=shlex.join([*python, *arguments])))

        def run(command: str) -> tuple[str, int]:
            done = subprocess.run(
                [*mounts.prefix, "bash", "-c", command],
                cwd="/",
                env={"PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=DEADLINE_S,
                check=False,
            )
            return done.stdout.decode(), done.returncode

        play(console_transcript(PAGE.read_text()), run)


def put(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)
