"""The URI a libvirt client opens: which name this daemon, and what libvirt's daemon answers to those that do not.

It is kept in its usual spelling.  How the client found the socket (``?socket=``, ``?mode=``) is none of the daemon's
business: what stands behind the path is kept as it came.

Source: docs/libvirt.md, "Sockets and opening"; libvirt's daemon, 12.8, as it answers.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from secretd import limits
from secretd.doors.libvirt_errors import internal_error, invalid_argument
from secretd.errors import LibvirtCode, LibvirtDomain, LibvirtError
from secretd.model import Mode

_URI: Final = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?"
    r"(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?"
)
"""RFC 3986, appendix B, with the scheme's own characters."""

_ALLOWED: Final = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]++|%[0-9A-Fa-f]{2})*+")
"""RFC 3986, section 2: what a URI may hold."""

_HOST: Final = re.compile(r"(?:[^@]*@)?(?P<host>[^:]*)(?::[0-9]*)?")


def judge_uri(given: bytes | None, mode: Mode) -> str:
    """Give the URI of a connection to this daemon.

    Args:
        given: as the client sent it.
        mode: the daemon's.

    Raises:
        LibvirtError: it is none, or another driver's, host's or mode's.
    """
    if given is None:
        raise internal_error("no URI was given")
    text = given.decode("ascii", "replace")
    if not text:
        raise _no_driver("an empty URI names no driver")
    if len(text) > limits.LIBVIRT_URI_BYTES:
        raise internal_error(f"a URI has at most {limits.LIBVIRT_URI_BYTES} bytes", LibvirtDomain.NONE)
    found = _URI.fullmatch(text)
    if found is None or not _ALLOWED.fullmatch(text) or text.startswith(":"):
        raise internal_error("the URI is not well-formed", LibvirtDomain.URI)
    if found["scheme"] is None:
        raise _no_driver("the URI names no driver")
    _judge_scheme(found["scheme"])
    _judge_host(found["authority"] or "")
    path = unquote(found["path"])
    _judge_path(path, mode)
    return f"secret://{path}{text[found.end('path') :]}"


def _judge_scheme(scheme: str) -> None:
    driver, plus, _ = scheme.partition("+")
    if driver == "secret" and plus:
        raise LibvirtError(
            LibvirtCode.OPERATION_DENIED, LibvirtDomain.RPC, "the daemon goes to no other: leave the transport out"
        )
    if scheme != "secret":
        raise _no_driver("only the driver 'secret' is here")


def _judge_host(authority: str) -> None:
    host = _HOST.fullmatch(authority)
    if host is None or host["host"]:
        raise LibvirtError(LibvirtCode.SYSTEM_ERROR, LibvirtDomain.RPC, "the daemon goes to no other host")


def _judge_path(path: str, mode: Mode) -> None:
    if path == "/embed":
        raise invalid_argument("secrets are not embedded here", LibvirtDomain.URI)
    if path != f"/{mode.value}":
        raise internal_error(f"this daemon is secret:///{mode.value}", LibvirtDomain.NONE)


def _no_driver(message: str) -> LibvirtError:
    return LibvirtError(LibvirtCode.NO_CONNECT, LibvirtDomain.NONE, message)
