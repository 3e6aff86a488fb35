"""The metrics in Prometheus' text format.

Imported only when they are asked for: the library brings a server and more of which nothing is used here.

Source: Prometheus, "Exposition formats", text format version 0.0.4; docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric

from secretd.core.metrics import BUCKETS_S, Durations
from secretd.operations import DaemonStatus

_ENDS = (*map(str, BUCKETS_S), "+Inf")


class _Once:
    """A collector of what is known at one moment."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Give it to the library."""
        return self._families


def written(durations: Iterable[Durations], status: DaemonStatus) -> str:
    """Write what was counted, and the state of the daemon."""
    registry = CollectorRegistry()
    registry.register(_Once([_operations(durations), *_state(status), _bounds(status)]))
    ProcessCollector(registry=registry)
    return generate_latest(registry).decode()


def _operations(durations: Iterable[Durations]) -> Metric:
    family = HistogramMetricFamily(
        "secretd_operation_duration_seconds",
        "How long operations took, by how they ended: ok, or the error's code.",
        labels=("operation", "outcome"),
    )
    for each in durations:
        buckets = list(zip(_ENDS, map(float, each.at_most), strict=True))
        family.add_metric((each.operation, each.outcome), buckets, each.total_s)
    return family


def _state(status: DaemonStatus) -> Iterable[Metric]:
    yield InfoMetricFamily("secretd", "The daemon.", {"version": status.version, "mode": status.mode.value})
    gauges = {
        "secretd_store_whole": ("Whether the store has all that was answered.", status.read_only is False),
        "secretd_store_revision": ("How many changes the store has seen.", status.revision),
        "secretd_keyring_version": ("The version of the keyring that seals now.", status.keyring_version),
        "secretd_memory_wiping": ("Whether what the daemon frees is overwritten.", status.memory_wiping),
        "secretd_memory_locked": ("Whether its memory is kept out of swap.", status.memory_locked.value == "all"),
    }
    for name, (meaning, value) in gauges.items():
        yield GaugeMetricFamily(name, meaning, float(value or 0))
    secrets = GaugeMetricFamily(
        "secretd_secrets", "How many secrets there are, by where they are kept.", labels=("home",)
    )
    secrets.add_metric(("store",), float(status.persistent or 0))
    secrets.add_metric(("memory",), float(status.ephemeral or 0))
    yield secrets


def _bounds(status: DaemonStatus) -> Metric:
    family = GaugeMetricFamily("secretd_bound_ratio", "How much of what is bounded is used, 0 to 1.", labels=("bound",))
    for bound in status.bounds:
        family.add_metric((bound.name,), bound.used / max(bound.most, 1))
    return family
