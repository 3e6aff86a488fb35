"""A power cut, as far as it can be had: a copy of the disk, taken at one moment while the daemon stands still.

It shows that what was answered had been handed to the disk before, and not only to the kernel. It does not show what
a disk does that lies about its cache.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from pathlib import Path

from helpers.daemon import RunningDaemon
from helpers.load import audit_copy, check_by_client, judge, make_workers, under_load
from helpers.mounts import PrivateMounts, make_disk_image, private_mounts

IMAGE_BYTES = 64 * 2**20
LIFE_S = 0.7


def daemon_on(disk: Path, root: Path, mounts: PrivateMounts, *python: str) -> RunningDaemon:
    """Start a daemon all of whose files are on this disk, but for its sockets."""
    places = {"XDG_DATA_HOME": str(disk / "data"), "XDG_CONFIG_HOME": str(disk / "config")}
    for place in places.values():
        mounts.path(Path(place)).mkdir(mode=0o700, exist_ok=True)
    return RunningDaemon(root, extra_environment=places, python=[*mounts.prefix, *python])


def stop_still(daemon: RunningDaemon) -> None:
    daemon.process.send_signal(signal.SIGSTOP)
    # Reported once every thread has stopped.
    _, status = os.waitpid(daemon.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)


def test_all_that_was_answered_is_on_a_copy_of_the_disk(tmp_path: Path) -> None:
    image, copy = tmp_path / "image", tmp_path / "copy"
    workers = make_workers(seed=2)
    with private_mounts() as mounts:
        make_disk_image(image, IMAGE_BYTES)
        mounts.disk_image(image, tmp_path / "disk")
        with (
            daemon_on(tmp_path / "disk", tmp_path, mounts, sys.executable) as daemon,
            under_load(daemon.socket, workers),
        ):
            # Nothing is waited for: any moment will do.
            threading.Event().wait(LIFE_S)
            stop_still(daemon)
            shutil.copyfile(image, copy)
            daemon.kill()
        mounts.disk_image(copy, tmp_path / "after")
        after = mounts.path(tmp_path / "after")
        seen = audit_copy(after / "data" / "secretd", after / "config" / "secretd", tmp_path / "audit")
        _, faults = judge(workers, seen)
        assert faults == []
        assert sum(worker.answered for worker in workers) > 100
        with daemon_on(tmp_path / "after", tmp_path, mounts, sys.executable) as daemon:
            check_by_client(daemon.socket, seen)
