"""Random grants, callers and questions from a small world, in which they often meet; the two readings of them compared.

``python -m helpers.random_grants 100000`` (run in tests/) compares that many pairs of a caller and a set of grants.
The short form, which the tests run, is in tests/core/test_matching.py.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import product
from random import Random
from uuid import UUID

from helpers.naive_grants import naive_allows
from secretd.core.access import EVERYTHING, AnyTarget, KeyTarget, Target
from secretd.core.matching import Rules
from secretd.errors import InvalidDocumentError
from secretd.grants import (
    OF_KEYS,
    OF_SECRETS,
    EveryKey,
    EverySecret,
    ExecutableIs,
    Grant,
    KeyLike,
    KeyScope,
    KeyTagged,
    Principal,
    PrincipalKind,
    Scope,
    ThatKey,
    ThatSecret,
    UsageLike,
)
from secretd.keys import KeyId, Tag
from secretd.model import Attributes, Caller, Executable, Permission, Process, Unit, Usage, UsageType

NOW = 1_800_000_000

_KEYS = [KeyId(text) for text in ("abc", "abd", "a.b.c", "a-c")]
_KEY_PATTERNS = ["*", "**", "a*", "ab*", "*c", "a*c", "a**b*c", "abc", "a.*", "*-*"]
_TAGS = [Tag(name, text) for name in ("env", "own") for text in ("", "a")]
_IDS = [UUID(int=number) for number in range(3)]
_UIDS = [0, 1000, 1001]
_GIDS = [0, 10, 20]
_UNITS = ["a.service", "b.service"]
_PATHS = ["/usr/bin/a", "/usr/bin/b"]
_HASHES = ["0" * 64, "f" * 64]
_ENDS = [None, None, None, NOW - 1, NOW, NOW + 1]
_LETTERS = "aab/.\n*"
_SOME = [kind for kind in UsageType if kind is not UsageType.NONE]


class FixedProcess(Process):
    """A process of which everything is known beforehand; it counts what it is asked.

    Args:
        unit, executable, sha256: what it answers.
    """

    def __init__(
        self, unit: Unit | None = None, executable: Executable | None = None, sha256: str | None = None
    ) -> None:
        self._unit = unit
        self._executable = executable
        self._sha256 = sha256
        self.asked: Counter[str] = Counter()

    def unit(self) -> Unit | None:
        """Give the unit."""
        self.asked["unit"] += 1
        return self._unit

    def executable(self) -> Executable | None:
        """Give the executable."""
        self.asked["executable"] += 1
        return self._executable

    def sha256(self) -> str | None:
        """Give the hash."""
        self.asked["sha256"] += 1
        return self._sha256

    def __repr__(self) -> str:
        return f"FixedProcess({self._unit!r}, {self._executable!r}, {self._sha256!r})"


def _text(random: Random) -> str:
    return "".join(random.choices(_LETTERS, k=random.randint(1, 7)))


def _usage_id(random: Random, kind: UsageType) -> str:
    return ("/" if kind is UsageType.VOLUME and random.random() < 0.9 else "") + _text(random)


def _pattern(random: Random, kind: UsageType) -> str:
    text = _usage_id(random, kind)
    return text if random.random() < 0.3 else text + random.choice(["*", "**", "/*", "*/**", "**a"])


def _principal(random: Random) -> Principal:
    kind = random.choice(list(PrincipalKind))
    executable = None
    if kind is not PrincipalKind.ANYONE and random.random() < 0.4:
        executable = ExecutableIs(random.choice(_PATHS), random.choice([None, *_HASHES]))
    return {
        PrincipalKind.ANYONE: lambda: Principal(kind),
        PrincipalKind.USER: lambda: Principal(kind, random.choice(_UIDS[1:]), None, executable),
        PrincipalKind.GROUP: lambda: Principal(kind, random.choice(_GIDS), None, executable),
        PrincipalKind.UNIT: lambda: Principal(kind, None, random.choice(_UNITS), executable),
    }[kind]()


def _scope(random: Random) -> Scope:
    kind = random.choice(_SOME)
    makers: list[Callable[[], Scope]] = [
        EverySecret,
        lambda: ThatSecret(random.choice(_IDS)),
        lambda: UsageLike(random.choice(list(UsageType))),
        *[lambda: UsageLike(kind, _pattern(random, kind))] * 5,
        EveryKey,
        lambda: ThatKey(random.choice(_KEYS)),
        *[lambda: KeyLike(random.choice(_KEY_PATTERNS))] * 2,
        lambda: KeyTagged(random.choice(_TAGS)),
    ]
    return random.choice(makers)()


def _grant(random: Random, number: int) -> Grant:
    end = random.choice(_ENDS)
    scopes = tuple({_scope(random) for _ in range(random.randint(1, 2))})
    of_scopes = {one for scope in scopes for one in (OF_KEYS if isinstance(scope, KeyScope) else OF_SECRETS)}
    fitting = [one for one in Permission if one in of_scopes]
    return Grant(
        f"g{number}",
        None,
        _principal(random),
        frozenset(random.sample(fitting, random.randint(1, 3))),
        scopes,
        None if end is None else datetime.fromtimestamp(end, UTC),
    )


def random_grants(random: Random) -> Iterator[Grant]:
    """Make up to five grants; those that the constructors refuse are none."""
    for number in range(random.randint(0, 5)):
        try:
            yield _grant(random, number)
        except InvalidDocumentError:
            continue


def random_caller(random: Random) -> Caller:
    """Make a caller, mostly with a process."""
    process = FixedProcess(
        random.choice([None, *map(Unit, _UNITS)]),
        random.choice([None, *(Executable(path, trusted) for path, trusted in product(_PATHS, (True, True, False)))]),
        random.choice([None, *_HASHES]),
    )
    return Caller(
        random.choice(_UIDS),
        random.choice(_GIDS),
        1,
        tuple(random.sample(_GIDS, random.randint(0, 2))),
        process=None if random.random() < 0.2 else process,
    )


def random_targets(random: Random) -> Iterator[AnyTarget]:
    """Make what may be asked for: something, everything, some secrets, and some keys."""
    yield None
    yield EVERYTHING
    yield Target(random.choice(_IDS), Attributes())
    for _ in range(3):
        kind = random.choice(_SOME)
        yield Target(random.choice(_IDS), Attributes(Usage(kind, _usage_id(random, kind))))
    for key in (None, *random.sample(_KEYS, 2)):
        yield KeyTarget(key, frozenset(random.sample(_TAGS, random.randint(0, 2))))


def differences(pairs: int, seed: int) -> tuple[list[str], Counter[bool]]:
    """Compare the two readings of random pairs of a caller and a set of grants.

    Returns:
        What they disagree about, and how often they agreed on what.
    """
    random = Random(seed)
    found: list[str] = []
    agreed: Counter[bool] = Counter()
    for _ in range(pairs):
        grants, caller = tuple(random_grants(random)), random_caller(random)
        rules = Rules(grants)
        for target, permission in product(random_targets(random), Permission):
            expected = naive_allows(grants, caller, permission, target, NOW)
            if rules.allows(caller, permission, target, NOW) is expected:
                agreed[expected] += 1
            else:
                found.append(f"expected {expected}: {permission} of {target} to {caller!r} with {grants}")
    return found, agreed


def main() -> int:
    """Compare as many pairs as are asked for."""
    found, agreed = differences(int(sys.argv[1]), seed=6)
    lines = [*found, f"{sys.argv[1]} pairs: {agreed[True]} answers yes, {agreed[False]} no, {len(found)} differences"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
