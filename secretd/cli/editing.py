"""Typing a line: editing, completion and history by readline, of the standard library.

Values are not typed here but where they are not shown (inputs.read_typed), so readline never has one, unless it
was typed where none belongs.
"""

from __future__ import annotations

import readline
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

from click.shell_completion import CompletionItem, split_arg_string

from secretd.cli import colours
from secretd.cli.history import History

_PROMPT = "secretctl> "
_REMEMBERED_S = 5.0


class LineEditor:
    """Reads lines from the terminal.

    Args:
        complete: says what the last word of a line may become.
        history: where lines are kept; None to keep them for the life of this editor alone.
    """

    def __init__(self, complete: Callable[[str], list[CompletionItem[str]]], history: History | None) -> None:
        self._complete = complete
        self._history = history
        self._completed: tuple[str, float, list[str]] = ("", 0.0, [])
        readline.set_auto_history(False)
        readline.set_completer_delims(" \t")
        readline.set_completer(self._candidate)
        # libedit, which some builds of Python have instead, has a language of its own.
        libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
        for line in history.lines() if history else ():
            readline.add_history(line)

    def read(self) -> str:
        """Read a line.

        Raises:
            EOFError: there is no more (Ctrl-D).
            KeyboardInterrupt: the line was given up (Ctrl-C).
        """
        return input(colours.prompt(_PROMPT, sys.stdout))

    def keep(self, line: str) -> None:
        """Remember a line, unless it is the one before again."""
        newest = readline.get_history_item(readline.get_current_history_length())
        if not line or line == newest:
            return
        readline.add_history(line)
        try:
            if self._history:
                self._history.add(line)
        except OSError:
            # Nobody wants to be told so after every line.
            self._history = None

    def _candidate(self, word: str, number: int) -> str | None:
        """Give what readline asks for one by one, as rl_completion_matches of it says."""
        line = readline.get_line_buffer()[: readline.get_endidx()]
        # To readline a word begins at a blank, even at one that is quoted: what it replaces is then only a part.
        whole = not word or split_arg_string(line)[-1] in split_arg_string(word)
        candidates = self._candidates(line) if whole else []
        return candidates[number] if number < len(candidates) else None

    def _candidates(self, line: str) -> list[str]:
        before, until, candidates = self._completed
        if line != before or time.monotonic() > until:
            candidates = _spelt(self._complete(line))
            self._completed = (line, time.monotonic() + _REMEMBERED_S, candidates)
        return candidates


def _spelt(items: list[CompletionItem[str]]) -> list[str]:
    words = [word for item in items for word in (_files(item.value) if item.type in ("file", "dir") else [item.value])]
    spelt = [shlex.quote(word) for word in words]
    # Of one that stands alone nothing is left to type, unless it is a directory.
    return [f"{spelt[0]} "] if len(spelt) == 1 and not words[0].endswith("/") else spelt


def _files(begun: str) -> list[str]:
    """List the files whose names begin so, a directory with a slash at its end."""
    directory, slash, start = begun.rpartition("/")
    try:
        found = sorted(path for path in Path(directory + slash).iterdir() if path.name.startswith(start))
    except OSError:
        return []
    return [f"{directory}{slash}{path.name}{'/' if path.is_dir() else ''}" for path in found]
