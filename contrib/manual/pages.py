"""The four pages of the manual: secretctl(1), secretd.toml(5), secretd-grants(7), secretd(8).

Options, commands and settings come from the tables that the programs themselves read, the prose from docs/.  A
setting that one of them has and the other does not is an error.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from manual.roff import inline, roff, sections_of, tagged
from secretd import __version__
from secretd.cli.invocation import SHARED
from secretd.cli.main import secretctl
from secretd.daemon import main as daemon
from secretd.daemon.config import SETTINGS

_DOCS = Path(__file__).resolve().parents[2] / "docs"

# The day of the release that the pages belong to.
_DATE = "2026-11-22"

_NOT_IN_THE_MANUAL = ("", "Commands", "The manual", "Differences from virsh")
"""The sections of docs/secretctl.md that come from the table of commands instead, or are for readers of the web."""


def secretctl_page() -> str:
    """Render secretctl(1)."""
    sections = sections_of(_read("secretctl.md"))
    return _page(
        "secretctl",
        1,
        "ask a secretd daemon from the command line",
        {
            "Synopsis": f"{_bold('secretctl')} [{_bold('OPTIONS')}] [{_bold('COMMAND')} [{_bold('ARGUMENTS')}]]\n",
            "Description": roff(_first_paragraph(sections[""])),
            "Options": _options(secretctl, secretctl.get_params(_context(secretctl))),
            "Commands": roff(sections["Commands"].split("\n### ")[0]) + "".join(map(_command, _commands())),
            **{name: roff(text) for name, text in sections.items() if name not in _NOT_IN_THE_MANUAL},
            "See also": _see_also("secretd.toml(5)", "secretd-grants(7)", "secretd(8)", "virsh(1)"),
        },
    )


def secretd_page() -> str:
    """Render secretd(8)."""
    sections = sections_of(_read("secretd.md"))
    # argparse has no other way to say what it was told.
    parser = daemon._parser()
    usage = parser.format_usage().removeprefix("usage: secretd")
    return _page(
        "secretd",
        8,
        "the secrets daemon of a virtualisation host",
        {
            "Synopsis": f"{_bold('secretd')} {inline(' '.join(usage.split()))}\n",
            "Description": roff(_first_paragraph(sections[""])),
            "Options": "".join(tagged(_called(action), _sentence(action.help)) for action in parser._actions),
            **{name: roff(text) for name, text in sections.items() if name},
            "See also": _see_also("secretctl(1)", "secretd.toml(5)", "systemd.exec(5)", "secretd-grants(7)"),
        },
    )


def configuration_page() -> str:
    """Render secretd.toml(5).

    Raises:
        ValueError: docs/configuration.md and the daemon's table do not have the same settings.
    """
    sections = sections_of(_read("configuration.md"))
    before, table, after = re.split(r"((?:^\|.*\n)+)", sections[""], maxsplit=1, flags=re.MULTILINE)
    settings = tuple(re.findall(r"^\| `([a-z.-]+)` \|", table, re.MULTILINE))
    if settings != SETTINGS:
        raise ValueError(f"docs/configuration.md has not the settings of the daemon: {set(settings) ^ set(SETTINGS)}")
    return _page(
        "secretd.toml",
        5,
        "the configuration of secretd",
        {
            "Description": roff(before),
            "Settings": roff(table),
            "Example": roff(after),
            **{name: roff(text) for name, text in sections.items() if name},
            "See also": _see_also("secretctl(1)", "systemd-creds(1)", "secretd(8)"),
        },
    )


def grants_page() -> str:
    """Render secretd-grants(7)."""
    sections = sections_of(_read("access.md"))
    return _page(
        "secretd-grants",
        7,
        "who may do what in a secretd daemon",
        {
            "Description": roff(sections[""]),
            **{name: roff(text) for name, text in sections.items() if name},
            "See also": _see_also("secretctl(1)", "secretd(8)"),
        },
    )


def _page(name: str, section: int, about: str, parts: dict[str, str]) -> str:
    head = (
        '.\\" Made by contrib/man: not to be edited.\n'
        f'.TH {name.upper()} {section} {_DATE} "secretd {__version__}"\n'
        f".SH NAME\n{inline(name)} \\- {inline(about)}\n"
    )
    return head + "".join(f".SH {title.upper()}\n{_opened(text)}" for title, text in parts.items())


def _opened(text: str) -> str:
    # A heading begins a paragraph by itself.
    return text.removeprefix(".PP\n") if not text.startswith(".PP\n.RS") else text


def _read(name: str) -> str:
    return (_DOCS / name).read_text(encoding="utf-8")


def _first_paragraph(text: str) -> str:
    return text.split("\n\n")[1]


def _commands() -> list[tuple[str, click.Command]]:
    return sorted(secretctl.commands.items())


def _command(named: tuple[str, click.Command]) -> str:
    name, command = named
    usage = " ".join(command.collect_usage_pieces(_context(command)))
    # What they share is said of all together, as --help is.
    own = [param for param in command.params if param.name not in SHARED]
    return f".SS {_bold(name)} {inline(usage)}\n{_opened(roff(command.help or ''))}{_options(command, own)}"


def _options(command: click.Command, params: Iterable[click.Parameter]) -> str:
    options = [param for param in params if isinstance(param, click.Option)]
    records = [option.get_help_record(_context(command)) for option in options]
    return "".join(tagged(f"`{spelling}`", text) for spelling, text in filter(None, records))


def _context(command: click.Command) -> click.Context:
    return click.Context(command, **secretctl.context_settings)


def _called(action: argparse.Action) -> str:
    return f"`{', '.join(action.option_strings)}`" + (f" {action.metavar}" if action.metavar else "")


def _sentence(text: str | None) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _bold(text: str) -> str:
    return inline(f"`{text}`")


def _see_also(*pages: str) -> str:
    return ",\n".join(f"{_bold(page[:-3])}{page[-3:]}" for page in pages) + "\n"


MANUAL: dict[str, Callable[[], str]] = {
    "docs/man/secretctl.1": secretctl_page,
    "docs/man/secretd.toml.5": configuration_page,
    "docs/man/secretd-grants.7": grants_page,
    "docs/man/secretd.8": secretd_page,
}
"""Each page by its file."""
