"""What a dialect is: its keys as data, and what was understood of an object as one record."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec

from scheduler.kube import keys
from scheduler.model.workload import GangClaim, Problem, Slices

Place = Literal["label", "annotation"]
Field = Literal[
    "queue", "preemptible", "priority_class", "user", "topology_required", "topology_preferred", "role", "duration_s"
]

OWN_KEYS: Mapping[str, tuple[Place, str]] = {
    "gang": ("label", keys.GANG_LABEL),
    "queue": ("label", keys.QUEUE_LABEL),
    "user": ("label", keys.USER_LABEL),
    "preemptible": ("annotation", keys.PREEMPTIBLE_ANNOTATION),
    "topology_required": ("annotation", keys.TOPOLOGY_REQUIRED_ANNOTATION),
    "topology_preferred": ("annotation", keys.TOPOLOGY_PREFERRED_ANNOTATION),
    "topology_slices": ("annotation", keys.TOPOLOGY_SLICES_ANNOTATION),
    "role": ("annotation", keys.ROLE_ANNOTATION),
    "duration_s": ("annotation", keys.DURATION_ANNOTATION),
}
"""Our own key of each field: where it is there, no dialect is heard on that field."""

Reading = Callable[[str], Any]
"""A text as a value; None where it cannot be read."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A label or annotation that is known.

    With a `field` its value says just that, as `read` has it, which `allowed` describes. Without one it is `heard` by
    its dialect's own function together with others, or it is not honoured. `means`: for people, what becomes of it.
    """

    place: Place
    key: str
    means: str
    field: Field | None = None
    read: Reading | None = None
    allowed: str = ""
    heard: bool = True

    @property
    def where(self) -> str:
        """The key with its place, as sentences name it."""
        return f"{self.place} {self.key}"


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """An object's labels and annotations, and the kind, name and uid of what controls it."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner_kind: str = ""
    owner_name: str = ""

    def at(self, place: Place) -> Mapping[str, str]:
        """The labels, or the annotations."""
        return self.labels if place == "label" else self.annotations

    def first(self, known: Iterable[Key]) -> tuple[str, str] | None:
        """Where the first of these keys that is there stands, and its text."""
        for key in known:
            text = self.at(key.place).get(key.key)
            if text is not None:
                return key.where, text
        return None

    @property
    def owner(self) -> str:
        """`kind/name` of what controls the object, "" where nothing does."""
        return f"{self.owner_kind.lower()}/{self.owner_name}" if self.owner_name else ""


class Understood(msgspec.Struct, frozen=True, kw_only=True):
    """What other dialects' keys on one object say. Fields that nobody speaks of are None or empty.

    `gang.name` is `dialect/name`, so that groups of two dialects are never one. `where` names the key behind each
    field, `dialects` those that were heard. `problems` could not be read or contradict each other; `notes` are
    sentences on what is not honoured. `priority_class` has its kind in front.
    """

    gang: GangClaim | None = None
    queue: str | None = None
    priority_class: str | None = None
    user: str | None = None
    preemptible: bool | None = None
    topology_required: str | None = None
    topology_preferred: str | None = None
    topology_slices: Slices = ()
    role: str | None = None
    duration_s: int | None = None
    where: tuple[tuple[str, str], ...] = ()
    dialects: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    def key_of(self, field: str) -> str:
        """The key that says `field`."""
        return dict(self.where)[field]


NOTHING = Understood()


class Hearing:
    """Takes down what the dialects say, in their order: the first word on a field counts.

    Our own keys go before all of them. Another explicit word that differs is a problem; `implied` words only fill what
    nobody else speaks of.
    """

    def __init__(self, texts: Texts) -> None:
        self._settled = frozenset(field for field, (place, key) in OWN_KEYS.items() if key in texts.at(place))
        self._values: dict[str, Any] = {}
        self._where: dict[str, str] = {}
        self._problems: dict[Problem, None] = {}
        self._notes: dict[str, None] = {}

    def say(self, field: str, value: Any, where: str, *, implied: bool = False) -> None:  # noqa: ANN401  of any field
        """The key at `where` says `value` of `field`."""
        if field in self._settled:
            return
        if field not in self._values:
            self._values[field] = value
            self._where[field] = where
        elif self._values[field] != value and not implied:
            allowed = f"the same as the {self._where[field]}"
            if field in OWN_KEYS:
                place, key = OWN_KEYS[field]
                allowed = f"{allowed}, or the {place} {key}, which goes first"
            self.refuse(where, _shown(value), allowed)

    def refuse(self, where: str, value: str, allowed: str) -> None:
        """A value that cannot be read, or cannot be."""
        self._problems[Problem(where=where, value=value[:200], allowed=allowed)] = None

    def note(self, where: str, value: str, sentence: str) -> None:
        """A value that is read and not honoured, and what happens instead."""
        self._notes[f"{where} ({value[:80]!r}) is not honoured: {sentence}"] = None

    def understood(self, dialects: Iterable[str]) -> Understood:
        """All that was said."""
        return Understood(
            **self._values,
            where=tuple(sorted(self._where.items())),
            dialects=tuple(dialects),
            problems=tuple(self._problems),
            notes=tuple(self._notes),
        )


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """A dialect: its name, its keys, and what several of them say together."""

    name: str
    keys: tuple[Key, ...]
    together: Callable[[Texts, Hearing], None] | None = None


def _shown(value: Any) -> str:  # noqa: ANN401  of any field
    if isinstance(value, GangClaim):
        return value.name.partition("/")[2]
    if isinstance(value, tuple):
        return ",".join(f"{level}={size}" for level, size in value)  # pyright: ignore[reportUnknownVariableType]
    return str(value)
