"""contrib/bench runs and reports everything that it promises. No figure is judged: the machine is not ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from helpers import bench_keys, openbao
from helpers.bench_cases import CASES
from helpers.bench_libvirt import MANY, ONE, TOGETHER
from helpers.bench_libvirt_workers import require_binding
from helpers.bench_yardsticks import VALUE_SIZES
from helpers.libvirt_raw import RawConnection
from helpers.libvirtd import secret_driver, session_libvirtd
from helpers.users import root_only

BENCH = Path(__file__).resolve().parents[2] / "contrib" / "bench"

FIGURES = {"rate", "p50_us", "p99_us"}


def bench(*options: str) -> str:
    command = [sys.executable, "-P", str(BENCH), "--quick", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def refused(*options: str) -> str:
    command = [sys.executable, "-P", str(BENCH), "--quick", *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    return done.stderr


def report(*options: str) -> dict[str, Any]:
    found = json.loads(bench("--json", *options))
    assert isinstance(found, dict)
    return found


def test_it_reports_every_operation_beside_its_yardstick() -> None:
    found = report()
    assert set(found["yardsticks"]) == {"append"} | {
        f"{name} {size}" for name in ("sqlite-commit", "echo") for size in VALUE_SIZES
    }
    assert set(found["operations"]) == set(CASES)
    for operation in found["operations"].values():
        assert set(operation["one"]) == set(operation["many"]) == FIGURES
        assert operation["yardstick"] in found["yardsticks"]
        assert operation["of_yardstick"] > 0
        assert operation["many_of_one"] > 0
    assert found["storm"]["clients"] > 0
    assert found["storm"]["seconds"] > 0
    assert found["first_answer_s"] > 0
    assert found["memory"]["end_bytes"] > 0


def test_it_reports_every_size_of_a_store() -> None:
    for size in report("--scale")["scale"]:
        assert size["secrets"] > 0
        assert size["first_answer_s"] > 0
        assert size["memory_bytes"] > 0
        assert set(size["operations"]) == {"get-value", "lookup-by-usage", "list 1000", "status"}
        assert all(set(figures) == FIGURES for figures in size["operations"].values())


def test_it_prints_tables_for_people() -> None:
    lines = bench("--scale").splitlines()
    assert lines[0].split()[0] == "secrets"
    assert lines[1].split()[0] == "100"


def test_it_reports_every_operation_beside_libvirtds() -> None:
    require_binding()
    secret_driver()
    found = report("--libvirt")["libvirt"]
    assert found["machine"]["libvirtd"]
    for size in found["sizes"]:
        operations = [(operation["name"], operation["clients"]) for operation in size["operations"]]
        assert operations == [*((name, 1) for name in ONE), *((name, MANY) for name in TOGETHER)]
        for operation in size["operations"]:
            assert set(operation["secretd"]) == set(operation["libvirtd"]) == FIGURES
            assert operation["ratio"] > 0
            assert operation["found"] > 0
        assert size["start"]["secretd"] > 0
        assert size["start"]["libvirtd"] > 0


@root_only
def test_it_reports_what_grants_cost_at_both_doors() -> None:
    found = report("--grants")["grants"]
    assert found["counts"][0] == 1 < found["counts"][1]
    for operation in found["operations"]:
        assert set(operation["few"]) == set(operation["many"]) == FIGURES
        assert operation["ratio"] > 0
    assert [operation["name"] for operation in found["operations"]] == [
        "get-value",
        "list",
        "libvirt's get-value",
        "libvirt's list",
    ]


def test_it_reports_what_is_done_with_keys_beside_openbao() -> None:
    openbao.binary()
    found = report("--keys")["keys"]
    assert found["machine"]["openbao"]
    assert [operation["name"] for operation in found["operations"]] == list(bench_keys.CASES)
    for operation in found["operations"]:
        assert set(operation["secretd"]) == set(operation["openbao"]) == FIGURES
        assert operation["yardstick"] in found["yardsticks"]
        assert operation["of_yardstick"] > 0
        assert operation["found"] > 0


def test_it_says_whether_processors_slept() -> None:
    assert report("--scale", "--awake")["awake"]
    assert not report("--scale")["awake"]


def test_a_libvirtd_that_runs_already_is_measured_and_left_empty() -> None:
    require_binding()
    with session_libvirtd() as running:
        lines = bench("--libvirtd", running.client_uri()).splitlines()
        assert "get-value" in lines[2]
        assert not any("start" in line for line in lines)
        with RawConnection(running) as connection:
            connection.open(running.uri)
            assert connection.call("NUM_OF_SECRETS")["result"] == [0]


def test_a_libvirtd_with_secrets_is_left_alone() -> None:
    require_binding()
    with session_libvirtd() as running, RawConnection(running) as connection:
        connection.open(running.uri)
        connection.call("DEFINE_XML", "<secret/>", 0)
        assert "that libvirtd has secrets" in refused("--libvirtd", running.client_uri())
        assert connection.call("NUM_OF_SECRETS")["result"] == [1]
