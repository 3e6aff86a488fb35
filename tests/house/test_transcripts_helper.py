"""The reader of transcripts itself: a transcript that can't fail proves nothing."""

from __future__ import annotations

import pytest

from helpers.transcripts import Examples, Step, console_transcript, play, read_transcript

ONE = "11111111-1111-1111-1111-111111111111"
TWO = "22222222-2222-2222-2222-222222222222"
REAL = "6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40"
OTHER = "b7d2e8c4-91a6-4e5d-8f02-3c4d5e6f7a81"


def test_a_transcript_is_read_into_steps() -> None:
    text = "# why\n\n$ cat <<END\nhello\nEND\nhello\n$ false\n? 1\n"

    assert read_transcript(text) == [
        Step(3, "cat <<END\nhello\nEND\n", "hello\n"),
        Step(7, "false\n", "", 1),
    ]


def test_the_console_blocks_of_a_page_are_one_transcript() -> None:
    page = "Text\n```console\n$ a\n1\n```\n```sh\n$ no\n```\n```console\n$ b\n```\n"

    assert [step.command for step in console_transcript(page)] == ["a\n", "b\n"]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "output first\n$ true\n"])
def test_what_is_no_transcript_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"command"):
        read_transcript(text)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        pytest.param(f"id {ONE}\n", f"id {REAL}\n", id="uuid"),
        pytest.param(f"{ONE} {ONE} {TWO}\n", f"{REAL} {REAL} {OTHER}\n", id="two-examples"),
        pytest.param("1" * 32 + "\n", "ab" * 16 + "\n", id="digest"),
        pytest.param("size [..] bytes\n", "size 12 bytes\n", id="anything"),
        pytest.param("a.c\n", "a.c\n", id="literal"),
    ],
)
def test_output_that_fits(expected: str, actual: str) -> None:
    assert Examples().explain(expected, actual) == expected


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        pytest.param(f"{ONE} {ONE}\n", f"{REAL} {OTHER}\n", id="one-example-two-ids"),
        pytest.param(f"{ONE} {TWO}\n", f"{REAL} {REAL}\n", id="two-examples-one-id"),
        pytest.param(f"{ONE}\n", "no id\n", id="no-uuid"),
        pytest.param("1" * 32 + "\n", "ab" * 17 + "\n", id="longer-than-a-digest"),
        pytest.param("size [..] bytes\n", "size 1\n2 bytes\n", id="not-over-lines"),
        pytest.param("a.c\n", "abc\n", id="no-pattern"),
        pytest.param("a\n", "a\nb\n", id="more"),
    ],
)
def test_output_that_does_not_fit(expected: str, actual: str) -> None:
    assert Examples().explain(expected, actual) != expected


def test_an_example_is_what_it_was_the_first_time() -> None:
    examples = Examples()
    examples.explain(f"{ONE}\n", f"{REAL}\n")

    assert examples.in_command(f"show {ONE} {TWO}") == f"show {REAL} {TWO}"
    assert examples.explain(f"{ONE}\n", f"{OTHER}\n") == f"{OTHER}\n"
    assert examples.explain(f"{TWO}\n", f"{OTHER}\n") == f"{OTHER}\n"


@pytest.mark.parametrize(
    ("output", "status"),
    [pytest.param("no\n", 0, id="output"), pytest.param("yes\n", 1, id="status")],
)
def test_playing_fails_where_a_step_does_other_than_it_must(output: str, status: int) -> None:
    with pytest.raises(AssertionError, match="line 1"):
        play(read_transcript("$ ask\nyes\n"), lambda _: (output, status))
