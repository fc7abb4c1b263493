"""Manifests in files: YAML of several documents, or JSON; lists are taken apart."""

import json
from collections.abc import Iterable, Iterator
from typing import cast

import msgspec
import yaml

from scheduler.migrate.records import Manifest, Value, text_of

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unreadable(msgspec.Struct, frozen=True):
    """A file that holds no manifests, and why."""

    where: str
    why: str

    def __str__(self) -> str:
        """One sentence for people."""
        return f"{self.where}: {self.why}"


def manifests_of(name: str, text: str) -> list[Manifest] | Unreadable:
    """All manifests of a file; documents with nothing in them are passed over."""
    found: list[Manifest] = []
    try:
        for at, document in enumerate(cast("Iterable[object]", yaml.load_all(text, Loader=_Loader)), 1):
            value = plain(document)
            where = f"{name}[{at}]"
            if value is None:
                continue
            if not isinstance(value, dict):
                return Unreadable(where, f"it is {json.dumps(value)[:80]}; allowed: a Kubernetes object")
            found += unpacked(where, value)
    except yaml.YAMLError as err:
        return Unreadable(name, f"not YAML: {' '.join(str(err).split())}")
    wrong = next((m for m in found if not m.kind and "partitions" not in m.body), None)
    return found if wrong is None else Unreadable(wrong.where, "kind is missing; allowed: a Kubernetes object")


def unpacked(where: str, value: dict[str, Value]) -> Iterator[Manifest]:
    """The manifest, or those of a list."""
    items = value.get("items")
    if text_of(value.get("kind")).endswith("List") and isinstance(items, list):
        inside = text_of(value.get("kind")).removesuffix("List")
        said: dict[str, Value] = {"apiVersion": value.get("apiVersion"), "kind": inside} if inside else {}
        for item in items:
            if isinstance(item, dict):
                yield from unpacked(where, {**said, **item})
        return
    yield Manifest(where=where, body=value)


def plain(document: object) -> Value:
    """As JSON would have it: dates as text, keys as text."""
    return cast("Value", json.loads(json.dumps(document, default=str)))
