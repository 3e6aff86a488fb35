"""A report of the benchmark, for people: tables, and a picture of what size does."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from helpers.bench_run import Report

_MEBIBYTE = 1 << 20
_MICROSECONDS_PER_MILLISECOND = 1_000


def tables(report: Report) -> Iterator[str]:
    """Write a report as lines of text."""
    if "operations" in report:
        yield from _operations(report)
    if "scale" in report:
        yield from _scale(report["scale"])
    if "libvirt" in report:
        yield from _libvirt(report["libvirt"])
    if "grants" in report:
        yield from _grants(report["grants"])
    if "keys" in report:
        yield from _keys(report["keys"])
    if report["awake"]:
        yield "no processor slept"


def _operations(report: Report) -> Iterator[str]:
    clients = f"{report['clients']} clients"
    yield f"{'yardstick':20} {'a second':>10} {'p50 µs':>8} {'p99 µs':>8}"
    for name, figures in report["yardsticks"].items():
        yield f"{name:20} {figures['rate']:10,.0f} {figures['p50_us']:8,.0f} {figures['p99_us']:8,.0f}"
    yield ""
    yield f"{'':20} {'one client':>28}   {'':33} {clients:>28}"
    heads = f"{'a second':>10} {'p50 µs':>8} {'p99 µs':>8}"
    yield f"{'operation':20} {heads}   {'of its yardstick':33} {heads}   of one client"
    for name, operation in report["operations"].items():
        one, many = operation["one"], operation["many"]
        yield (
            f"{name:20} {one['rate']:10,.0f} {one['p50_us']:8,.0f} {one['p99_us']:8,.0f}"
            f"   {operation['of_yardstick']:6.2f} x {operation['yardstick']:24}"
            f" {many['rate']:10,.0f} {many['p50_us']:8,.0f} {many['p99_us']:8,.0f}"
            f"   {operation['many_of_one']:6.2f} x"
        )
    yield ""
    yield f"from the start to the first answer: {report['first_answer_s']:.2f} s"
    yield f"{report['storm']['clients']} clients come, read and leave: {report['storm']['seconds']:.2f} s"
    memory = report["memory"]
    yield f"memory: {_mebibytes(memory['start_bytes'])} at the start, {_mebibytes(memory['end_bytes'])} at the end"


def _scale(scale: Sequence[Report]) -> Iterator[str]:
    yield f"{'secrets':>10} {'first answer':>12} {'memory':>9}  operation {'a second':>18} {'p50 µs':>8} {'p99 µs':>8}"
    for size in scale:
        start = f"{size['secrets']:10,} {size['first_answer_s']:10.2f} s {_mebibytes(size['memory_bytes']):>9}"
        for name, figures in size["operations"].items():
            rate = f"{figures['rate']:10,.0f} {figures['p50_us']:8,.0f} {figures['p99_us']:8,.0f}"
            yield f"{start}  {name:17} {rate}"
            start = " " * len(start)


def _libvirt(report: Report) -> Iterator[str]:
    yield f"{'':32} {'secretd':>19} {'libvirtd ' + report['machine']['libvirtd']:>19}"
    heads = f"{'a second':>10} {'p50 µs':>8}"
    yield f"{'secrets':>7} {'operation':15} {'clients':>8} {heads} {heads} {'ratio':>8}   asked / found"
    for size in report["sizes"]:
        for operation in size["operations"]:
            ours, theirs = (operation[name] for name in ("secretd", "libvirtd"))
            yield (
                f"{size['secrets']:7,} {operation['name']:15} {operation['clients']:8}"
                f" {ours['rate']:10,.0f} {ours['p50_us']:8,.0f} {theirs['rate']:10,.0f} {theirs['p50_us']:8,.0f}"
                f" {operation['ratio']:6.2f} x   {_verdict(operation)}"
            )
        if "start" in size:
            start = size["start"]
            yield (
                f"{size['secrets']:7,} {'start':15} {'':8} {start['secretd']:17.2f} s {start['libvirtd']:17.2f} s"
                f" {start['ratio']:6.1f} x   {_verdict(start)}"
            )


def _grants(report: Report) -> Iterator[str]:
    few, many = (f"{count:,} grants" if count != 1 else "1 grant" for count in report["counts"])
    yield f"{'':20} {few:>19} {many:>19}"
    heads = f"{'a second':>10} {'p50 µs':>8}"
    yield f"{'operation':20} {heads} {heads} {'ratio':>8}"
    for operation in report["operations"]:
        before, after = operation["few"], operation["many"]
        yield (
            f"{operation['name']:20} {before['rate']:10,.0f} {before['p50_us']:8,.0f}"
            f" {after['rate']:10,.0f} {after['p50_us']:8,.0f} {operation['ratio']:6.2f} x"
        )


def _keys(report: Report) -> Iterator[str]:
    heads = f"{'a second':>10} {'p50 µs':>8} {'p99 µs':>8}"
    yield f"{'yardstick':20} {heads}"
    for name, figures in report["yardsticks"].items():
        yield f"{name:20} {_row(figures)}"
    yield ""
    yield f"{'':20} {'secretd':>28} {'':13} {'OpenBao ' + report['machine']['openbao']:>28}"
    yield f"{'operation':20} {heads} {'of its echo':>13} {heads}   asked / found"
    for operation in report["operations"]:
        ours, theirs = operation["secretd"], operation["openbao"]
        yield (
            f"{operation['name']:20} {_row(ours)} {operation['of_yardstick']:13.2f} {_row(theirs)}"
            f"   {_rate_verdict(operation)}"
        )


def _row(figures: Report) -> str:
    return f"{figures['rate']:10,.0f} {figures['p50_us']:8,.0f} {figures['p99_us']:8,.0f}"


def _rate_verdict(operation: Report) -> str:
    """Say how many times as fast it was, and what was asked of that and of the rate."""
    asked, rate = operation["asked_rate"], operation["secretd"]["rate"]
    if asked is None:
        return f"{operation['found']:.2f} x"
    return f"{asked:,.0f} a second / {rate:,.0f}{'' if rate >= asked else '   missed'}, {_verdict(operation)}"


def _verdict(figures: Report) -> str:
    asked, found = figures["asked"], figures["found"]
    if asked is None:
        return ""
    return f"{asked:.0f} x / {found:.2f} x{'' if found >= asked else '   missed'}"


def draw(scale: Sequence[Report], path: Path) -> None:
    """Draw rate and latency over the number of secrets.

    Raises:
        ImportError: matplotlib is missing; the extra ``bench`` brings it.
    """
    # By name: it is no part of what the checks install.
    pyplot = importlib.import_module("matplotlib.pyplot")
    figure, (rates, latencies) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    sizes = [size["secrets"] for size in scale]
    for name in scale[0]["operations"]:
        operations = [size["operations"][name] for size in scale]
        rates.plot(sizes, [one["rate"] for one in operations], marker="o", label=name)
        p99_ms = [one["p99_us"] / _MICROSECONDS_PER_MILLISECOND for one in operations]
        latencies.plot(sizes, p99_ms, marker="o", label=name)
    for axes, label in ((rates, "calls a second, one client"), (latencies, "p99, ms")):
        axes.set(xscale="log", yscale="log", xlabel="secrets in the store", ylabel=label)
        axes.grid(visible=True, which="both", alpha=0.3)
    rates.legend()
    # No date in it: it changes when the figures do.
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _mebibytes(size: int) -> str:
    return f"{size / _MEBIBYTE:.0f} MiB"
