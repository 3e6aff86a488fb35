"""What is counted, as monitoring reads it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers.core import open_core
from secretd import operations as ops
from secretd.core.metrics import BUCKETS_S, Metrics
from secretd.errors import NotFoundError
from secretd.model import Caller, SecretValue

SECRET = UUID(int=7)
OTHER_USER = Caller(uid=4711, gid=4711, pid=1)


def samples_of(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_each_operation_is_counted_by_how_it_ended(tmp_path: Path) -> None:
    async def run() -> str:
        async with open_core(tmp_path) as core:
            for _ in range(3):
                await core.call(ops.SetValue(SECRET, SecretValue(b"a value that nobody may see")))
            with pytest.raises(NotFoundError):
                await core.call(ops.GetValue(UUID(int=8)))
            return (await core.call(ops.Metrics())).text

    text = asyncio.run(run())
    samples = samples_of(text)
    count, ended = "secretd_operation_duration_seconds_count", "secretd_operation_duration_seconds_bucket"
    changed = {("operation", "set-value"), ("outcome", "ok")}
    assert samples[count, frozenset(changed)] == 3
    assert samples[count, frozenset({("operation", "get-value"), ("outcome", "no-secret")})] == 1
    assert samples[ended, frozenset({*changed, ("le", "+Inf")})] == 3
    assert samples["secretd_secrets", frozenset({("home", "store")})] == 1
    assert samples["secretd_store_whole", frozenset()] == 1
    assert samples["process_resident_memory_bytes", frozenset()] > 0
    assert "nobody" not in text
    assert str(SECRET) not in text


def test_a_duration_falls_into_the_class_that_ends_with_it() -> None:
    metrics = Metrics()
    for took_s in (0.0, BUCKETS_S[0], BUCKETS_S[0] * 1.01, BUCKETS_S[-1], BUCKETS_S[-1] * 2):
        metrics.count("x", "ok", took_s)
    (durations,) = metrics.durations()
    assert durations.at_most[:2] == (2, 3)
    assert durations.at_most[-2:] == (4, 5)
    assert len(durations.at_most) == len(BUCKETS_S) + 1


def test_status_tells_a_user_what_is_left_of_his_quota(tmp_path: Path) -> None:
    async def run() -> tuple[ops.Bound, ...]:
        async with open_core(tmp_path, policy=lambda *_: True) as core:
            await core.call(ops.SetValue(SECRET, SecretValue(b"x")), OTHER_USER)
            await core.call(ops.SetValue(UUID(int=8), SecretValue(b"x"), ephemeral=True), OTHER_USER)
            core.service.watch_bounds(lambda: (ops.Bound("connections", 1, 2),))
            return (await core.call(ops.Status(), OTHER_USER)).bounds

    bounds = {bound.name: bound for bound in asyncio.run(run())}
    assert bounds["connections"] == ops.Bound("connections", 1, 2)
    assert bounds["your secrets"].used == 2
    assert 0 < bounds["your bytes"].used < bounds["your bytes"].most
    assert bounds["uses of the shared keyring"].used > 0
