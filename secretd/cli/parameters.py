"""The kinds of argument that commands take, and the options that several of them share.

What a person typed is not repeated in an error: it may be a value in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from secretd.addresses import LIBVIRT_SOCKETS, NATIVE
from secretd.errors import InvalidRequestError
from secretd.fields import fields_of
from secretd.keys import KeyId, key_id_of
from secretd.lifecycle import Reference, ReferenceKind
from secretd.model import Digest, UsageType
from secretd.operations import Reply, Request

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

# As virUUIDParse of libvirt takes it, less the spaces: 32 digits of either case, the dashes optional.
_UUID = re.compile("[0-9a-f]{8}(-?)(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_DIGEST = re.compile("[0-9a-f]{32}")

_FOR_LIBVIRT = {kind.name for kind in LIBVIRT_SOCKETS}


class UuidType(click.ParamType[UUID]):
    """The id of a secret."""

    name = "uuid"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        """Take a UUID in any case, with dashes or without."""
        if not _UUID.fullmatch(str(value)):
            self.fail("this is not a UUID.", param, ctx)
        return UUID(str(value))

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002  # as click calls it
        incomplete: str,
    ) -> list[CompletionItem[str]]:
        """Ask the daemon which ids begin so."""
        from secretd.cli.candidates import ids  # noqa: PLC0415  # only who completes pays for it

        return ids(ctx.obj, incomplete)


class KeyIdType(click.ParamType[KeyId]):
    """The id of a key."""

    name = "key"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> KeyId:
        """Take a UUID in either case, or a name."""
        key = key_id_of(str(value))
        if key is None:
            self.fail("this is no key's id: a UUID, or 3 to 32 letters, digits, '_', '.' and '-'.", param, ctx)
        return key

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002  # as click calls it
        incomplete: str,
    ) -> list[CompletionItem[str]]:
        """Ask the daemon which ids begin so."""
        from secretd.cli.candidates import keys  # noqa: PLC0415  # only who completes pays for it

        return keys(ctx.obj, incomplete)


class ConsumerType(click.ParamType[str]):
    """The name of who needs a key or a secret."""

    name = "consumer"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take what a reference can be named by."""
        try:
            return Reference(str(value), ReferenceKind.ACTIVE).consumer
        except InvalidRequestError as error:
            self.fail(f"{error.message}.", param, ctx)


class PairType(click.ParamType[tuple[str, str]]):
    """A name and a text, with the first ``=`` between them."""

    name = "pair"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Take them apart; the text may be empty, the name may not."""
        name, between, text = str(value).partition("=")
        if not (name and between):
            self.fail("it is a name and a text, as NAME=TEXT.", param, ctx)
        return name, text


class FileType(click.Path):
    """The name of a file, or ``-`` for standard input."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, allow_dash=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take what a file can be named by; in a shell standard input is where the commands come from."""
        if str(value) == "-" and ctx and ctx.obj.kept:
            self.fail("standard input is the shell's own; name a file.", param, ctx)
        return super().convert(value, param, ctx)


class SocketType(click.ParamType[Path]):
    """The path of a daemon's socket."""

    name = "socket"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Take a path, but no URI, which is what virsh has by the name of -c, and no socket of libvirt's protocol."""
        if not value:
            self.fail("it is the path of a daemon's socket.", param, ctx)
        if "://" in str(value):
            self.fail("this is a URI, as virsh takes it; here it is the path of a daemon's socket.", param, ctx)
        path = Path(str(value))
        if path.name in _FOR_LIBVIRT:
            self.fail(f"that one is for libvirt's clients; secretctl's own is named {NATIVE.name}.", param, ctx)
        return path


class DigestType(click.ParamType[Digest]):
    """The digest of a secret or a key."""

    name = "digest"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Digest:
        """Take a digest as --json shows it."""
        if not _DIGEST.fullmatch(str(value)):
            self.fail("this is not a digest: 32 hex digits, as --json shows them.", param, ctx)
        return Digest(str(value))


class NamedArgument(click.Argument):
    """An argument that may be given by its name instead, as virsh takes them: ``--secret ID``."""

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Take what was given by name; what stands in the argument's place is then one argument too many."""
        by_name = opts.get(_by_name(self.name))
        if by_name is None:
            return super().handle_parse_result(ctx, opts, args)
        surplus = [] if self.value_is_missing(opts[self.name]) else [opts[self.name]]
        return super().handle_parse_result(ctx, {**opts, self.name: by_name}, [*surplus, *args])


def named_argument(name: str, **settings: Any) -> Callable[[_Decorated], _Decorated]:
    """Make an argument that may be given by its name too.

    Args:
        name: the argument's, and that of the option less its dashes.
        settings: as click.Argument takes them, with its type.
    """

    def decorate(function: _Decorated) -> _Decorated:
        # Without the type, which would name the option and not the argument in what it says of a wrong word.
        complete = settings["type"].shell_complete
        option = click.option(f"--{name}", _by_name(name), hidden=True, expose_value=False, shell_complete=complete)
        return option(click.argument(name, cls=NamedArgument, **settings)(function))

    return decorate


def _by_name(name: str) -> str:
    return f"{name}_by_name"


def field_option(request: type[Request[Reply]], name: str, **settings: Any) -> Callable[[_Decorated], _Decorated]:
    """Make the option that stands for a field of a request; its name and its help are the table's.

    Args:
        request: what the command asks of the daemon.
        name: the field's, in Python.
        settings: as click.Option takes them.
    """
    field = next(field for field in fields_of(request) if field.name == name)
    return click.option(f"--{field.xml_name}", help=as_sentence(field.help.text), **settings)


def digest_option(request: type[Request[Reply]]) -> Callable[[_Decorated], _Decorated]:
    """Make the option that ties a change to the digest of what is to be changed."""
    return field_option(request, "digest", metavar="DIGEST", type=DigestType())


def as_sentence(text: str) -> str:
    """Write a field's help as options have theirs."""
    return f"{text[0].upper()}{text[1:]}."


@contextmanager
def on_the_command_line(parameter: str) -> Iterator[None]:
    """Say of a text that no document or request can hold which parameter it came from.

    Raises:
        click.BadParameter: instead of InvalidRequestError, as there is no document that could be mended.
    """
    try:
        yield
    except InvalidRequestError as error:
        raise click.BadParameter(f"{error.message}.", param_hint=parameter) from None


ID: dict[str, Any] = {"metavar": "ID", "type": UuidType()}
"""The settings of what names a secret."""

KEY: dict[str, Any] = {"metavar": "ID", "type": KeyIdType()}
"""The settings of what names a key."""

PAIR: dict[str, Any] = {"metavar": "NAME=TEXT", "type": PairType(), "multiple": True}
"""The settings of an option that may be repeated, each time with another name."""

FILE: dict[str, Any] = {"metavar": "FILE", "type": FileType()}
"""The settings of what names a file, or standard input."""

consumer_argument = named_argument("consumer", metavar="CONSUMER", type=ConsumerType())

key_argument = click.argument("key", **KEY)

secret_argument = named_argument("secret", **ID)

USAGE_TYPES = {usage.value: usage for usage in UsageType if usage is not UsageType.NONE}
"""The usage types that have an id, by the names that are typed."""
