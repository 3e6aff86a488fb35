"""The processes of the clients of libvirt's binding: ``bench_libvirt_client``, by the system's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from helpers.bench_figures import Figures

_PYTHON = Path("/usr/bin/python3")
_PROGRAM = Path(__file__).with_name("bench_libvirt_client.py")


def require_binding() -> None:
    """Skip the test where the system's interpreter does not have libvirt's binding."""
    if subprocess.run([_PYTHON, "-c", "import libvirt"], check=False, capture_output=True).returncode:
        pytest.skip("python3-libvirt is not installed")


class Workers:
    """Some of them, which do the same at the same time; a context manager that ends them."""

    def __init__(self, count: int) -> None:
        # The binding starts no daemon where it finds none.
        environment = {**os.environ, "LIBVIRT_AUTOSTART": "0"}
        self._processes = [
            subprocess.Popen(
                [_PYTHON, _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            for _ in range(count)
        ]

    def __len__(self) -> int:
        return len(self._processes)

    def open(self, daemon: str, uri: str, shares: Sequence[Sequence[tuple[str, str]]]) -> int:
        """Connect all to a daemon, each for its share of the secrets; gives how many secrets the daemon has."""
        return int(self._all([{"do": "open", "daemon": daemon, "uri": uri, "secrets": share} for share in shares])[0])

    def measure(self, daemon: str, name: str, seconds: float) -> Figures:
        """Measure a round of an operation."""
        done = self._do("measure", daemon, name=name, seconds=seconds)
        latencies = [one for worker in done for one in worker["latencies"]]
        if len(done) == 1:
            return Figures.of_round(latencies, sum(latencies))
        begun, ended = min(worker["begun"] for worker in done), max(worker["ended"] for worker in done)
        return Figures.of_round(latencies, ended - begun)

    def fill(self, daemon: str, secrets: Sequence[tuple[str, str]]) -> None:
        """Define secrets and set their values."""
        self._do("fill", daemon, secrets=secrets)

    def clear(self, daemon: str) -> None:
        """Undefine all secrets."""
        self._do("clear", daemon)

    def close(self, daemon: str) -> None:
        """Leave a daemon."""
        self._do("close", daemon)

    def _do(self, what: str, daemon: str, **arguments: object) -> list[Any]:
        return self._all([{"do": what, "daemon": daemon, **arguments}] * len(self))

    def _all(self, commands: Sequence[dict[str, Any]]) -> list[Any]:
        for process, command in zip(self._processes, commands, strict=True):
            if process.stdin is not None:
                process.stdin.write(json.dumps(command) + "\n")
                process.stdin.flush()
        return [_answer(process) for process in self._processes]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            # At the end of its input it ends, too.
            process.communicate()


def _answer(process: subprocess.Popen[str]) -> Any:  # of whatever was asked
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise RuntimeError("a client of libvirt's binding has failed; what it said stands above")
    return json.loads(line)
