"""Small file systems for tests, in a mount namespace of their own: when that ends they are gone, whatever happened.

Needs root. A process in the namespace is started by ``prefix``; from outside its files are reached by ``path``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

_TOOLS = ("unshare", "nsenter", "mount")


class PrivateMounts:
    """A mount namespace, held open by a process that waits for its standard input to end."""

    def __init__(self, holder: subprocess.Popen[str]) -> None:
        self._holder = holder

    @property
    def prefix(self) -> Sequence[str]:
        """The command that runs another in the namespace."""
        return ("nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt")

    def path(self, path: Path) -> Path:
        """Where a path of the namespace is seen from outside."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def run(self, *command: str | Path) -> None:
        """Run a command there, which must succeed."""
        subprocess.run([*self.prefix, *command], check=True, capture_output=True)

    def small_memory_disk(self, place: Path, size: str) -> None:
        """Mount a tmpfs of this size."""
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", place)

    def disk_image(self, image: Path, place: Path) -> None:
        """Mount an ext4 image by a loop device, which goes with the mount."""
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.run("mount", "-o", "loop", image, place)


@contextmanager
def private_mounts() -> Iterator[PrivateMounts]:
    """Make a namespace for the length of a with block; skips the test where that cannot be."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"mounts are for root, and need {', '.join(_TOOLS)}")
    holder = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with holder:
        if holder.stdout is None or holder.stdout.readline() != "ready\n":
            pytest.skip("this system lets nobody have mounts of his own")
        yield PrivateMounts(holder)
        holder.communicate()


def make_disk_image(image: Path, size_bytes: int) -> None:
    """Make an ext4 file system in a file; skips the test where that cannot be."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("mkfs.ext4 is not installed")
    if not Path("/dev/loop-control").exists():
        pytest.skip("there are no loop devices")
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
