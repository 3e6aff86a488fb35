"""The daemon's sockets for libvirt's clients: put somewhere by its configuration, and asked what they allow."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from helpers.daemon import DEADLINE_S
from helpers.libvirt_peer import Refused, flagged, open_body, packets, ref, refusal
from secretd.errors import LibvirtCode
from secretd.model import Mode
from secretd.wire import xdr
from secretd.wire.libvirt import Packet, frame
from secretd.wire.libvirt_procedures import PROGRAM, VERSION, Kind, Procedure, Status

_PRIVATE = UUID("11111111-2222-4333-8444-555555555555")
_DEFINE = xdr.string(f"<secret private='yes'><uuid>{_PRIVATE}</uuid></secret>".encode()) + xdr.uint32(0)


def configure(root: Path, place: str) -> None:
    """Say, before a session's daemon starts below ``root``, where its libvirt sockets are."""
    file = root / "config" / "secretd" / "secretd.toml"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_text(f"[libvirt]\nsockets = '{place}'\n")
    owner = root.stat()
    for made in (file.parent, file):
        os.chown(made, owner.st_uid, owner.st_gid)


def may_define(path: Path, mode: Mode = Mode.SESSION, uid: int | None = None) -> bool:
    """Say whether a socket serves libvirt's clients, and lets a user define secrets."""
    with _opened(path, mode, uid) as client:
        return _may(client, Procedure.SECRET_DEFINE_XML, _DEFINE, LibvirtCode.OPERATION_DENIED)


def may_read_private(path: Path, token: bytes) -> bool:
    """Say whether who shows a token is given the value of a private secret, which is defined here."""
    with _opened(path, Mode.SESSION, None) as client:
        _call(client, Procedure.SECRET_DEFINE_XML, _DEFINE)
        _call(client, Procedure.SECRET_SET_VALUE, ref(_PRIVATE) + xdr.string(b"open sesame") + xdr.uint32(0))
        shown = xdr.uint32(1) + xdr.string(b"system.token") + xdr.int32(7) + xdr.string(token) + xdr.uint32(0)
        _call(client, Procedure.CONNECT_SET_IDENTITY, shown)
        return _may(client, Procedure.SECRET_GET_VALUE, flagged()(_PRIVATE), LibvirtCode.INVALID_SECRET)


@contextmanager
def _opened(path: Path, mode: Mode, uid: int | None) -> Iterator[socket.socket]:
    """Connect, as a user if one is named, and open the URI of this mode."""
    before = os.geteuid()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        os.seteuid(before if uid is None else uid)
        try:
            # The kernel notes who connects when he does.
            client.connect(str(path))
        finally:
            os.seteuid(before)
        _call(client, Procedure.AUTH_LIST)
        _call(client, Procedure.CONNECT_OPEN, open_body(f"secret:///{mode.value}".encode()))
        yield client


def _may(client: socket.socket, procedure: Procedure, body: bytes, otherwise: LibvirtCode) -> bool:
    """Say whether a call succeeds, or is refused for the one reason that is expected."""
    try:
        _call(client, procedure, body)
    except Refused as refused:
        if refused.code != otherwise:
            raise
        return False
    return True


def _call(client: socket.socket, procedure: Procedure, body: bytes = b"") -> Packet:
    """Make a call; give its reply.

    Raises:
        Refused: it was answered by an error.
    """
    client.sendall(frame(PROGRAM, VERSION, procedure, Kind.CALL, 1, Status.OK, body))
    received = b""
    while not (found := packets(received)):
        received += client.recv(65_536) or b"the end, which is no packet"
    if found[0].status == Status.ERROR:
        raise refusal(found[0])
    return found[0]
