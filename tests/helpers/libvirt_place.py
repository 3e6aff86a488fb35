"""The daemon's sockets for libvirt's clients: put somewhere by its configuration, and asked what they allow."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from helpers.daemon import DEADLINE_S
from helpers.libvirt_peer import Refused, open_body, packets, refusal
from secretd.errors import LibvirtCode
from secretd.model import Mode
from secretd.wire import xdr
from secretd.wire.libvirt import Packet, frame
from secretd.wire.libvirt_procedures import PROGRAM, VERSION, Kind, Procedure, Status


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
        try:
            _call(client, Procedure.SECRET_DEFINE_XML, xdr.string(b"<secret/>") + xdr.uint32(0))
        except Refused as refused:
            if refused.code != LibvirtCode.OPERATION_DENIED:
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
