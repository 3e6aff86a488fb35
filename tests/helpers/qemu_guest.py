"""A guest of libvirt's QEMU driver: a program for Debian's python3, ``qemu_guest.py ROOT DOCUMENT``.

It starts the guest, paused, writes what that came to as ``helpers.libvirt_worker`` does, with libvirt's own message
beside an error, and ends the guest.

The driver runs in this process (libvirt's embedded mode, with ROOT for all its files) and asks for a secret as it does
in virtqemud: at virtsecretd's own socket, as whom it acts for, and with the system token.  For whom it acts virtqemud
says before each call; so does this program, by the same function of libvirt's, which its binding does not have.

Why in no daemon: Debian has no virtqemud, and libvirtd looks for secrets nowhere but in itself.
"""

from __future__ import annotations

import ctypes
import json
import sys
import threading
from typing import Any

import libvirt  # type: ignore[import-not-found]  # Debian's, which is not in any venv


def _act_for_this_process() -> None:
    library = ctypes.CDLL("libvirt.so.0")
    library.virIdentityGetSystem.restype = ctypes.c_void_p
    identity = library.virIdentityGetSystem()
    if identity is None or library.virIdentitySetCurrent(ctypes.c_void_p(identity)) < 0:
        raise SystemExit("libvirt does not say whom it acts for")


def _start(root: str, document: str) -> dict[str, Any]:
    connection = libvirt.open(f"qemu:///embed?root={root}")
    _act_for_this_process()
    try:
        guest = connection.createXML(document, libvirt.VIR_DOMAIN_START_PAUSED)
    except libvirt.libvirtError as error:
        refused = [error.get_error_code(), error.get_error_domain(), error.get_error_level()]
        return {"error": refused, "message": error.get_error_message()}
    try:
        capacity, _, _ = guest.blockInfo("vda")
        return {"result": {"paused": guest.state()[0] == libvirt.VIR_DOMAIN_PAUSED, "disk_bytes": capacity}}
    finally:
        guest.destroy()


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def main() -> None:
    """Start a guest and end it."""
    _, root, document = sys.argv
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_run_events, daemon=True).start()
    sys.stdout.write(json.dumps(_start(root, document)))


if __name__ == "__main__":
    main()
