"""libvirt's own client, by its Python binding: a worker in Debian's python3, on a connection to a target."""

from __future__ import annotations

import base64
import json
import subprocess
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from helpers import libvirt_target
from helpers.libvirt_target import Target

_PYTHON = "/usr/bin/python3"
_WORKER = Path(libvirt_target.__file__).with_name("libvirt_worker.py")

MARKER = "99999999-9999-4999-8999-999999999999"
"""A secret whose events show that all events before them have come."""

LIFECYCLE, VALUE_CHANGED = range(2)

Outcome = dict[str, Any]
"""What a call came to: a result, libvirt's error as code, domain and level, or what the binding raised."""


@cache
def _binding_is_installed() -> bool:
    return subprocess.run([_PYTHON, "-c", "import libvirt"], check=False, capture_output=True, cwd="/").returncode == 0


class LibvirtClient:
    """A worker with a connection ``rw``, and as many more as are opened; a context manager that ends it."""

    def __init__(self, target: Target) -> None:
        """Start the worker and open the connection; skips the test where the binding is not installed."""
        if not _binding_is_installed():
            pytest.skip("python3-libvirt is not installed")
        self._target = target
        # By its text, for it may stand where the target's user cannot read.
        command = [*target.client_prefix, _PYTHON, "-c", _WORKER.read_text()]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
        )
        self.open("rw")

    def open(self, name: str, *, read_only: bool = False) -> Outcome:
        """Open one more connection."""
        return self.ask("open", name, uri=self._target.client_uri(read_only=read_only), read_only=read_only)

    def call(self, function: str, *arguments: Any, on: str = "rw", secret: str | None = None) -> Outcome:
        """Call a function of a connection, or of a secret that it was given."""
        what = {} if secret is None else {"secret": secret}
        return self.ask("call", on, call=function, arguments=[_sent(argument) for argument in arguments], **what)

    def listen(self, event: int, secret: str | None = None, *, label: str = "all", on: str = "rw") -> Outcome:
        """Ask for events, which ``events`` then gives with this label."""
        return self.ask("listen", on, event=event, secret=secret, label=label)

    def events(self, on: str = "rw") -> Outcome:
        """Give all events since the last time; the connection must listen to the lifecycle of all secrets."""
        self.call("secretDefineXML", f"<secret><uuid>{MARKER}</uuid></secret>")
        self.call("undefine", secret=MARKER)
        return self.ask("take-events", on, marker=MARKER)

    def ask(self, act: str, on: str, **what: Any) -> Outcome:
        """Have the worker do something."""
        requests, answers = self._process.stdin, self._process.stdout
        if requests is None or answers is None:
            raise RuntimeError("the worker was started without its pipes")
        requests.write(json.dumps({"act": act, "on": on, **what}) + "\n")
        requests.flush()
        if not (line := answers.readline()):
            raise AssertionError(f"the worker ended: {self._process.communicate()[1]}")
        outcome: Outcome = json.loads(line)
        return outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The end of its requests is its own end.
        self._process.communicate()


def _sent(argument: Any) -> Any:
    if isinstance(argument, bytes):
        return {"bytes": base64.b64encode(argument).decode()}
    return argument
