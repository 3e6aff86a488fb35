"""The remote program's procedures of other drivers: who asks a secret daemon for one is told that it has none.

Source: libvirt 12.8, src/remote/remote_protocol.x; the error domain of each was seen at its daemon.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from secretd.errors import LibvirtDomain
from secretd.wire.libvirt_procedures import Procedure

Ranges = tuple[tuple[int, int], ...]
"""First and last of each."""

_NEWEST: Final = 456

_NO_CALLS: Final[Ranges] = (
    (0, 0),
    (107, 107),
    (169, 173),
    (195, 195),
    (224, 224),
    (241, 241),
    (248, 248),
    (268, 270),
    (276, 276),
    (292, 292),
    (311, 311),
    (315, 315),
    (318, 333),
    (339, 339),
    (346, 346),
    (348, 348),
    (354, 354),
    (359, 359),
    (362, 363),
    (367, 367),
    (370, 370),
    (373, 373),
    (376, 377),
    (379, 379),
    (382, 383),
    (385, 385),
    (423, 423),
    (438, 438),
    (446, 446),
    (453, 455),
)
"""Numbers of events, and of nothing."""

_DOMAINS: Final[Mapping[LibvirtDomain, Ranges]] = {
    LibvirtDomain.STORAGE: (
        (71, 100),
        (125, 125),
        (165, 165),
        (208, 209),
        (259, 260),
        (281, 282),
        (368, 368),
        (391, 391),
        (403, 403),
    ),
    LibvirtDomain.NETWORK: (
        (36, 36),
        (38, 50),
        (52, 52),
        (283, 283),
        (291, 291),
        (313, 313),
        (341, 341),
        (404, 410),
        (432, 432),
        (437, 437),
        (444, 445),
    ),
    LibvirtDomain.NODEDEV: (
        (111, 120),
        (123, 124),
        (285, 285),
        (297, 297),
        (301, 301),
        (374, 374),
        (378, 378),
        (428, 430),
        (433, 436),
        (447, 447),
    ),
    LibvirtDomain.INTERFACE: ((126, 134), (137, 138), (220, 222), (284, 284)),
    LibvirtDomain.NWFILTER: ((175, 181), (286, 286), (397, 401), (431, 431)),
    LibvirtDomain.DOMAIN_SNAPSHOT: ((185, 193), (244, 244), (246, 247), (271, 272), (274, 275)),
    LibvirtDomain.DOMAIN_CHECKPOINT: ((411, 417),),
}
"""Whose a procedure is; all others are of domains."""


def _in(ranges: Ranges) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)


def _foreign() -> Iterator[tuple[int, LibvirtDomain]]:
    ours = {*map(int, Procedure), *_in(_NO_CALLS)}
    yield from ((number, LibvirtDomain.DOMAIN) for number in range(_NEWEST + 1) if number not in ours)
    for domain, ranges in _DOMAINS.items():
        yield from ((number, domain) for number in _in(ranges))


FOREIGN: Final[Mapping[int, LibvirtDomain]] = dict(_foreign())
"""The error domain of each procedure of another driver."""
