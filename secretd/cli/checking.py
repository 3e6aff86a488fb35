"""The commands about the store: check it, and accept what it lost."""

from __future__ import annotations

from secretd.cli import output
from secretd.cli.invocation import Invocation, command
from secretd.errors import StoreCorruptError
from secretd.storerequests import Check, StoreAccept

_CHECK_SECONDS = 86_400.0
"""A check takes as long as the store is large; who gives it up presses Ctrl-C."""


@command("check", "check", short_help="Open every record, and say what is wrong.")
def check(invocation: Invocation) -> None:
    """Check every record; what was found is said before it is called an error."""
    with invocation.working("Checking every record"):
        reply = invocation.call(Check(), timeout_s=_CHECK_SECONDS)
    invocation.show(reply, lambda: output.fields_table(reply) + output.records_table(reply.problems))
    if reply.found:
        raise StoreCorruptError(f"the store is damaged: problems found: {reply.found}")


@command("store-accept", "store-accept", short_help="Take a store as it is that lost changes.")
def store_accept(invocation: Invocation) -> None:
    """Accept a loss."""
    with invocation.working("Checking every record"):
        reply = invocation.call(StoreAccept(), timeout_s=_CHECK_SECONDS)
    invocation.confirm(reply, f"The store is taken as it is, at revision {reply.revision}")
