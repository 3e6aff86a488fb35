"""Completion by bash, zsh and fish: the code that they source, and the answers that it asks secretctl for.

click brings such code, and is not taken at its word for three reasons: it hands over the line where all users can read
it, among env's arguments; bash breaks words at colons, which usages have; and what goes wrong would be written into
the line.  Here the line goes in by standard input, up to the cursor, and what may stand there comes out as
completing.answer_lines gives it.
"""

from __future__ import annotations

import sys

import click

from secretd.cli.output import write_text

_BASH = """\
_secretctl() {
    local type word
    COMPREPLY=()
    while IFS=$'\\t' read -r type word _; do
        case $type in
        file) compopt -o default ;;
        plain) COMPREPLY+=("$word") ;;
        esac
    done < <(printf %s "${COMP_LINE:0:COMP_POINT}" | secretctl completion --answer bash 2>/dev/null)
}
complete -o nosort -F _secretctl secretctl
"""

_ZSH = """\
#compdef secretctl
_secretctl() {
    local type word about
    local -a words_there_are
    while IFS=$'\\t' read -r type word about; do
        case $type in
        file) _files ;;
        plain) words_there_are+=("${word//:/\\\\:}:$about") ;;
        esac
    done < <(printf %s "${words[1,CURRENT-1]} $PREFIX" | secretctl completion --answer zsh 2>/dev/null)
    (($#words_there_are)) && _describe secretctl words_there_are
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _secretctl "$@"
else
    compdef _secretctl secretctl
fi
"""

_FISH = """\
function __secretctl_complete
    for line in (commandline -cp | secretctl completion --answer fish 2>/dev/null)
        set -l part (string split --max 2 \\t -- $line)
        switch $part[1]
            case file
                __fish_complete_path (commandline -ct)
            case plain
                printf '%s\\t%s\\n' $part[2] $part[3]
        end
    end
end
complete --command secretctl --no-files --arguments '(__secretctl_complete)'
"""

SHELLS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
"""What each shell sources."""


@click.command(
    "completion",
    short_help="Print what makes a shell complete.",
    help="Print what makes a shell complete secretctl's commands, options, ids and more.",
)
@click.argument("shell", metavar="SHELL", type=click.Choice(list(SHELLS)))
@click.option("--answer", is_flag=True, hidden=True)
@click.pass_context
def completion(context: click.Context, shell: str, answer: bool) -> None:
    """Print the code for a shell, or what the line on standard input may become."""
    if not answer:
        write_text(SHELLS[shell])
        return
    # Only who completes pays for it.
    from secretd.cli.completing import answer_lines  # noqa: PLC0415

    group = context.find_root().command
    if isinstance(group, click.Group):
        write_text("".join(f"{line}\n" for line in answer_lines(group, context.obj, sys.stdin.read(), shell)))
