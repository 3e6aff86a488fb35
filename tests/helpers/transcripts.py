"""Transcripts: commands, and below each what it must print, as a person would see it.

    $ secretctl --session secret-allocate
    6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40
    $ secretctl --session secret-dumpxml nonsense
    error: ...
    ? 2

A line that begins with ``$`` is a command, with the lines of its here-document.  What follows is its output and
its errors, in the order they come; ``? N`` is its exit status where that is not 0.  A line that begins with ``#``
is a comment, and an empty one stands for nothing.  ``[..]`` stands for anything within a line.

An id or a digest in what is expected is an example.  The first time it stands for whatever is there, from then
on for the same, in commands too; and two examples never stand for the same thing.  One that a command brings up
first stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

_DIGIT = "[0-9a-f]"
_UUID = f"{_DIGIT}{{8}}(?:-{_DIGIT}{{4}}){{3}}-{_DIGIT}{{12}}"
_DIGEST = f"{_DIGIT}{{32}}"
_EXAMPLE = re.compile(rf"(?<![\w-])(?:(?P<uuid>{_UUID})|(?P<digest>{_DIGEST}))(?![\w-])")
_PART = re.compile(rf"(?P<example>{_EXAMPLE.pattern})|(?P<any>\[\.\.\])")
_HERE = re.compile(r"<<-?\s*'?(\w+)'?")
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """A command, and what it must do.

    Attributes:
        line: where it stands in the transcript.
        command: for bash, with its here-document.
        output: what it must print, examples and all.
        status: its exit status.
    """

    line: int
    command: str
    output: str
    status: int = 0


def read_transcript(text: str) -> list[Step]:
    """Read the steps of a transcript.

    Raises:
        ValueError: it has no step, or something before the first.
    """
    steps: list[Step] = []
    lines = list(enumerate(text.splitlines(keepends=True), 1))
    while lines:
        number, line = lines.pop(0)
        if line.startswith("$ "):
            steps.append(Step(number, _whole_command(line.removeprefix("$ "), lines), ""))
        elif line.startswith("#") or line.isspace():
            continue
        elif not steps:
            raise ValueError(f"line {number}: output before any command")
        else:
            steps.append(_with_line(steps.pop(), line))
    if not steps:
        raise ValueError("a transcript without a command")
    return steps


def console_transcript(page: str) -> list[Step]:
    """Read the console blocks of a page as one transcript."""
    return read_transcript("".join(_CONSOLE.findall(page)))


def _whole_command(line: str, lines: list[tuple[int, str]]) -> str:
    here = _HERE.search(line)
    command = line
    while here and command.splitlines()[-1] != here[1]:
        command += lines.pop(0)[1]
    return command


def _with_line(step: Step, line: str) -> Step:
    if line.startswith("? "):
        return Step(step.line, step.command, step.output, int(line[2:]))
    return Step(step.line, step.command, step.output + line)


@dataclass
class Examples:
    """What the examples of one transcript stand for."""

    meaning: dict[str, str] = field(default_factory=dict)

    def in_command(self, command: str) -> str:
        """Put what the examples stand for into a command; one that is new stands for itself."""
        return _EXAMPLE.sub(lambda found: self.meaning.setdefault(found[0], found[0]), command)

    def explain(self, expected: str, actual: str) -> str:
        """Learn what new examples stand for, and give the actual output with the examples in place of what they are.

        If the output is as expected, this gives ``expected`` itself.
        """
        found = re.fullmatch(self._pattern(expected), actual, re.DOTALL)
        learnt = {name: found[f"g{number}"] for number, name in enumerate(self._new(expected))} if found else {}
        merged = self.meaning | learnt
        if found and len(set(merged.values())) == len(merged):
            self.meaning = merged
            return expected
        back = {meaning: name for name, meaning in self.meaning.items()}
        return _EXAMPLE.sub(lambda match: back.get(match[0], match[0]), actual)

    def _new(self, expected: str) -> list[str]:
        return list(dict.fromkeys(m[0] for m in _EXAMPLE.finditer(expected) if m[0] not in self.meaning))

    def _pattern(self, expected: str) -> str:
        new = self._new(expected)
        seen: set[str] = set()
        pattern, end = "", 0
        for part in _PART.finditer(expected):
            pattern += re.escape(expected[end : part.start()]) + self._part_pattern(part, new, seen)
            end = part.end()
        return pattern + re.escape(expected[end:])

    def _part_pattern(self, part: re.Match[str], new: list[str], seen: set[str]) -> str:
        name = part[0]
        if part["any"]:
            return "[^\n]*"
        if name in self.meaning:
            return re.escape(self.meaning[name])
        group = f"g{new.index(name)}"
        if name in seen:
            return f"(?P={group})"
        seen.add(name)
        return f"(?P<{group}>{_UUID if part['uuid'] else _DIGEST})"


def play(steps: list[Step], run: Callable[[str], tuple[str, int]]) -> None:
    """Run every step, and fail at the first that does other than it must.

    Args:
        steps: the transcript.
        run: runs a command and gives its output, errors among it, and its exit status.
    """
    examples = Examples()
    for step in steps:
        output, status = run(examples.in_command(step.command))
        seen = (step.line, step.command, examples.explain(step.output, output), status)
        expected = (step.line, step.command, step.output, step.status)
        if seen != expected:
            raise AssertionError(
                f"line {step.line}: $ {step.command}"
                f"-- expected, status {step.status}:\n{step.output}-- was, status {status}:\n{seen[2]}"
            )
