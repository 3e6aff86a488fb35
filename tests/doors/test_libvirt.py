"""The libvirt door: who may call what, in which order a call is judged, and what is no call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from helpers.asynchronous import run
from helpers.core import OWNER, Core, open_core
from helpers.libvirt_peer import TOKEN, URI, Peer, Refused, flagged, host_of, open_body, packets, ref, refusal
from secretd import limits
from secretd import operations as ops
from secretd.core.access import AnyTarget, Target
from secretd.doors.libvirt_calls import CALLS
from secretd.doors.libvirt_errors import error_body
from secretd.doors.session import Nothing
from secretd.errors import (
    WIRE_ERRORS,
    BusyError,
    LibvirtCode,
    LibvirtDomain,
    LibvirtError,
    SecretdError,
)
from secretd.model import Attributes, Caller, Mode, Permission, SecretDocument, SecretValue, Usage, UsageType
from secretd.wire import xdr
from secretd.wire.libvirt import Packet, frame
from secretd.wire.libvirt_foreign import FOREIGN
from secretd.wire.libvirt_procedures import (
    KEEPALIVE_PROGRAM,
    PROGRAM,
    VERSION,
    KeepaliveProcedure,
    Kind,
    Procedure,
    Status,
)

PLAIN, PRIVATE, ABSENT = (UUID(f"0000000{digit}-1111-4222-8333-444444444444") for digit in (1, 2, 3))
USAGE = Usage(UsageType.CEPH, "client.plain")
VALUE = SecretValue(b"c4n4ry value")
DOCUMENT = b"<secret><usage type='tls'><name>new</name></usage></secret>"
STRANGER = Caller(uid=OWNER.uid + 1, gid=1, pid=1)


async def fill(core: Core) -> None:
    """Make a plain and a private secret, both with a value."""
    await core.call(ops.Define(SecretDocument(Attributes(usage=USAGE), PLAIN)))
    await core.call(ops.Define(SecretDocument(Attributes(private=True), PRIVATE)))
    for secret in (PLAIN, PRIVATE):
        await core.call(ops.SetValue(secret, VALUE))


def nothing(_: UUID) -> bytes:
    return b""


def set_value(secret: UUID) -> bytes:
    return ref(secret) + xdr.opaque(b"new") + xdr.uint32(0)


ARGUMENTS: dict[Procedure, Callable[[UUID], bytes]] = {
    Procedure.CONNECT_OPEN: lambda _: open_body(URI),
    Procedure.CONNECT_CLOSE: nothing,
    Procedure.CONNECT_GET_TYPE: nothing,
    Procedure.CONNECT_GET_VERSION: nothing,
    Procedure.CONNECT_GET_HOSTNAME: nothing,
    Procedure.CONNECT_GET_URI: nothing,
    Procedure.CONNECT_GET_LIB_VERSION: nothing,
    Procedure.CONNECT_IS_SECURE: nothing,
    Procedure.CONNECT_SUPPORTS_FEATURE: lambda _: xdr.int32(14),
    Procedure.CONNECT_REGISTER_CLOSE_CALLBACK: nothing,
    Procedure.CONNECT_UNREGISTER_CLOSE_CALLBACK: nothing,
    Procedure.CONNECT_SET_IDENTITY: lambda _: xdr.uint32(0) + xdr.uint32(0),
    Procedure.AUTH_LIST: nothing,
    Procedure.AUTH_POLKIT: nothing,
    Procedure.AUTH_SASL_INIT: nothing,
    Procedure.AUTH_SASL_START: nothing,
    Procedure.AUTH_SASL_STEP: nothing,
    Procedure.CONNECT_NUM_OF_SECRETS: nothing,
    Procedure.CONNECT_LIST_SECRETS: lambda _: xdr.int32(10),
    Procedure.CONNECT_LIST_ALL_SECRETS: lambda _: xdr.int32(1) + xdr.uint32(0),
    Procedure.SECRET_LOOKUP_BY_UUID: lambda secret: secret.bytes,
    Procedure.SECRET_LOOKUP_BY_USAGE: lambda _: xdr.int32(2) + xdr.string(USAGE.id),
    Procedure.SECRET_DEFINE_XML: lambda _: xdr.string(DOCUMENT) + xdr.uint32(0),
    Procedure.SECRET_GET_XML_DESC: flagged(),
    Procedure.SECRET_SET_VALUE: set_value,
    Procedure.SECRET_GET_VALUE: flagged(),
    Procedure.SECRET_UNDEFINE: ref,
    Procedure.CONNECT_SECRET_EVENT_REGISTER_ANY: lambda _: xdr.int32(0) + xdr.uint32(0),
    Procedure.CONNECT_SECRET_EVENT_DEREGISTER_ANY: lambda _: xdr.int32(0),
}
"""Good arguments of every call, about a secret where it is about one."""

OK = None
ALWAYS_REFUSED = {
    Procedure.CONNECT_GET_VERSION: 3,
    Procedure.CONNECT_GET_HOSTNAME: 3,
    Procedure.AUTH_POLKIT: 1,
    Procedure.AUTH_SASL_INIT: 45,
    Procedure.AUTH_SASL_START: 45,
    Procedure.AUTH_SASL_STEP: 45,
    # Open already, and nothing registered.
    Procedure.CONNECT_OPEN: 1,
    Procedure.CONNECT_SECRET_EVENT_DEREGISTER_ANY: 1,
}
CHANGES_OR_REVEALS = (
    Procedure.SECRET_DEFINE_XML,
    Procedure.SECRET_SET_VALUE,
    Procedure.SECRET_GET_VALUE,
    Procedure.SECRET_UNDEFINE,
)
BEFORE_OPENING = {
    Procedure.CONNECT_CLOSE: OK,
    Procedure.AUTH_LIST: OK,
    Procedure.AUTH_POLKIT: 1,
    Procedure.AUTH_SASL_INIT: 45,
    Procedure.AUTH_SASL_START: 45,
    Procedure.AUTH_SASL_STEP: 45,
    Procedure.CONNECT_OPEN: 88,
}
"""What a connection that nothing was opened on may ask; of whoever may do nothing, OPEN is refused."""


def expected(procedure: Procedure, who: str, secret: UUID) -> int | None:
    """Give the code by which a call is refused; the rules as they are written, not as they are built."""
    if who == "another uid":
        return BEFORE_OPENING.get(procedure, 1)
    if procedure in ALWAYS_REFUSED:
        return ALWAYS_REFUSED[procedure]
    if who == "ro" and procedure in CHANGES_OR_REVEALS:
        return 29
    if procedure is Procedure.SECRET_GET_VALUE and secret == PRIVATE and who != "elevated":
        return 65
    return OK


async def opened(core: Core, who: str) -> Peer:
    """Connect as somebody, and open the daemon's URI if he may."""
    callers = {"ro": replace(OWNER, read_only=True), "another uid": STRANGER}
    peer = Peer(host_of(core), callers.get(who, OWNER))
    if who != "another uid":
        await peer.open()
    if who == "elevated":
        await peer.show(TOKEN)
    return peer


