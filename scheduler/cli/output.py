"""How every command speaks: JSON or people's text on stdout, one line on stderr when something is wrong."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TextIO

FAILURE = 1
BAD_INPUT = 2
INTERRUPTED = 130
"""128 + SIGINT, as shells report a program that Ctrl-C ended."""


class CommandError(Exception):
    """A command could not do its work; the text is one sentence for the person who typed it."""

    exit_code = FAILURE


class BadInputError(CommandError):
    """What was typed, or a file it names, cannot be used; the text quotes it and says what is allowed."""

    exit_code = BAD_INPUT


class CommandParser(Protocol):
    """What a command needs of its `argparse.ArgumentParser`."""

    add_argument: Callable[..., object]
    set_defaults: Callable[..., None]


class Commands(Protocol):
    """Where a command module adds its own parser: what `ArgumentParser.add_subparsers` gives."""

    def add_parser(self, name: str, *, help: str, description: str) -> CommandParser:  # noqa: A002  argparse's word
        """A parser for the command `name`; `help` is its line in the list of commands."""
        ...


def one_line(text: str) -> str:
    """`text` with every run of white space made one blank, so that it stays on one line of a terminal or a log."""
    return " ".join(text.split())


def complain(program: str, text: str, stream: TextIO | None = None) -> None:
    """Write one line about what went wrong on stderr."""
    print(f"{program}: {one_line(text)}", file=stream or sys.stderr)


def print_json(value: object) -> None:
    """Write `value` as JSON on stdout, keys in the order in which they were put in."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, each as wide as its widest cell, no trailing blanks, the head above them."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def facts(pairs: Mapping[str, str]) -> str:
    """`name: value` lines with the values under each other; pairs with an empty value are left out."""
    shown = {name: value for name, value in pairs.items() if value}
    width = max((len(name) for name in shown), default=0) + 1
    return "\n".join(f"{name + ':':<{width}} {value}" for name, value in shown.items())
