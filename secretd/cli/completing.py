"""What the last word of a line may become: by the table of commands, and for ids and usages by the daemon."""

from __future__ import annotations

import shlex

import click
from click.shell_completion import CompletionItem, ShellComplete, split_arg_string

from secretd.cli.invocation import Invocation
from secretd.cli.output import printable


def complete_words(group: click.Group, invocation: Invocation, line: str) -> list[CompletionItem[str]]:
    """Say what the last word of a line may become; a line that ends in a blank begins a new one.

    Args:
        group: the commands there are.
        invocation: what is already known of how to run one.
        line: what was typed up to the cursor, without the program's name.
    """
    words = split_arg_string(line)
    begun = words.pop() if words and not line[-1].isspace() else ""
    return ShellComplete(group, {"obj": invocation}, "", "").get_completions(words, begun)


def answer_lines(group: click.Group, invocation: Invocation, line: str, shell: str) -> list[str]:
    """Say to a shell what may stand at the end of a line.

    Args:
        group: the commands there are.
        invocation: what is known of how to run one, but for what the line says.
        line: as it was typed up to the cursor, with the program's name.
        shell: its name.

    Returns:
        For each word ``plain``, the word and what it means, with tabs between; ``file`` alone where the name of a file
        is to stand, which the shell knows better itself.
    """
    line = line.removesuffix("\n")
    items = complete_words(group, invocation, line.partition(" ")[2])
    if any(item.type in ("file", "dir") for item in items):
        return ["file"]
    about = [printable(item.help or "").replace("\t", " ") for item in items]
    words = [_as_bash_wants(line, item.value) if shell == "bash" else item.value for item in items]
    return [f"plain\t{word}\t{text}" for word, text in zip(words, about, strict=True)]


def _as_bash_wants(line: str, word: str) -> str:
    """Quote a word, and leave out what stands before the place where bash believes it to begin."""
    begun = line.rpartition(" ")[2]
    believed = max(begun.rfind(":"), begun.rfind("=")) + 1
    return shlex.quote(word[believed:] if word.startswith(begun[:believed]) else word)