async def code_of(peer: Peer, procedure: int, body: bytes) -> int | None:
    try:
        await peer.call(procedure, body)
    except Refused as refused:
        return refused.code
    return OK


@pytest.mark.parametrize("secret", [pytest.param(PLAIN, id="plain"), pytest.param(PRIVATE, id="private")])
@pytest.mark.parametrize("who", ["rw", "ro", "elevated", "another uid"])
@pytest.mark.parametrize("procedure", list(ARGUMENTS), ids=lambda procedure: procedure.name)
def test_who_may_call_what(tmp_path: Path, procedure: Procedure, who: str, secret: UUID) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            await fill(core)
            peer = await opened(core, who)
            assert await code_of(peer, procedure, ARGUMENTS[procedure](secret)) == expected(procedure, who, secret)

    run(test())


def test_the_matrix_has_every_call() -> None:
    assert set(ARGUMENTS) == set(CALLS)
    messages = {
        Procedure.CONNECT_EVENT_CONNECTION_CLOSED,
        Procedure.SECRET_EVENT_LIFECYCLE,
        Procedure.SECRET_EVENT_VALUE_CHANGED,
    }
    assert set(Procedure) - set(CALLS) == messages
    assert not set(FOREIGN) & set(CALLS)


@pytest.mark.parametrize("procedure", [procedure for procedure in ARGUMENTS if procedure not in BEFORE_OPENING])
def test_nothing_but_the_opening_is_answered_before_it(tmp_path: Path, procedure: Procedure) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = Peer(host_of(core))
            with pytest.raises(Refused) as refused:
                await peer.call(procedure, ARGUMENTS[procedure](PLAIN))
            assert (refused.value.code, refused.value.domain, refused.value.level) == (1, 7, 2)
            # What does not decode is told before.
            if ARGUMENTS[procedure](PLAIN):
                assert await code_of(peer, procedure, b"\0") == 39

    run(test())


