"""libvirt's calls about secrets: from decoded arguments to the body of the reply.

Each checks in libvirt's order: read-only, what the arguments alone say, then the permission, then a document, and then
the secret.

Source: docs/libvirt.md, "Calls"; libvirt's daemon, 12.8, as it answers.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final
from uuid import UUID

from secretd import limits
from secretd import operations as ops
from secretd.documents.libvirt_secret import read_libvirt_secret
from secretd.documents.secret import write_secret
from secretd.doors.libvirt_callbacks import secret_ref
from secretd.doors.libvirt_connection import LibvirtConnection
from secretd.doors.libvirt_errors import internal_error, invalid_argument, refuse_flags, rpc_error
from secretd.doors.libvirt_pages import WriteEntry
from secretd.errors import (
    InvalidDocumentError,
    LibvirtDomain,
    LibvirtError,
    NotFoundError,
    OperationInvalidError,
    SecretdError,
    WrongStateError,
)
from secretd.model import Permission, SecretValue, Usage
from secretd.wire import libvirt_bodies as bodies
from secretd.wire.libvirt_procedures import USAGE_TYPES, DefineFlag, ListFlag

_NOTHING: Final = b""
_LIST_FLAGS: Final = int(ListFlag.EPHEMERAL | ListFlag.NO_EPHEMERAL | ListFlag.PRIVATE | ListFlag.NO_PRIVATE)


async def num_of_secrets(connection: LibvirtConnection, _: None) -> bytes:
    """Count the secrets."""
    return bodies.int_reply((await connection.call(ops.Count())).secrets)


async def list_secrets(connection: LibvirtConnection, most: int) -> bytes:
    """Give the ids of secrets, and at most so many."""
    if most < 0:
        raise rpc_error("a number of ids is not negative")
    if most > limits.LIBVIRT_LISTED_SECRETS:
        raise rpc_error(f"at most {limits.LIBVIRT_LISTED_SECRETS} ids can be asked for")
    connection.admit(Permission.SEARCH)
    return bodies.strings_reply(*await _listed(connection, ops.List(), most, _id))


async def list_all_secrets(connection: LibvirtConnection, arguments: tuple[int, int]) -> bytes:
    """Give the secrets that pass the filters, or only how many they are."""
    need_results, flags = arguments
    refuse_flags(flags, _LIST_FLAGS)
    ephemeral = _wanted(flags, ListFlag.EPHEMERAL, ListFlag.NO_EPHEMERAL)
    private = _wanted(flags, ListFlag.PRIVATE, ListFlag.NO_PRIVATE)
    if not need_results:
        counted = (await connection.call(ops.Count(ephemeral, private))).secrets
        if counted > limits.LIBVIRT_LISTED_SECRETS:
            raise _too_many()
        return bodies.secrets_reply([], 0, counted)
    page = ops.List(ephemeral=ephemeral, private=private)
    refs, number = await _listed(connection, page, limits.LIBVIRT_LISTED_SECRETS + 1, _ref)
    if number > limits.LIBVIRT_LISTED_SECRETS:
        raise _too_many()
    return bodies.secrets_reply(refs, number, number)


async def lookup_by_uuid(connection: LibvirtConnection, secret: bytes) -> bytes:
    """Find a secret by its id."""
    found = await connection.call(ops.LookupById(UUID(bytes=secret)))
    return secret_ref(found.secret, found.usage)


async def lookup_by_usage(connection: LibvirtConnection, arguments: tuple[int, bytes]) -> bytes:
    """Find a secret by what it is for."""
    number, usage_id = arguments
    connection.admit(Permission.GETATTR)
    usage = _usage(number, usage_id)
    found = await connection.call(ops.LookupByUsage(usage))
    return secret_ref(found.secret, usage)


async def define_xml(connection: LibvirtConnection, arguments: tuple[bytes, int]) -> bytes:
    """Define a secret, or describe one anew."""
    document, flags = arguments
    connection.require_writable()
    refuse_flags(flags, DefineFlag.VALIDATE)
    connection.admit(Permission.APPEND)
    unknown = connection.host.unknown_names(connection.caller.uid)
    wanted = read_libvirt_secret(document, unknown, validate=bool(flags & DefineFlag.VALIDATE))
    try:
        changed = await connection.call(ops.Define(wanted))
    except WrongStateError:
        raise  # libvirt knows no such states, and so says nothing else of them: operation invalid it is
    except OperationInvalidError as error:
        raise internal_error(error.message, LibvirtDomain.SECRET) from None
    return secret_ref(changed.secret, wanted.attributes.usage)


async def get_xml_desc(connection: LibvirtConnection, arguments: tuple[bytes, int]) -> bytes:
    """Give what is said of a secret."""
    secret, flags = arguments
    refuse_flags(flags)
    found = await connection.call(ops.GetXml(UUID(bytes=secret)))
    return bodies.string_reply(write_secret(found.document).encode())


async def set_value(connection: LibvirtConnection, arguments: tuple[bytes, bytes, int]) -> bytes:
    """Set the value of a secret that is there."""
    secret, value, flags = arguments
    connection.require_writable()
    if not value:
        raise invalid_argument("a value may not be empty")
    refuse_flags(flags)
    await connection.call(ops.SetValue(UUID(bytes=secret), SecretValue(value), create=False))
    return _NOTHING


async def get_value(connection: LibvirtConnection, arguments: tuple[bytes, int]) -> bytes:
    """Reveal the value of a secret."""
    secret, flags = arguments
    connection.require_writable()
    refuse_flags(flags)
    got = await connection.call(ops.GetValue(UUID(bytes=secret)))
    return bodies.opaque_reply(got.value.reveal())


async def undefine(connection: LibvirtConnection, secret: bytes) -> bytes:
    """Delete a secret."""
    connection.require_writable()
    await connection.call(ops.Delete(UUID(bytes=secret)))
    return _NOTHING


async def event_register_any(connection: LibvirtConnection, arguments: tuple[int, bytes | None]) -> bytes:
    """Register for events."""
    event_id, secret = arguments
    connection.admit(Permission.SEARCH)
    number = connection.callbacks.register(event_id, UUID(bytes=secret) if secret is not None else None)
    try:
        # To all secrets, whatever is registered: who wants to be told of which is looked at when it is told.
        await connection.call(ops.Subscribe())
    except SecretdError:
        connection.callbacks.deregister(number)
        raise
    return bodies.int_reply(number)


async def event_deregister_any(connection: LibvirtConnection, number: int) -> bytes:
    """End a registration."""
    connection.callbacks.deregister(number)
    if not connection.callbacks.any:
        connection.hear_no_more()
    return _NOTHING


async def _listed(
    connection: LibvirtConnection, page: ops.List, most: int, write: WriteEntry
) -> tuple[list[bytes], int]:
    """Write the pages of a list, of at most so many secrets, and say how many; others have their turn between pages."""
    written: list[bytes] = []
    number = 0
    async with connection.host.listing.of(connection.caller.uid):
        connection.require_reader()
        while number < most:
            limit = min(most - number, limits.PAGE_ENTRIES)
            listed = await connection.call(replace(page, limit=limit))
            written.append(connection.host.pages.write(listed, write))
            number += len(listed.entries)
            if not listed.truncated:
                break
            page = replace(page, marker=listed.next_marker)
            # A list of secrets in memory never waits by itself.
            await asyncio.sleep(0)
    return written, number


def _id(entry: ops.Entry) -> bytes:
    return bodies.string_reply(str(entry.secret))


def _ref(entry: ops.Entry) -> bytes:
    return secret_ref(entry.secret, entry.usage)


def _too_many() -> LibvirtError:
    return internal_error(f"there are more than {limits.LIBVIRT_LISTED_SECRETS} secrets, which no reply can hold")


def _wanted(flags: int, those: int, others: int) -> bool | None:
    """Read a pair of filters: both together, or neither, let all pass."""
    wants_those, wants_others = bool(flags & those), bool(flags & others)
    return None if wants_those == wants_others else wants_those


def _usage(number: int, usage_id: bytes) -> Usage:
    kind = USAGE_TYPES.get(number)
    try:
        if kind is not None:
            return Usage(kind, usage_id.decode())
    except (InvalidDocumentError, UnicodeDecodeError):
        pass  # no secret can have a usage that cannot be written
    raise NotFoundError("no secret has this usage")
