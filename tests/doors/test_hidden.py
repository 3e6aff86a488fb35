"""A secret that a caller may not see is answered, byte by byte, as one that is not there.

What is asked here is what a caller would ask who wants to find out.  The two exceptions of docs/access.md, "How a
request is judged", are the only ones: who might make the secret hears that it is there, and who may append sets a value
that nobody set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from helpers.access_calls import (
    BESIDE,
    BEYOND,
    OTHER,
    SECRET,
    STATES,
    USAGE,
    VALUE,
    Door,
    LibvirtDoor,
    NativeDoor,
    become,
    requests_about,
)
from helpers.access_page import ALLOWED, AnyRequest, There
from helpers.asynchronous import run
from helpers.core import OWNER, Core, open_granting_core
from helpers.model_store import ModelStore
from secretd import grantrequests as requests
from secretd import operations as ops
from secretd.grants import OF_SECRETS, EverySecret, Grant, Principal, PrincipalKind, Scope, ThatSecret, UsageLike
from secretd.model import Attributes, Caller, Digest, Permission, SecretDocument, UsageType

ALICE = Caller(uid=OWNER.uid + 1_000, gid=1, pid=1)
WRONG = Digest("0" * 32)
MAKING = (ops.SetXml, ops.Define, ops.SetValue)

HIDDEN: Mapping[str, There] = {
    **{name: there for name, there in STATES.items() if there is not None},
    "ephemeral, without a value": There(Attributes(USAGE, ephemeral=True), has_value=False),
}

_ADDING = frozenset({Permission.APPEND, Permission.SAVE})
_CHANGING = frozenset({Permission.WRITE, Permission.SAVE, Permission.DELETE, Permission.READ, Permission.READ_SECURE})
_EVERYTHING = OF_SECRETS - {Permission.ADMIN}
_TLS, _CEPH = UsageLike(UsageType.TLS), UsageLike(UsageType.CEPH)


@dataclass(frozen=True, slots=True)
class Who:
    """What was granted to a caller who may not see the secret.

    Attributes:
        permissions, scope: what, and where.
        looks: where he may see others, as nearly all who look for one do.
    """

    permissions: frozenset[Permission]
    scope: Scope
    looks: Scope | None = _TLS

    def grants(self) -> Iterator[Grant]:
        principal = Principal(PrincipalKind.USER, ALICE.uid)
        yield Grant("it", None, principal, self.permissions, (self.scope,))
        if self.looks is not None:
            yield Grant("looks", None, principal, _EVERYTHING, (self.looks,))


WHO: Mapping[str, Who] = {
    "everything elsewhere": Who(_EVERYTHING, _TLS),
    "append, elsewhere": Who(_ADDING, _TLS, looks=None),
    "append, by its usage": Who(_ADDING, _CEPH),
    "append, by its id": Who(_ADDING, ThatSecret(SECRET)),
    "append without save, by its id": Who(frozenset({Permission.APPEND}), ThatSecret(SECRET)),
    "append, everywhere": Who(_ADDING, EverySecret()),
    "append, without a usage": Who(_ADDING, UsageLike(UsageType.NONE)),
    "all but to see it, by its usage": Who(_CHANGING, _CEPH),
    "all but to see it, by its id": Who(_CHANGING, ThatSecret(SECRET)),
    "all but to see any": Who(_CHANGING, EverySecret(), looks=None),
}


def probes(door: Door) -> dict[str, AnyRequest]:
    """Make requests about the secret, by which one could find out whether it is there."""
    asked = {name: request for there in HIDDEN.values() for name, request in requests_about(there).items()}
    about_it = {name: request for name, request in asked.items() if _is_about_it(request)}
    document = SecretDocument(Attributes(USAGE), SECRET)
    about_it |= {
        "set-xml with a usage that is taken": ops.SetXml(SECRET, SecretDocument(BESIDE.attributes)),
        "set-xml as private": ops.SetXml(SECRET, SecretDocument(Attributes(BEYOND, private=True))),
        "define with a usage that is taken": ops.Define(SecretDocument(BESIDE.attributes, SECRET)),
    }
    # What libvirt's calls cannot say.
    return (
        about_it
        if door.at_libvirts
        else about_it
        | {
            "set-xml with a digest": ops.SetXml(SECRET, document, WRONG),
            "define with a digest": ops.Define(document, WRONG),
            "set-value with a digest": ops.SetValue(SECRET, VALUE, digest=WRONG),
            "set-value of what is there with a digest": ops.SetValue(SECRET, VALUE, create=False, digest=WRONG),
            "set-value, never on disk": ops.SetValue(SECRET, VALUE, ephemeral=True),
            "set-value of what is there, never on disk": ops.SetValue(SECRET, VALUE, create=False, ephemeral=True),
            "generate-value with a digest": ops.GenerateValue(SECRET, 8, digest=WRONG),
            "delete with a digest": ops.Delete(SECRET, WRONG),
            "subscribe": ops.Subscribe(SECRET),
        }
    )


def _is_about_it(request: AnyRequest) -> bool:
    """Whether a request names the secret, or asks for all: what makes another may find its usage free or not."""
    if isinstance(request, ops.Define):
        return request.document.id is not None
    return not isinstance(request, ops.AllocateId) and getattr(request, "secret", SECRET) == SECRET


async def put(core: Core, there: There | None) -> None:
    """Have the secret in a state, with the other beside it."""
    await become(core, {OTHER: BESIDE} if there is None else {OTHER: BESIDE, SECRET: there})


def sets_first_value(request: AnyRequest, there: There) -> bool:
    """Whether it is the second exception that a request asks for."""
    if not isinstance(request, ops.SetValue | ops.GenerateValue) or there.has_value or request.digest is not None:
        return False
    return there.attributes.ephemeral or not (isinstance(request, ops.SetValue) and request.ephemeral)


async def told_apart(core: Core, door: Door) -> list[str]:
    """Say by which requests a caller can tell a secret that is not there from one that he may not see."""
    found = []
    for said in door.said(probes(door)):
        await put(core, None)
        if_absent = await door.ask(said.message)
        might_make = isinstance(said.request, MAKING) and door.told(if_absent) == ALLOWED
        for state, there in HIDDEN.items():
            await put(core, there)
            answer = await door.ask(said.message)
            if door.told(answer) == ALLOWED and sets_first_value(said.request, there):
                continue
            if door.told(answer) != door.answer_to("conflict") if might_make else answer != if_absent:
                found.append(f"{said.name}, {state}: {answer!r}, and if it were not there {if_absent!r}")
    return found


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("door", [NativeDoor, LibvirtDoor])
def test_hidden_is_like_absent(tmp_path: Path, door: type[NativeDoor | LibvirtDoor], who: str) -> None:
    async def test() -> None:
        async with open_granting_core(tmp_path, await ModelStore.open("")) as core:
            for grant in WHO[who].grants():
                await core.call(requests.GrantAdd(grant))
            connected = door(core, ALICE)
            await connected.open()
            assert await told_apart(core, connected) == []

    run(test())
