"""Finding a command by its name, and saying which one was perhaps meant by a name that none has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

_VERBS: Mapping[str, Mapping[tuple[str, ...], tuple[str, ...]]] = {
    "secret": {
        ("delete", "remove", "rm"): ("secret-undefine",),
        ("add", "create", "new"): ("secret-define", "secret-allocate"),
        ("cat", "dump", "show"): ("secret-dumpxml", "secret-get-value"),
        ("get", "read"): ("secret-get-value", "secret-dumpxml"),
        ("set", "write"): ("secret-set-value", "secret-set-xml"),
        ("find", "search"): ("secret-lookup",),
        ("ls",): ("secret-list",),
        ("events", "watch"): ("secret-event",),
    },
    "grant": {
        ("delete", "revoke", "rm", "undefine"): ("grant-remove",),
        ("create", "define", "new", "set"): ("grant-add",),
        ("dumpxml", "get", "info"): ("grant-show",),
        ("ls",): ("grant-list",),
    },
    "key": {
        ("destroy", "remove", "rm", "undefine"): ("key-schedule-deletion", "key-delete"),
        ("add", "allocate", "define", "generate", "new"): ("key-create",),
        ("dumpxml", "get", "info", "show"): ("key-describe",),
        ("edit", "set", "set-xml"): ("key-update",),
        ("ls",): ("key-list",),
        ("unarchive",): ("key-restore",),
    },
    "data-key": {
        ("create", "new"): ("data-key-generate",),
        ("decrypt", "get", "open"): ("decrypt",),
    },
}

MEANT: Mapping[str, Sequence[str]] = {
    f"{noun}-{verb}": commands
    for noun, of_noun in _VERBS.items()
    for verbs, commands in of_noun.items()
    for verb in verbs
}
"""Names that no command has, and which are meant by them; of others those that are spelt nearly alike are named."""


class Commands(click.Group):
    """The commands that there are."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names.

        Raises:
            click.NoSuchCommand: there is none; it says which are like it.
        """
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise self.no_such(ctx, error.command_name) from None

    def no_such(self, ctx: click.Context, name: str) -> click.NoSuchCommand:
        """Say that no command has this name, and which one may be meant."""
        meant = " or ".join(map(repr, MEANT.get(name, ())))
        if meant:
            return click.NoSuchCommand(name, f"No such command {name!r}. (Did you mean {meant}?)", ctx=ctx)
        return click.NoSuchCommand(name, possibilities=self.commands, ctx=ctx)
