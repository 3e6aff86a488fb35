"""Programs that tests of the SQLite store run as processes of their own, to be killed or to be short of room.

hold DIRECTORY     open the store, say "held", and keep it until standard input ends
write DIRECTORY    commit pairs of records for ever, eight commits at a time, and say the number of each answered
fill DIRECTORY     mount a small file system on it, fill the store, make room, go on; say what happened as JSON
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from secretd.errors import StoreFullError
from secretd.store.base import Delete, Put, Store
from secretd.store.registry import open_store


def start(name: str, directory: Path, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start one of the programs."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-P", __file__, name, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def tell(words: object) -> None:
    """Say a line, at once."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


async def hold(directory: Path) -> None:
    await open_store(f"sqlite://{directory}")
    tell("held")
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def write(directory: Path) -> None:
    store = await open_store(f"sqlite://{directory}")
    numbers = itertools.count(await store.count(b"a"))
    await asyncio.gather(*(_write_pairs(store, numbers) for _ in range(8)))


async def _write_pairs(store: Store, numbers: itertools.count[int]) -> None:
    for number in numbers:
        value = b"%d" % number * 50
        await store.commit([Put(b"a%08d" % number, value), Put(b"b%08d" % number, value)])
        tell(number)


async def fill(directory: Path) -> None:
    _mount(directory, "size=2m")
    store = await open_store(f"sqlite://{directory}/store")
    answered = 0
    with contextlib.suppress(StoreFullError):
        for answered in itertools.count():
            await store.commit([Put(b"k%05d" % answered, b"v" * 20_000)])
    together = await asyncio.gather(
        *(store.commit([Put(b"t%d" % number, b"v" * 400_000)]) for number in range(4)), return_exceptions=True
    )
    report = {
        "answered": answered,
        "together": [type(outcome).__name__ for outcome in together],
        "readable": len((await store.scan(b"k")).records),
        "count": await store.count(b"k"),
        "revision": await store.revision(),
    }
    _mount(directory, "remount,size=16m")
    report["afterwards"] = await store.commit([Delete(b"k00000"), Put(b"new", b"v" * 200_000)])
    await store.close()
    store = await open_store(f"sqlite://{directory}/store")
    report["reopened"] = [await store.count(b"k"), await store.count(b"n"), await store.count(b"t")]
    await store.close()
    tell(json.dumps(report))


def _mount(directory: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], check=True)


if __name__ == "__main__":
    program, place = sys.argv[1:]
    asyncio.run({"hold": hold, "write": write, "fill": fill}[program](Path(place)))
