"""Reads the text of a scenario file into `ScenarioDoc`, or says in one sentence why not."""

import re
from collections.abc import Hashable
from typing import Any, cast, get_args

import msgspec
import yaml

from scheduler.simulate.document import Linked, ScenarioDoc
from scheduler.simulate.refusal import Refused
from scheduler.simulate.sense import contradiction
from scheduler.simulate.support import unsupported

KINDS = {
    "str": "text (in quotes where it looks like a number)",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
"""The words of msgspec's messages, for people."""

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<key>.*)`$", re.DOTALL)
_EXPECTED = re.compile(r"Expected (?P<wanted>.*?)(?:, got `[^`]*`)?$", re.DOTALL)
_STEP = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<at>\d+)\]")
_QUOTE_AT_MOST = 60


class _TwiceError(yaml.YAMLError):
    pass


class _StrictLoader(yaml.SafeLoader):
    """Plain YAML, except that a key may stand only once in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  as the library declares it
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise _TwiceError(f"line {key_node.start_mark.line + 1}: the key {key!r} stands twice in one mapping")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_scenario(text: str) -> ScenarioDoc | Refused:
    """The scenario in `text`, a YAML document of the scenario format, if all of it can be honoured."""
    try:
        raw: object = yaml.load(text, Loader=_StrictLoader)  # noqa: S506  derived from the safe loader
    except (yaml.YAMLError, ValueError) as err:
        return Refused(where="", why=f"no readable YAML: {' '.join(str(err).split())}")
    except RecursionError:
        return Refused(where="", why="nested too deeply")
    try:
        doc = msgspec.convert(raw, ScenarioDoc)
    except msgspec.ValidationError as err:
        return _refusal_of(str(err), raw)
    return contradiction(doc) or unsupported(doc) or doc


def _refusal_of(message: str, raw: object) -> Refused:
    """The message of msgspec with the path and the value as people see them in the file."""
    problem, _, path = message.partition(" - at `$")
    path = path.removesuffix("`").removeprefix(".")
    if found := _UNKNOWN.match(problem):
        return Refused(where=_join(path, found["key"]), why="unknown key")
    if found := _MISSING.match(problem):
        return Refused(where=_join(path, found["key"]), why="missing")
    wanted = found["wanted"] if (found := _EXPECTED.match(problem)) else problem
    for word, kind in KINDS.items():
        wanted = re.sub(rf"\b{word}\b", kind, wanted)
    if problem.startswith("Invalid enum value"):
        # `linked` is the one place of the format with a closed set of words.
        wanted = " or ".join(get_args(Linked))
    value, known = _value_at(raw, path)
    allowed = f"allowed: {wanted.replace('`', '').replace(' | ', ' or ')}"
    return Refused(where=path.replace("[...]", ".*"), why=f"{_quoted(value)}; {allowed}" if known else allowed)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _value_at(raw: object, path: str) -> tuple[object, bool]:
    """What stands at `path`, and whether the path leads to one value (one through a free mapping does not)."""
    if "[...]" in path:
        return None, False
    value = raw
    for step in _STEP.finditer(f".{path}" if path else ""):
        if step["key"] is not None:
            value = cast("dict[str, object]", value)[step["key"]]
        else:
            value = cast("list[object]", value)[int(step["at"])]
    return value, True


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _QUOTE_AT_MOST else f"{text[:_QUOTE_AT_MOST]}…"
