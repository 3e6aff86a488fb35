"""What a libvirt client is told: which registrations an event is for, in which order, and what a loss ends."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from helpers.asynchronous import run
from helpers.core import OWNER, Core, Told, open_core
from helpers.libvirt_peer import Peer, Refused, host_of, ref
from secretd import limits
from secretd import operations as ops
from secretd.core.access import AnyTarget, Target
from secretd.doors.libvirt_connection import Host
from secretd.errors import SealError
from secretd.model import Attributes, Caller, Permission, SecretDocument, SecretValue, Usage, UsageType
from secretd.wire import xdr
from secretd.wire.libvirt_procedures import PROGRAM, EventId, Kind, LifecycleEvent, Procedure
from secretd.wire.xdr import Decoder

A, B = (UUID(f"0000000{digit}-1111-4222-8333-444444444444") for digit in (1, 2))
VALUE = SecretValue(b"value")

Heard = tuple[int, str, UUID, str]
"""Of an event: the registration, what happened, to which secret, and the id of its usage."""

_WHAT = {LifecycleEvent.DEFINED: "defined", LifecycleEvent.UNDEFINED: "undefined"}


async def register(peer: Peer, event_id: int, secret: UUID | None = None) -> int:
    subject = xdr.uint32(0) if secret is None else xdr.uint32(1) + ref(secret)
    reply = await peer.call(Procedure.CONNECT_SECRET_EVENT_REGISTER_ANY, xdr.int32(event_id) + subject)
    return Decoder(reply).int32()


async def heard(core: Core, peer: Peer) -> list[Heard]:
    """Wait until all that happened was told; give what the peer was told of it, and forget that."""
    last = Told()
    await core.call(ops.Subscribe(), OWNER, last)
    secret = (await core.call(ops.AllocateId())).secret
    await last.until(ops.SecretDefined, secret)
    await core.call(ops.Unsubscribe(), OWNER, last)
    told = [_read(packet) for packet in peer.sent if packet.program == PROGRAM]
    peer.sent.clear()
    return [event for event in told if event[2] != secret]


def _read(packet: object) -> Heard:
    procedure, kind, serial, body = (getattr(packet, name) for name in ("procedure", "kind", "serial", "body"))
    # The serial of libvirt's own daemon.
    assert (kind, serial) == (Kind.MESSAGE, 1)
    decoder = Decoder(body)
    number, secret = decoder.int32(), UUID(bytes=decoder.fixed(16))
    decoder.int32()
    usage = decoder.string(4_096).decode()
    if procedure == Procedure.SECRET_EVENT_VALUE_CHANGED:
        return number, "value", secret, usage
    assert procedure == Procedure.SECRET_EVENT_LIFECYCLE
    return number, _WHAT[LifecycleEvent(decoder.int32())], secret, usage


async def connected(host: Host) -> Peer:
    peer = Peer(host)
    await peer.open()
    return peer


def named(secret: UUID, usage_id: str) -> SecretDocument:
    return SecretDocument(Attributes(usage=Usage(UsageType.CEPH, usage_id)), secret)


def test_each_kind_of_change_is_told_to_who_asked(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await connected(host_of(core))
            every, values = await register(peer, EventId.LIFECYCLE), await register(peer, EventId.VALUE_CHANGED)
            of_a = await register(peer, EventId.LIFECYCLE, A)
            await core.call(ops.Define(named(A, "a")))
            await core.call(ops.Define(named(B, "b")))
            await core.call(ops.Define(named(A, "a")))
            await core.call(ops.SetValue(A, VALUE))
            await core.call(ops.Delete(A))
            assert await heard(core, peer) == [
                (every, "defined", A, "a"),
                (of_a, "defined", A, "a"),
                (every, "defined", B, "b"),
                (every, "defined", A, "a"),
                (of_a, "defined", A, "a"),
                (values, "value", A, "a"),
                (every, "undefined", A, "a"),
                (of_a, "undefined", A, "a"),
            ]

    run(test())


def test_a_secret_that_comes_with_its_value_is_told_in_two_steps(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await connected(host_of(core))
            every, values = await register(peer, EventId.LIFECYCLE), await register(peer, EventId.VALUE_CHANGED, A)
            await core.call(ops.SetValue(A, VALUE))
            await core.call(ops.SetValue(B, VALUE))
            assert await heard(core, peer) == [
                (every, "defined", A, ""),
                (values, "value", A, ""),
                (every, "defined", B, ""),
            ]

    run(test())


def test_numbers_are_of_the_whole_door_and_never_used_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            host = host_of(core)
            one, other = await connected(host), await connected(host)
            numbers = [await register(one, 0), await register(other, 0), await register(one, 1)]
            await one.call(Procedure.CONNECT_SECRET_EVENT_DEREGISTER_ANY, xdr.int32(numbers[0]))
            numbers.append(await register(one, 0))
            assert numbers == sorted(set(numbers))

    run(test())


def test_a_registration_ends_when_asked_and_by_its_own_connection_only(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            host = host_of(core)
            one, other = await connected(host), await connected(host)
            number = await register(one, EventId.LIFECYCLE)
            with pytest.raises(Refused) as refused:
                await other.call(Procedure.CONNECT_SECRET_EVENT_DEREGISTER_ANY, xdr.int32(number))
            assert (refused.value.code, refused.value.domain) == (1, 7)
            await core.call(ops.Define(named(A, "a")))
            assert await heard(core, one) == [(number, "defined", A, "a")]
            await one.call(Procedure.CONNECT_SECRET_EVENT_DEREGISTER_ANY, xdr.int32(number))
            await core.call(ops.Delete(A))
            assert await heard(core, one) == []

    run(test())


def test_a_registration_that_fails_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def sealed(*_: object) -> None:
        raise SealError("not yet")

    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await connected(host_of(core))
            with monkeypatch.context() as patch:
                patch.setattr(core.service, "call", sealed)
                with pytest.raises(Refused) as refused:
                    await register(peer, EventId.LIFECYCLE)
                assert refused.value.message == "not yet"
            number = await register(peer, EventId.LIFECYCLE)
            with monkeypatch.context() as patch:
                # What was registered can be given up, whatever the daemon's state.
                patch.setattr(core.service, "call", sealed)
                await peer.call(Procedure.CONNECT_SECRET_EVENT_DEREGISTER_ANY, xdr.int32(number))
            await core.call(ops.Define(named(A, "a")))
            assert await heard(core, peer) == []

    run(test())


def test_a_connection_that_ended_is_told_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await connected(host_of(core))
            await register(peer, EventId.LIFECYCLE)
            peer.session.give_up()
            await core.call(ops.Define(named(A, "a")))
            assert await heard(core, peer) == []

    run(test())


@pytest.mark.parametrize(
    ("event_id", "again", "answer"),
    [
        pytest.param(2, False, (1, 7), id="no such kind"),
        pytest.param(-1, False, (1, 7), id="a negative kind"),
        pytest.param(EventId.LIFECYCLE, True, (8, 0), id="registered already"),
    ],
)
def test_what_cannot_be_registered(tmp_path: Path, event_id: int, again: bool, answer: tuple[int, int]) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await connected(host_of(core))
            if again:
                await register(peer, event_id, A)
            with pytest.raises(Refused) as refused:
                await register(peer, event_id, A)
            assert (refused.value.code, refused.value.domain) == answer

    run(test())


def test_registrations_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LIBVIRT_CALLBACKS", 2)

    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await connected(host_of(core))
            for secret in (A, B):
                await register(peer, EventId.LIFECYCLE, secret)
            with pytest.raises(Refused) as refused:
                await register(peer, EventId.LIFECYCLE)
            assert refused.value.code == 1

    run(test())


def test_hidden_secrets_are_not_told_of(tmp_path: Path) -> None:
    def policy(_: Caller, permission: Permission, target: AnyTarget) -> bool:
        return permission is not Permission.GETATTR or not isinstance(target, Target) or target.secret != A

    async def test() -> None:
        async with open_core(tmp_path, policy) as core:
            peer = await connected(host_of(core))
            number = await register(peer, EventId.LIFECYCLE)
            await core.call(ops.Define(named(A, "a")))
            await core.call(ops.Define(named(B, "b")))
            assert await heard(core, peer) == [(number, "defined", B, "b")]

    run(test())


@pytest.mark.parametrize("reads", [True, False], ids=["the peer reads", "the peer reads none"])
@pytest.mark.parametrize("told", [True, False], ids=["the core lost some", "there is no room"])
def test_a_loss_ends_the_connection_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool, reads: bool
) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await connected(host_of(core))
            await register(peer, EventId.LIFECYCLE)
            peer.reads = reads
            deleted = ops.SecretDeleted(A, None)
            peer.session.tell([ops.EventsLost()] if told else [deleted, deleted])
            last = peer.sent[-1]
            assert (last.procedure, last.body) == (Procedure.CONNECT_EVENT_CONNECTION_CLOSED, xdr.int32(0))
            assert peer.ended

    # Room for one event.
    monkeypatch.setattr(limits, "EVENT_BYTES_WAITING", limits.ANSWER_BYTES + 100)
    run(test())
