"""Backups of a daemon under the load of several clients, each brought back by a daemon of another directory layout."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from helpers.daemon import DEADLINE_S, RunningDaemon
from helpers.load import audit_copy, check_by_client, make_workers, under_load
from secretd import operations as ops
from secretd import storerequests
from secretd.client import Client
from secretd.errors import ExitStatus

BACKUPS = 3


def secretctl(daemon: RunningDaemon, *arguments: str) -> str:
    program = "from secretd.cli.main import main; main()"
    command = [sys.executable, "-P", "-c", program, "-c", str(daemon.socket), *arguments]
    done = subprocess.run(
        command, env=daemon.environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert (done.returncode, done.stderr) == (ExitStatus.OK, "")
    return done.stdout


def new_place(root: Path, old: RunningDaemon) -> tuple[Path, list[str]]:
    """Make the place of a daemon whose store, keyring and root key are each somewhere else; gives its arguments."""
    (root / "keys").mkdir(parents=True, mode=0o700)
    shutil.copy(old.config / "root.key", root / "keys" / "root.key")
    config = root / "secretd.toml"
    config.write_text(
        f'[store]\nurl = "sqlite://{root}/srv/store"\n'
        f'[seal]\nkeyring-directory = "{root}/srv/keyring"\nroot-key-directory = "{root}/keys"\n'
    )
    return root, ["--session", "--config", str(config)]


def test_a_backup_under_load_comes_back_elsewhere(tmp_path: Path) -> None:
    workers = make_workers(7)
    files = [tmp_path / f"{number}.backup" for number in range(BACKUPS)]
    with RunningDaemon(tmp_path / "old") as daemon:
        with under_load(daemon.socket, workers):
            with Client(daemon.socket) as client:
                for file in files:
                    secretctl(daemon, "backup", str(file))
                    _wait_for_changes(client)
            daemon.stop()
        for number, file in enumerate(files):
            place, arguments = new_place(tmp_path / "machines" / str(number), daemon)
            with RunningDaemon(place, arguments) as new:
                assert "are restored" in secretctl(new, "restore", str(file))
                with Client(new.socket) as client:
                    assert client.call(storerequests.Check()).problems == ()
                new.stop()
            seen = audit_copy(place / "srv", place / "keys", place / "scratch")
            with RunningDaemon(place, arguments) as new:
                check_by_client(new.socket, seen)


def _wait_for_changes(client: Client) -> None:
    before = client.call(ops.Status()).revision or 0
    while (client.call(ops.Status()).revision or 0) < before + 50:
        pass