def test_a_caller_who_may_not_write_is_told_so_before_his_document_is_read(tmp_path: Path) -> None:
    def policy(_: Caller, permission: Permission, __: AnyTarget) -> bool:
        return permission not in (Permission.APPEND, Permission.WRITE)

    async def test() -> None:
        async with open_core(tmp_path, policy) as core:
            peer = await opened(core, "rw")
            with pytest.raises(Refused) as refused:
                await peer.call(Procedure.SECRET_DEFINE_XML, xdr.string(b"<not xml") + xdr.uint32(0))
            assert (refused.value.code, refused.value.domain) == (88, 55)

    run(test())


def test_hidden_is_as_unknown(tmp_path: Path) -> None:
    def policy(_: Caller, __: Permission, target: AnyTarget) -> bool:
        return target is None or (isinstance(target, Target) and target.secret != PLAIN)

    async def test() -> None:
        async with open_core(tmp_path) as core:
            await fill(core)
        async with open_core(tmp_path, policy) as core:
            peer = await opened(core, "rw")
            for procedure in (
                Procedure.SECRET_LOOKUP_BY_UUID,
                Procedure.SECRET_GET_XML_DESC,
                Procedure.SECRET_GET_VALUE,
                Procedure.SECRET_SET_VALUE,
                Procedure.SECRET_UNDEFINE,
            ):
                answers = []
                for secret in (PLAIN, ABSENT):
                    with pytest.raises(Refused) as refused:
                        await peer.call(procedure, ARGUMENTS[procedure](secret))
                    answers.append((refused.value.code, refused.value.domain, refused.value.message))
                assert answers[0] == answers[1]
            assert await code_of(peer, Procedure.SECRET_LOOKUP_BY_USAGE, xdr.int32(2) + xdr.string(USAGE.id)) == 66
            assert await peer.call(Procedure.CONNECT_NUM_OF_SECRETS) == xdr.int32(1)
            assert await peer.call(Procedure.CONNECT_LIST_SECRETS, xdr.int32(9)) == (
                xdr.uint32(1) + xdr.string(str(PRIVATE))
            )

    run(test())


@pytest.mark.parametrize(
    ("procedure", "body"),
    [
        (Procedure.SECRET_GET_VALUE, flagged(1)(PLAIN)),
        (Procedure.SECRET_GET_XML_DESC, flagged(0x80000000)(PLAIN)),
        (Procedure.SECRET_SET_VALUE, ref(PLAIN) + xdr.opaque(b"x") + xdr.uint32(2)),
        (Procedure.SECRET_DEFINE_XML, xdr.string(DOCUMENT) + xdr.uint32(2)),
        (Procedure.SECRET_DEFINE_XML, xdr.string(DOCUMENT) + xdr.uint32(3)),
        (Procedure.CONNECT_LIST_ALL_SECRETS, xdr.int32(1) + xdr.uint32(16)),
        (Procedure.CONNECT_LIST_ALL_SECRETS, xdr.int32(0) + xdr.uint32(0xFFFFFFFF)),
    ],
)
def test_an_unknown_flag_is_refused_and_nothing_is_done(tmp_path: Path, procedure: Procedure, body: bytes) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            await fill(core)
            peer = await opened(core, "rw")
            with pytest.raises(Refused) as refused:
                await peer.call(procedure, body)
            assert (refused.value.code, refused.value.domain) == (8, 30)
            assert (await core.call(ops.Count())).secrets == 2
            assert (await core.call(ops.GetValue(PLAIN))).value == VALUE

    run(test())


