"""Which system service a process belongs to, by its control group.

Only root makes control groups below a slice of the system's, so what is read there is systemd's word.  Below
user.slice users make what they like, and so may a service below its own group: it is the first service on the way
down that counts.  A name is compared as the group spells it; nothing is unescaped.

Source: cgroups(7), "/proc/[pid]/cgroup"; systemd, "Control Group APIs and Delegation"; systemd.unit(5) for names.
"""

from __future__ import annotations

import re
from pathlib import Path

from secretd.model import Unit

_RUNS = Path("/run/systemd/units")
"""Where systemd tells the invocation of each unit, as the target of a link."""

_SERVICE = re.compile(
    r"^0::/"  # of the one hierarchy of cgroup v2; paths of the others are not looked at
    r"(?:(?!user\.slice/)[^/\n]+\.slice/)+"
    r"([A-Za-z0-9:_.\\@-]{1,247}\.service)(?:/.*)?$",
    re.MULTILINE,
)
_INVOCATION = re.compile("[0-9a-f]{32}")


def unit_of(process: Path) -> Unit | None:
    """Say which system service a process belongs to.

    Args:
        process: its directory below /proc.

    Raises:
        OSError: it has none.
    """
    name = service_in((process / "cgroup").read_text(errors="surrogateescape"))
    return Unit(name, _invocation_of(name)) if name else None


def service_in(control_groups: str) -> str | None:
    """Find the name of the service in the lines that /proc has of a process's control groups."""
    found = _SERVICE.search(control_groups)
    return found[1] if found else None


def _invocation_of(name: str) -> str | None:
    try:
        told = str((_RUNS / f"invocation:{name}").readlink())
    except OSError:
        return None
    return told if _INVOCATION.fullmatch(told) else None
