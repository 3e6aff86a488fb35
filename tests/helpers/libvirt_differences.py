"""Where secretd answers otherwise than libvirt's daemon, and means to; docs/libvirt.md has the same list.

Documents are no part of it: tests/vectors/libvirt-documents.json says of each what is made of it instead.

Whatever is not here is a fault: of secretd, or of what it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

Answer = Any
"""What a step of a recording is answered, as JSON has it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that secretd does otherwise.

    Attributes:
        cases: the recordings that show it, by patterns of their names.
        libvirt, secretd: what the one and the other does, in words.
        reason: why.
        instead: what secretd answers at the steps that differ, all of it and nothing else.
    """

    cases: tuple[str, ...]
    libvirt: str
    secretd: str
    reason: str
    instead: tuple[Answer, ...]

    @property
    def name(self) -> str:
        """The patterns, as the page has them."""
        return ", ".join(f"`{pattern}`" for pattern in self.cases)

    @property
    def row(self) -> str:
        """The row of the page's table."""
        return f"| {self.name} | {self.libvirt} | {self.secretd} | {self.reason} |"

    def shows_in(self, name: str) -> bool:
        """Tell whether a recording may show it."""
        return any(fnmatchcase(name, pattern) for pattern in self.cases)


_UUID = "00000001-1111-4222-8333-444444444444"


def _error(code: int, domain: int) -> Answer:
    return {"error": [code, domain, 2]}


def _dump(inner: str) -> Answer:
    return {"result": [f"<secret ephemeral='no' private='no'>\n  <uuid>{_UUID}</uuid>\n  {inner}\n</secret>\n"]}


_NOT_OPEN = _error(1, 7)
_NO_SECRET = _error(66, 30)

DIFFERENCES = (
    Difference(
        cases=("a.auth_polkit_sasl_before_list",),
        libvirt="the later steps of SASL with an empty body: it does not decode (39)",
        secretd="authentication failed (45), as for the first step",
        reason="there is no SASL, so nothing reads the body",
        instead=(_error(45, 7),),
    ),
    Difference(
        cases=("a.open.uri.rw.embed_*",),
        libvirt="an embedded driver, refused by its root (1, 67)",
        secretd="refused as an embedded driver without a root is (8)",
        reason="a daemon embeds no driver, whatever the root",
        instead=(_error(8, 45),),
    ),
    Difference(
        cases=("a.open.uri.*.test",),
        libvirt="`test:///default` opens libvirtd's built-in test driver",
        secretd="no such driver (5)",
        reason="that driver is libvirtd's; libvirt's daemon for secrets alone has none either",
        instead=(_error(5, 0), _NOT_OPEN),
    ),
    Difference(
        cases=(
            "a.getters.other_uid",
            "a.getters.uid_without_passwd_entry",
            "a.set_identity.other_uid",
            "a.token.other_uid_right_token",
            "b.get_value.private_*",
            "b.other_uid.everything",
        ),
        libvirt="every user who reaches the socket may do everything",
        secretd="a user who was granted nothing is refused OPEN (88), so no later call finds an open connection (1)",
        reason="nothing is open unless it is granted",
        instead=(_NOT_OPEN,),
    ),
    Difference(
        cases=("g.proc.*", "g.frame.opened.proc_450", "g.frame.opened.event_proc_106_called", "e.legacy_and_other_*"),
        libvirt="a procedure of another driver decodes its body first (39), or checks its arguments (8, 1)",
        secretd="that driver is not supported (3), whatever the body",
        reason="what is not served is not parsed",
        instead=(
            *(_error(3, domain) for domain in (20, 22, 33)),
            *([{"procedure": procedure, "serial": 7, **_error(3, 20)}] for procedure in (106, 450)),
        ),
    ),
    Difference(
        cases=("c.redef.type_change_makes_duplicate_usage",),
        libvirt="a new type of usage may make two secrets of one usage, of which a lookup finds either",
        secretd="refused (1) as any other clash of usages is, and nothing is changed",
        reason="a usage is unique over all secrets; what a lookup finds would be chance",
        instead=(
            _error(1, 30),
            {"result": [[[_UUID, 2, "id-a"], ["00000002-1111-4222-8333-444444444444", 4, "id-a"]], 2]},
            _dump("<usage type='ceph'>\n    <name>id-a</name>\n  </usage>"),
            {"result": [[_UUID, 2, "id-a"]]},
            _NO_SECRET,
        ),
    ),
)


def matching(name: str) -> list[Difference]:
    """Give the differences that a recording may show."""
    return [difference for difference in DIFFERENCES if difference.shows_in(name)]


def expected(name: str, recorded: Iterable[Answer], got: Iterable[Answer]) -> list[Answer]:
    """Give what to expect of secretd in a case: what was recorded, or what secretd does instead if that is meant."""
    instead = [answer for difference in matching(name) for answer in difference.instead]
    return [mine if mine in instead else wanted for wanted, mine in zip(recorded, got, strict=True)]