def test_read_only_comes_before_all_else(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            for peer, flags in ((Peer(host_of(core), replace(OWNER, read_only=True)), 0), (Peer(host_of(core)), 1)):
                await peer.open(flags=flags)
                await peer.show(TOKEN)
                for procedure, body in (
                    (Procedure.SECRET_DEFINE_XML, xdr.string(b"<") + xdr.uint32(8)),
                    (Procedure.SECRET_SET_VALUE, ref(ABSENT) + xdr.opaque(b"") + xdr.uint32(8)),
                    (Procedure.SECRET_GET_VALUE, flagged(8)(ABSENT)),
                    (Procedure.SECRET_UNDEFINE, ref(ABSENT)),
                ):
                    assert await code_of(peer, procedure, body) == 29

    run(test())


def test_what_a_daemon_says_of_its_user_is_logged_and_decides_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "secretd.doors.libvirt_connection")
    claims = {
        b"unix-user-id": xdr.int32(4) + xdr.uint64(1_000),
        b"user-name": xdr.int32(7) + xdr.string(b"\xff" + b"a" * 99),
    }
    body = xdr.uint32(3) + b"".join(xdr.string(name) + value for name, value in claims.items())

    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await opened(core, "rw")
            token = xdr.string("system.token") + xdr.int32(7) + xdr.string(TOKEN)
            await peer.call(Procedure.CONNECT_SET_IDENTITY, body + token + xdr.uint32(0))
            (record,) = (record for record in caplog.records if record.message == "identity")
            said = vars(record)
            assert said["claims"] == {"unix-user-id": 1_000, "user-name": "\\xff" + "a" * 63}
            assert said["elevated"] is True
            assert TOKEN.decode() not in repr(said)
            assert await code_of(peer, Procedure.SECRET_DEFINE_XML, xdr.string(DOCUMENT) + xdr.uint32(0)) is OK

    run(test())


def test_the_token_is_shown_anew_each_time(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            await fill(core)
            peer = await opened(core, "rw")
            for token, code in ((TOKEN, OK), (b"wrong", 65), (TOKEN, OK)):
                await peer.show(token)
                assert await code_of(peer, Procedure.SECRET_GET_VALUE, flagged()(PRIVATE)) == code
            # One that is refused leaves the one before in force; an empty one does not.
            unknown = xdr.uint32(1) + xdr.string("nonsense") + xdr.int32(1) + xdr.int32(1) + xdr.uint32(0)
            assert await code_of(peer, Procedure.CONNECT_SET_IDENTITY, unknown) == 74
            assert await code_of(peer, Procedure.SECRET_GET_VALUE, flagged()(PRIVATE)) == OK
            await peer.call(Procedure.CONNECT_SET_IDENTITY, xdr.uint32(0) + xdr.uint32(0))
            assert await code_of(peer, Procedure.SECRET_GET_VALUE, flagged()(PRIVATE)) == 65

    run(test())


def call(procedure: int = 3, **changed: int) -> bytes:
    header = {"program": PROGRAM, "version": VERSION, "kind": int(Kind.CALL), "serial": 7, "status": int(Status.OK)}
    header |= changed
    return frame(
        header["program"],
        header["version"],
        procedure,
        header["kind"],
        header["serial"],
        header["status"],
        b"",
    )


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        pytest.param(call(9_999), (39, 7), id="unknown procedure"),
        pytest.param(call(-1), (39, 7), id="negative procedure"),
        pytest.param(call(382), (39, 7), id="an event's number"),
        pytest.param(call(program=0x12345678), (39, 7), id="unknown program"),
        pytest.param(call(program=KEEPALIVE_PROGRAM), (39, 7), id="a call of the keepalive program"),
        pytest.param(call(version=2), (39, 7), id="unknown version"),
        pytest.param(call(status=1), (39, 7), id="a call with a status"),
        pytest.param(call(25), (3, 20), id="another driver's procedure"),
        pytest.param(call(71), (3, 18), id="a storage driver's procedure"),
    ],
)
def test_what_is_not_known_here_is_refused_and_the_connection_lives(
    tmp_path: Path, request_: bytes, answer: tuple[int, int]
) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await opened(core, "rw")
            (asked,) = packets(request_)
            reply = await peer.ask(request_)
            refused = refusal(reply)
            assert (refused.code, refused.domain, refused.level) == (*answer, 2)
            assert reply[:3] == asked[:3]
            assert reply.serial == 7
            assert await peer.call(Procedure.CONNECT_GET_TYPE) == xdr.string("secret")

    run(test())


