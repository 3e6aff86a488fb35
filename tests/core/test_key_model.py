"""Keys held against a naive model of docs/keys.md, through any requests in any order, and starts in between."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from helpers.core import Core, HandClock, open_core
from helpers.keys import CONTEXT, key_id
from helpers.naive_keys import DAY_S, NaiveKeys
from secretd import keyrequests as requests
from secretd import limits, storerequests
from secretd.errors import SecretdError
from secretd.keys import Blob, KeyDocument, KeyId
from secretd.lifecycle import Reference, ReferenceKind
from secretd.model import Digest, SecretValue
from secretd.requests import ReplyT, Request

KEYS = st.sampled_from([key_id(name) for name in ("one", "two", "three")])


@dataclass(frozen=True)
class Of:
    """What a command is about, beside a key."""

    consumer: str
    kind: ReferenceKind
    days: int
    text: str


OF = st.builds(
    Of,
    st.sampled_from(["sync", "zfs"]),
    st.sampled_from(ReferenceKind),
    st.integers(limits.WINDOW_DAYS_LEAST, limits.WINDOW_DAYS),
    st.sampled_from("abc"),
)

Command = Callable[["KeyMachine", KeyId, Of], tuple[Request[Any], str | None]]

COMMANDS: dict[str, Command] = {
    "create": lambda test, key, _: (requests.KeyCreate(KeyDocument(key)), test.naive.create(key)),
    "update": lambda test, key, of: (
        requests.KeyUpdate(key, KeyDocument(description=of.text), test.digests.get(key)),
        test.naive.update(key, of.text),
    ),
    "enable": lambda test, key, _: (requests.KeyEnable(key), test.naive.enable(key)),
    "disable": lambda test, key, _: (requests.KeyDisable(key), test.naive.disable(key)),
    "rotate": lambda test, key, _: (requests.KeyRotate(key), test.naive.rotate(key)),
    "archive": lambda test, key, _: (requests.KeyArchive(key), test.naive.archive(key)),
    "restore": lambda test, key, _: (requests.KeyRestore(key), test.naive.restore(key)),
    "schedule": lambda test, key, of: (
        requests.KeyScheduleDeletion(key, of.days),
        test.naive.schedule(key, of.days, int(test.clock.now_s)),
    ),
    "cancel": lambda test, key, _: (requests.KeyCancelDeletion(key), test.naive.cancel(key)),
    "delete": lambda test, key, _: (requests.KeyDelete(key, key), test.naive.delete(key)),
    "attach": lambda test, key, of: (
        requests.KeyAttach(key, of.consumer, of.kind),
        test.naive.attach(key, of.consumer, of.kind),
    ),
    "detach": lambda test, key, of: (requests.KeyDetach(key, of.consumer), test.naive.detach(key, of.consumer)),
    "default": lambda test, key, _: (requests.KeyDefault(key), test.naive.make_default(key)),
    "no-default": lambda test, _, __: (requests.KeyDefault(None), test.naive.make_default(None)),
}


class KeyMachine(RuleBasedStateMachine):
    """The daemon's keys beside the naive ones."""

    blobs = Bundle("blobs")
    clock: HandClock
    naive: NaiveKeys
    digests: dict[KeyId, Digest]

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.root = Path(tempfile.mkdtemp(prefix="secretd-test-"))
        self.clock = HandClock()
        self.naive = NaiveKeys()
        self.counted = True
        self.digests = {}
        self.old: set[Digest] = set()
        self._open()
        for name in ("one", "two"):
            self._agree(requests.KeyCreate(KeyDocument(key_id(name))), self.naive.create(key_id(name)))

    def _open(self) -> None:
        self.opened = AsyncExitStack()
        self.core: Core = self.loop.run_until_complete(
            self.opened.enter_async_context(open_core(self.root, read_clock=self.clock))
        )

    def teardown(self) -> None:
        if hasattr(self, "opened"):
            found = self._done(storerequests.Check())
            self.loop.run_until_complete(self.opened.aclose())
            self.loop.close()
            shutil.rmtree(self.root)
            assert found.problems == ()

    def _done(self, request: Request[ReplyT]) -> ReplyT:
        return self.loop.run_until_complete(self.core.call(request))

    def _agree(self, request: Request[Any], expected: str | None) -> Any:
        """Ask, and hold what comes of it against what was expected: a reply, or the code that it is refused with."""
        reply, refused = None, None
        try:
            reply = self._done(request)
        except SecretdError as error:
            refused = error.code
        assert refused == expected
        return reply

    @rule(name=st.sampled_from(sorted(COMMANDS)), key=KEYS, of=OF)
    def command(self, name: str, key: KeyId, of: Of) -> None:
        # One rule for all of them, as hypothesis leaves out rules at random, and nothing happens without these.
        request, expected = COMMANDS[name](self, key, of)
        self._agree(request, expected)

    @rule(target=blobs, key=st.none() | KEYS, plain=st.binary(min_size=1, max_size=40))
    def seal(self, key: KeyId | None, plain: bytes) -> Any:
        sealed = self._agree(requests.Encrypt(SecretValue(plain), key, CONTEXT), self.naive.seal(key))
        return (sealed.blob, sealed.key, plain) if sealed else multiple()

    @rule(blob=blobs)
    def open(self, blob: tuple[Blob, KeyId, bytes]) -> None:
        sealed, key, plain = blob
        found = self._agree(requests.Decrypt(sealed, None, CONTEXT), self.naive.open(key))
        assert found is None or found.value == SecretValue(plain)

    @rule(target=blobs, blob=blobs, key=st.none() | KEYS)
    def rewrap(self, blob: tuple[Blob, KeyId, bytes], key: KeyId | None) -> Any:
        sealed, source, plain = blob
        to = source if key is None else key
        within = to == source
        # To another key: whether that is there and seals is judged before the blob.
        judged = ["enabled"] if to in self.naive.keys else []
        refused: str | None = None
        if not within and to not in self.naive.keys:
            refused = "no-key"
        elif not within and self.naive.keys[to].state not in judged:
            refused = "wrong-state"
        refused = refused or self.naive.open(source) or self.naive.seal(to)
        again = self._agree(requests.Rewrap(sealed, key, CONTEXT), refused)
        return (again.blob, to, plain) if again else multiple()

    @rule(days=st.integers(1, 40))
    def time_goes_on(self, days: int) -> None:
        self.clock.now_s += days * DAY_S
        self.loop.run_until_complete(self.core.service.deletions.round())
        self.naive.round(int(self.clock.now_s))

    @rule()
    def start(self) -> None:
        self.loop.run_until_complete(self.opened.aclose())
        self._open()
        # The blocks that were reserved count as used.
        self.counted = False

    @rule(key=KEYS)
    def change_by_an_old_digest(self, key: KeyId) -> None:
        if key in self.naive.keys and self.old:
            expected = "digest-mismatch"
            self._agree(requests.KeyUpdate(key, KeyDocument(description="!"), min(self.old)), expected)

    @invariant()
    def all_is_as_the_naive_keys_say(self) -> None:
        if not hasattr(self, "opened"):
            return
        listed = self._done(requests.KeyList(archived=True))
        assert [entry.key for entry in listed.entries] == sorted(self.naive.keys)
        for entry in listed.entries:
            self._described(entry)

    def _described(self, entry: requests.KeyEntry) -> None:
        naive = self.naive.keys[entry.key]
        said = self._done(requests.KeyDescribe(entry.key))
        assert (said.state.value, said.document.description) == (naive.state, naive.description)
        assert (entry.state, entry.digest, entry.version) == (said.state, said.digest, said.version)
        assert said.default == entry.default == (self.naive.default == entry.key)
        references = {**naive.references, **({"default-key": ReferenceKind.ACTIVE} if said.default else {})}
        assert said.references == tuple(Reference(one, references[one]) for one in sorted(references))
        uses = [version.uses for version in said.versions]
        assert len(uses) == len(naive.uses)
        assert all(at_most >= times for at_most, times in zip(uses, naive.uses, strict=True))
        assert uses == naive.uses or not self.counted
        self._note(entry.key, said.digest)

    def _note(self, key: KeyId, digest: Digest) -> None:
        before = self.digests.get(key)
        if before is not None and before != digest:
            self.old.add(before)
        assert digest not in self.old
        self.digests[key] = digest


TestKeys = KeyMachine.TestCase
TestKeys.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
