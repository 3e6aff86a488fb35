"""Keys, beside the transit engine of a real OpenBao, in one run: contrib/bench --keys.

Each has one key of 256 bits, and one client that blocks: secretd's own library at the native door, and Python's plain
``http.client`` over a connection that is kept.  A call begins with bytes and a context and ends with bytes, so what it
costs to write the request and to read the reply is part of every figure.  Each call has a context of its own, as each
object has; OpenBao derives a key from it, which is how it binds a context and can rewrap.  Neither has an audit.

Every operation is measured at the one and then at the other before the next one's turn, so that a noisy moment harms
none alone.  What is compared are the rates within a round.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from helpers.bench_figures import Figures, timed
from helpers.bench_run import Report
from helpers.bench_yardsticks import echo
from helpers.daemon import RunningDaemon
from helpers.openbao import OpenBao
from secretd.client import Client
from secretd.documents.messages import write_reply, write_request
from secretd.keyrequests import Decrypt, Encrypt, Encrypted, GenerateDataKey, KeyCreate, Rewrap
from secretd.keys import Blob, ContextPair, KeyDocument, KeyId
from secretd.model import SecretValue
from secretd.operations import BY_REQUEST

SHORT, LONG = 32, 65_536
"""What is sealed, in bytes: a data key, and the longest value there may be."""

_KEY = KeyId("bench")
_BLOBS = 64
"""So many of each size are opened in turn, each with its own context."""


@dataclass(frozen=True)
class Case:
    """An operation that is measured.

    Attributes:
        size: of what is sealed, in bytes.
        rate: how many calls a second are asked of secretd; None if nothing is.
        times: how many times OpenBao's rate; None likewise.
    """

    size: int = SHORT
    rate: float | None = None
    times: float | None = None

    @property
    def yardstick(self) -> str:
        """What its rate is held against."""
        return f"echo {self.size}"


CASES: dict[str, Case] = {
    "generate-data-key": Case(rate=5_000, times=3),
    f"encrypt {SHORT}": Case(rate=5_000, times=3),
    f"decrypt {SHORT}": Case(rate=5_000, times=3),
    f"rewrap {SHORT}": Case(),
    f"encrypt {LONG}": Case(LONG),
    f"decrypt {LONG}": Case(LONG),
}

_Calls = dict[str, Callable[[int], object]]
_Round = dict[tuple[str, str], Figures]
"""By who was asked, and what."""


def run_keys(root: Path, rounds: int, seconds: float) -> Report:
    """Measure both; skips the test where OpenBao is missing.

    Args:
        root: an empty directory.
        rounds: how many; every figure is their median.
        seconds: for each figure of a round.
    """
    with ExitStack() as held:
        bao = held.enter_context(OpenBao(root))
        daemon = held.enter_context(RunningDaemon(root / "secretd"))
        ours = _Secretd(held.enter_context(Client(daemon.socket)))
        theirs = _Transit(held, bao)
        sides = {"secretd": ours.calls, "openbao": theirs.calls}
        yardsticks: _Calls = {f"echo {size}": held.enter_context(echo(*ours.messages(size))) for size in (SHORT, LONG)}
        kept = [_measure(sides, yardsticks, seconds) for _ in range(rounds)]
    return {
        "machine": {
            "python": platform.python_version(),
            "system": platform.release(),
            "processor": platform.machine(),
            "openbao": bao.version,
        },
        "rounds": rounds,
        "yardsticks": {name: asdict(_median(kept, "yardstick", name)) for name in yardsticks},
        "operations": [_compare(kept, name) for name in CASES],
    }


def _measure(sides: dict[str, _Calls], yardsticks: _Calls, seconds: float) -> _Round:
    bare = {("yardstick", name): timed(call, seconds) for name, call in yardsticks.items()}
    return bare | {(side, name): timed(calls[name], seconds) for name in CASES for side, calls in sides.items()}


def _compare(rounds: Sequence[_Round], name: str) -> Report:
    case = CASES[name]
    return {
        "name": name,
        **{side: asdict(_median(rounds, side, name)) for side in ("secretd", "openbao")},
        "yardstick": case.yardstick,
        "of_yardstick": _ratio(rounds, name, ("yardstick", case.yardstick)),
        "asked_rate": case.rate,
        "asked": case.times,
        "found": _ratio(rounds, name, ("openbao", name)),
    }


def _median(rounds: Sequence[_Round], side: str, name: str) -> Figures:
    return Figures.median([figures[side, name] for figures in rounds])


def _ratio(rounds: Sequence[_Round], name: str, against: tuple[str, str]) -> float:
    return statistics.median(figures["secretd", name].rate / figures[against].rate for figures in rounds)


def _object(number: int) -> dict[str, str]:
    """Give the context of one object."""
    return {"datastore": "tank", "object": f"vm/{number}/drive-scsi0"}


class _Secretd:
    """A client of secretd with a key."""

    def __init__(self, client: Client) -> None:
        self._client = client
        client.call(KeyCreate(KeyDocument(_KEY)))
        self._values = {size: SecretValue(os.urandom(size)) for size in (SHORT, LONG)}
        self._blobs = {
            size: [client.call(Encrypt(value, _KEY, _pairs(number))).blob for number in range(_BLOBS)]
            for size, value in self._values.items()
        }
        self.calls: _Calls = {
            "generate-data-key": lambda call: client.call(GenerateDataKey(_KEY, context=_pairs(call))),
            f"encrypt {SHORT}": lambda call: client.call(Encrypt(self._values[SHORT], _KEY, _pairs(call))),
            f"decrypt {SHORT}": lambda call: client.call(Decrypt(*self._sealed(SHORT, call))),
            f"rewrap {SHORT}": lambda call: client.call(Rewrap(*self._sealed(SHORT, call))),
            f"encrypt {LONG}": lambda call: client.call(Encrypt(self._values[LONG], _KEY, _pairs(call))),
            f"decrypt {LONG}": lambda call: client.call(Decrypt(*self._sealed(LONG, call))),
        }

    def messages(self, size: int) -> tuple[bytes, bytes]:
        """Give the request and the reply when a value of this size is encrypted, as they are sent."""
        request = write_request(1, Encrypt(self._values[size], _KEY, _pairs(0)))
        reply = write_reply(1, BY_REQUEST[Encrypt], Encrypted(_KEY, 1, self._blobs[size][0]))
        return request + b"\0", reply + b"\0"

    def _sealed(self, size: int, call: int) -> tuple[Blob, KeyId, tuple[ContextPair, ...]]:
        number = call % _BLOBS
        return self._blobs[size][number], _KEY, _pairs(number)


def _pairs(number: int) -> tuple[ContextPair, ...]:
    return tuple(ContextPair(name, text) for name, text in _object(number).items())


class _Transit:
    """A client of OpenBao's transit engine with a key that derives."""

    def __init__(self, held: ExitStack, bao: OpenBao) -> None:
        self._client = held.enter_context(bao.client())
        self._client.call("POST", "sys/mounts/transit", {"type": "transit"})
        self._client.call("POST", f"transit/keys/{_KEY}", {"type": "aes256-gcm96", "derived": True})
        self._values = {size: os.urandom(size) for size in (SHORT, LONG)}
        self._sealed = {
            size: [self._encrypt(value, number) for number in range(_BLOBS)] for size, value in self._values.items()
        }
        self.calls: _Calls = {
            "generate-data-key": self._generate,
            f"encrypt {SHORT}": lambda call: self._encrypt(self._values[SHORT], call),
            f"decrypt {SHORT}": lambda call: self._decrypt(self._sealed[SHORT], call),
            f"rewrap {SHORT}": lambda call: self._rewrap(self._sealed[SHORT], call),
            f"encrypt {LONG}": lambda call: self._encrypt(self._values[LONG], call),
            f"decrypt {LONG}": lambda call: self._decrypt(self._sealed[LONG], call),
        }

    def _generate(self, call: int) -> tuple[str, bytes]:
        made = self._ask("datakey/plaintext", call, bits=256)
        return made["ciphertext"], base64.b64decode(made["plaintext"])

    def _encrypt(self, value: bytes, call: int) -> str:
        sealed = self._ask("encrypt", call, plaintext=base64.b64encode(value).decode())
        return str(sealed["ciphertext"])

    def _decrypt(self, sealed: Sequence[str], call: int) -> bytes:
        number = call % _BLOBS
        return base64.b64decode(self._ask("decrypt", number, ciphertext=sealed[number])["plaintext"])

    def _rewrap(self, sealed: Sequence[str], call: int) -> str:
        number = call % _BLOBS
        return str(self._ask("rewrap", number, ciphertext=sealed[number])["ciphertext"])

    def _ask(self, what: str, number: int, **body: object) -> dict[str, Any]:
        context = json.dumps(_object(number), sort_keys=True, separators=(",", ":")).encode()
        body["context"] = base64.b64encode(context).decode()
        data: dict[str, Any] = self._client.call("POST", f"transit/{what}/{_KEY}", body)["data"]
        return data