@pytest.mark.parametrize("kind", [1, 2, 3, 6, 9, -1])
@pytest.mark.parametrize("program", [PROGRAM, KEEPALIVE_PROGRAM, 5])
def test_what_is_no_call_is_passed_over(tmp_path: Path, program: int, kind: int) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await opened(core, "rw")
            # One at a time: who sends many of them in one piece gets no longer turns by it.
            assert peer.says_nothing_to(call(program=program, kind=kind) * 2) is Nothing.PASSED
            assert peer.says_nothing_to(b"") is Nothing.PASSED
            assert peer.says_nothing_to(b"") is Nothing.YET
            assert await peer.call(Procedure.CONNECT_GET_TYPE) == xdr.string("secret")

    run(test())


def test_a_ping_is_answered_before_anything_is_open(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = Peer(host_of(core))
            ping = frame(KEEPALIVE_PROGRAM, VERSION, KeepaliveProcedure.PING, Kind.MESSAGE, 5, 1, b"body")
            pong = Packet(KEEPALIVE_PROGRAM, VERSION, KeepaliveProcedure.PONG, Kind.MESSAGE, 0, 0, b"")
            assert await peer.ask(ping) == pong

    run(test())


def test_closing_is_answered_and_is_the_end(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await opened(core, "rw")
            assert await peer.call(Procedure.CONNECT_CLOSE) == b""
            assert peer.says_nothing_to(call()) is Nothing.MORE

    run(test())


def test_broken_framing_is_the_end_without_a_word(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await opened(core, "rw")
            assert peer.says_nothing_to(bytes(4)) is Nothing.MORE
            assert peer.says_nothing_to(call()) is Nothing.MORE

    run(test())


def test_a_call_that_is_too_long_is_refused_and_the_connection_lives(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await opened(core, "rw")
            document = b"<secret>" + b" " * limits.LIBVIRT_MESSAGE_BYTES + b"</secret>"
            assert await code_of(peer, Procedure.SECRET_DEFINE_XML, xdr.string(document) + xdr.uint32(0)) == 39
            assert await peer.call(Procedure.CONNECT_NUM_OF_SECRETS) == xdr.int32(0)

    run(test())


def test_who_may_do_nothing_is_told_so_before_his_uri_is_looked_at(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            for uri in (b"%" * 100_000, b"qemu:///system", None):
                assert await code_of(Peer(host_of(core), STRANGER), Procedure.CONNECT_OPEN, open_body(uri)) == 88

    run(test())


@pytest.mark.parametrize(
    ("procedure", "body"),
    [
        (Procedure.CONNECT_LIST_SECRETS, xdr.int32(10)),
        (Procedure.CONNECT_LIST_ALL_SECRETS, xdr.int32(1) + xdr.uint32(0)),
    ],
)
def test_no_list_is_made_for_who_does_not_read(tmp_path: Path, procedure: Procedure, body: bytes) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = await opened(core, "rw")
            peer.full = True
            assert await code_of(peer, procedure, body) == 87
            peer.full = False
            assert await code_of(peer, procedure, body) is OK

    run(test())


def test_a_list_that_fits_into_no_message_is_an_rpc_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secretd.wire.libvirt._MOST_FRAMED", 400)

    async def test() -> None:
        async with open_core(tmp_path) as core:
            for _ in range(10):
                await core.call(ops.AllocateId())
            peer = await opened(core, "rw")
            assert await code_of(peer, Procedure.CONNECT_LIST_SECRETS, xdr.int32(10)) == 39
            assert await code_of(peer, Procedure.CONNECT_LIST_SECRETS, xdr.int32(2)) is OK

    run(test())


def test_others_have_their_turn_while_a_list_of_what_is_in_memory_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAGE_ENTRIES", 2)

    async def test() -> None:
        async with open_core(tmp_path) as core:
            for number in range(9):
                await core.call(ops.SetValue(UUID(int=number), VALUE, ephemeral=True))
            peer = await opened(core, "rw")
            turns = 0

            async def take_turns() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            other = asyncio.ensure_future(take_turns())
            reply = await peer.call(Procedure.CONNECT_LIST_ALL_SECRETS, xdr.int32(1) + xdr.uint32(0))
            other.cancel()
            assert reply[:4] == xdr.uint32(9)
            assert turns >= 4

    run(test())


def test_a_list_waits_for_those_of_its_own_uid_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(OWNER, uid=OWNER.uid + 1)
    under_way, go_on = asyncio.Event(), asyncio.Event()
    begun: list[int] = []

    async def test() -> None:
        async with open_core(tmp_path, lambda *_: True) as core:
            host = host_of(core)
            peers = [Peer(host), Peer(host), Peer(host, other)]
            for peer in peers:
                await peer.open()
            really = core.service.call

            async def call(caller: Caller, *arguments: object) -> object:
                begun.append(caller.uid)
                if caller == OWNER:
                    under_way.set()
                    await go_on.wait()
                return await really(caller, *arguments)  # type: ignore[arg-type]  # passed on

            monkeypatch.setattr(core.service, "call", call)
            lists = [asyncio.ensure_future(peer.call(Procedure.CONNECT_LIST_SECRETS, xdr.int32(9))) for peer in peers]
            await under_way.wait()
            await lists[-1]
            assert begun == [OWNER.uid, other.uid]
            go_on.set()
            await asyncio.gather(*lists)
            assert begun == [OWNER.uid, other.uid, OWNER.uid]

    run(test())


def test_who_finds_no_place_is_told_in_the_reply_to_his_first_call(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            answer = Peer(host_of(core)).session.refuse(BusyError("too many connections"))
            (reply,) = packets(bytes(answer.rest))
            assert (reply.procedure, reply.serial) == (Procedure.AUTH_LIST, 0)
            refused = refusal(reply)
            assert (refused.code, refused.message) == (87, "too many connections")

    run(test())


@pytest.mark.parametrize("kind", WIRE_ERRORS.values(), ids=WIRE_ERRORS)
def test_every_error_is_written_as_its_class_says(kind: type[SecretdError]) -> None:
    refused = refusal(Packet(PROGRAM, VERSION, 1, Kind.REPLY, 0, Status.ERROR, error_body(kind("what went wrong"))))
    assert (refused.code, refused.domain, refused.level) == (kind.libvirt_code, kind.libvirt_domain, 2)
    assert refused.message == "what went wrong"


def test_an_error_of_libvirts_own_is_written_as_it_says() -> None:
    error = LibvirtError(LibvirtCode.XML_DETAIL, LibvirtDomain.SECRET, "line 1")
    refused = refusal(Packet(PROGRAM, VERSION, 1, Kind.REPLY, 0, Status.ERROR, error_body(error)))
    assert (refused.code, refused.domain, refused.level, refused.message) == (35, 30, 2, "line 1")


def test_a_system_daemon_has_its_own_uri(tmp_path: Path) -> None:
    async def test() -> None:
        async with open_core(tmp_path) as core:
            peer = Peer(host_of(core, Mode.SYSTEM))
            with pytest.raises(Refused):
                await peer.open(URI)
            await peer.open(b"secret:///system?socket=/run/x")
            assert await peer.call(Procedure.CONNECT_GET_URI) == xdr.string("secret:///system?socket=/run/x")

    run(test())
