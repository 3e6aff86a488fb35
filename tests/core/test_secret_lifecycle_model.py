"""The lifecycle of secrets against a naive model: any order of requests, rounds, restarts and leaps of the clock."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from helpers.asynchronous import DEADLINE_S
from helpers.core import Core, HandClock, open_core
from secretd import operations as ops
from secretd import storerequests
from secretd.errors import SecretdError
from secretd.lifecycle import OutOfUse, ReferenceKind
from secretd.lifecyclerequests import (
    SecretArchive,
    SecretAttach,
    SecretCancelDeletion,
    SecretDetach,
    SecretGetLifecycle,
    SecretProtect,
    SecretRestore,
    SecretScheduleDeletion,
    SecretUnprotect,
)
from secretd.model import Attributes, SecretDocument, SecretValue
from secretd.moments import moment_of

IDS = [UUID(int=number) for number in (1, 2)]
DAY_S = 86_400

ids, consumers, kinds = st.sampled_from(IDS), st.sampled_from(["a", "b"]), st.sampled_from(ReferenceKind)


@dataclass
class Naive:
    """A secret, as somebody would write it down who has read docs/keys.md."""

    ephemeral: bool
    archived: bool = False
    due: int | None = None
    protected: bool = False
    needed: dict[str, ReferenceKind] = field(default_factory=dict)

    @property
    def state(self) -> str:
        if self.due is not None:
            return "pending-deletion"
        return "archived" if self.archived else "in use"


class Lifecycles(RuleBasedStateMachine):
    """The core, and a dict of what there should be."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: dict[UUID, Naive] = {}
        self.buried: set[UUID] = set()
        self.clock = HandClock()
        self.latest = int(self.clock.now_s)
        """The latest moment that was kept or seen since the start."""
        self.loop = asyncio.new_event_loop()
        self.place = tempfile.TemporaryDirectory()

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, DEADLINE_S))

    @initialize()
    def start(self) -> None:
        self.opened: AbstractAsyncContextManager[Core] = open_core(Path(self.place.name), lambda *_: True, self.clock)
        self.core: Core = self.run(self.opened.__aenter__())

    def teardown(self) -> None:
        self.run(self.opened.__aexit__(None, None, None))
        self.loop.close()
        self.place.cleanup()

    def ask(self, request: ops.Request[Any]) -> str:
        try:
            self.run(self.core.call(request))
        except SecretdError as error:
            return error.code
        return "done"

    def now(self) -> int:
        self.latest = max(self.latest, int(self.clock.now_s))
        return self.latest

    @rule(secret=ids, ephemeral=st.booleans())
    def describe(self, secret: UUID, ephemeral: bool) -> None:
        said = self.ask(ops.SetXml(secret, SecretDocument(Attributes(ephemeral=ephemeral))))
        known = self.secrets.get(secret)
        if known is None:
            assert said == ("conflict" if secret in self.buried else "done")
            if said == "done":
                self.secrets[secret] = Naive(ephemeral)
        elif known.state != "in use":
            assert said == "wrong-state"
        else:
            assert said == "done"
            known.ephemeral = ephemeral

    @rule(secret=ids)
    def set_value(self, secret: UUID) -> None:
        said = self.ask(ops.SetValue(secret, SecretValue(b"value"), create=False))
        known = self.secrets.get(secret)
        assert said == ("no-secret" if known is None else "done" if known.state == "in use" else "wrong-state")

    @rule(secret=ids)
    def read(self, secret: UUID) -> None:
        said = self.ask(ops.GetValue(secret))
        known = self.secrets.get(secret)
        if known is None:
            assert said == "no-secret"
        else:
            assert (said == "wrong-state") == (known.state == "pending-deletion")

    @rule(secret=ids)
    def delete(self, secret: UUID) -> None:
        expected = self._expected_of_deletion(secret)
        assert self.ask(ops.Delete(secret)) == expected
        if expected == "done":
            del self.secrets[secret]

    @rule(secret=ids, days=st.sampled_from([7, 30]))
    def schedule(self, secret: UUID, days: int) -> None:
        expected = self._expected_of_deletion(secret)
        assert self.ask(SecretScheduleDeletion(secret, days)) == expected
        if expected == "done":
            self.secrets[secret].due = self.now() + days * DAY_S

    def _expected_of_deletion(self, secret: UUID) -> str:
        known = self.secrets.get(secret)
        if known is None:
            return "no-secret"
        if known.state == "pending-deletion":
            return "wrong-state"
        if known.needed:
            return "referenced"
        return "operation-invalid" if known.protected else "done"

    @rule(secret=ids)
    def cancel(self, secret: UUID) -> None:
        self._change(SecretCancelDeletion(secret), secret, ("pending-deletion",), due=None)

    @rule(secret=ids)
    def archive(self, secret: UUID) -> None:
        known = self.secrets.get(secret)
        if known and known.state == "in use" and ReferenceKind.ACTIVE in known.needed.values():
            assert self.ask(SecretArchive(secret)) == "referenced"
        else:
            self._change(SecretArchive(secret), secret, ("in use",), archived=True)

    @rule(secret=ids)
    def restore(self, secret: UUID) -> None:
        self._change(SecretRestore(secret), secret, ("archived",), archived=False)

    @rule(secret=ids, protects=st.booleans())
    def protect(self, secret: UUID, protects: bool) -> None:
        request = SecretProtect(secret) if protects else SecretUnprotect(secret)
        self._change(request, secret, ("in use", "archived"), protected=protects)

    @rule(secret=ids, consumer=consumers, kind=kinds)
    def attach(self, secret: UUID, consumer: str, kind: ReferenceKind) -> None:
        known = self.secrets.get(secret)
        states = ("in use",) if kind is ReferenceKind.ACTIVE else ("in use", "archived")
        needed = {**known.needed, consumer: kind} if known else {}
        self._change(SecretAttach(secret, consumer, kind), secret, states, needed=needed)

    @rule(secret=ids, consumer=consumers)
    def detach(self, secret: UUID, consumer: str) -> None:
        known = self.secrets.get(secret)
        if known and known.state != "pending-deletion" and consumer not in known.needed:
            assert self.ask(SecretDetach(secret, consumer)) == "invalid-request"
            return
        needed = {name: kind for name, kind in known.needed.items() if name != consumer} if known else {}
        self._change(SecretDetach(secret, consumer), secret, ("in use", "archived"), needed=needed)

    def _change(self, request: ops.Request[Any], secret: UUID, states: tuple[str, ...], **after: Any) -> None:
        known = self.secrets.get(secret)
        expected = "no-secret" if known is None else "done" if known.state in states else "wrong-state"
        assert self.ask(request) == expected
        if known is not None and expected == "done":
            for name, value in after.items():
                setattr(known, name, value)

    @rule(leap_s=st.sampled_from([-DAY_S, 3_600, DAY_S, 8 * DAY_S]))
    def leap(self, leap_s: int) -> None:
        self.clock.now_s += leap_s

    @rule()
    def round(self) -> None:
        self.run(self.core.service.deletions.round())
        self._bury(self.now())

    @rule(back_s=st.sampled_from([0, 400 * DAY_S]))
    def restart(self, back_s: int) -> None:
        """Start anew, perhaps with a clock that was set far back: whatever was scheduled is due when it was."""
        self.run(self.opened.__aexit__(None, None, None))
        self.secrets = {secret: known for secret, known in self.secrets.items() if not known.ephemeral}
        self.clock.now_s -= back_s
        self.start()
        # Of what was seen before the end only what was kept counts.
        self.latest = self.run(self.core.service._clock.now())
        self.round()

    def _bury(self, now: int) -> None:
        for secret, known in list(self.secrets.items()):
            if known.due is not None and known.due <= now:
                del self.secrets[secret]
                if not known.ephemeral:
                    self.buried.add(secret)

    @invariant()
    def it_is_as_it_should_be(self) -> None:
        if not hasattr(self, "core"):
            return
        entries = {one.secret: one for one in self.run(self.core.call(ops.List(archived=True))).entries}
        assert entries.keys() == self.secrets.keys()
        for secret, known in self.secrets.items():
            found = self.run(self.core.call(SecretGetLifecycle(secret)))
            assert (found.archived is not None) == known.archived
            assert found.due == (moment_of(known.due) if known.due is not None else None)
            assert found.protected == known.protected
            assert {one.consumer: one.kind for one in found.references} == known.needed
            assert entries[secret].out_of_use == (OutOfUse(known.state) if known.state != "in use" else None)
            assert entries[secret].ephemeral == known.ephemeral
        in_use = {secret for secret, known in self.secrets.items() if known.state == "in use"}
        assert {one.secret for one in self.run(self.core.call(ops.List())).entries} == in_use
        assert self.run(self.core.call(ops.Count())).secrets == len(in_use)
        assert self.run(self.core.call(ops.Count(archived=True))).secrets == len(self.secrets)
        assert self.run(self.core.call(storerequests.Check())).problems == ()


Lifecycles.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestLifecycles = Lifecycles.TestCase
