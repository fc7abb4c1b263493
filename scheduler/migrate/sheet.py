"""Reading one foreign manifest: typed look-ups by path, and notes on what does not mean the same here."""

import json
import re
from collections.abc import Iterator
from fractions import Fraction

from scheduler.kube.quantities import NANO, nanos
from scheduler.migrate.records import Body, Found, Kind, Manifest, Note, Value, mapping_of, text_of

LONGEST = 80
"""Characters of a value that are quoted."""

_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?\Z")


class Sheet:
    """One manifest, or a part of it that stands for one object, and the notes on it."""

    def __init__(self, manifest: Manifest, dialect: str) -> None:
        """A sheet for the whole manifest; `part` makes those for parts of it."""
        self.manifest = manifest
        self.name = manifest.name
        self._dialect = dialect
        self._body: Body = manifest.body
        self._prefix = ""
        self._notes: dict[Note, None] = {}

    def part(self, name: str, body: Body) -> "Sheet":
        """A sheet for an object in the manifest; its notes are among those of the manifest, with its name before."""
        made = Sheet(self.manifest, self._dialect)
        made.name, made._body, made._prefix, made._notes = name, body, f"{name}: " if name else "", self._notes
        return made

    def get(self, path: str) -> Value:
        """The value at a dotted path; None where there is none."""
        at: Value = dict(self._body)
        for key in path.split("."):
            at = mapping_of(at).get(key)
        return at

    def label(self, key: str) -> str | None:
        """A label's value."""
        return self._of("labels", key)

    def annotation(self, key: str) -> str | None:
        """An annotation's value."""
        return self._of("annotations", key)

    def text(self, path: str) -> str:
        """A text; empty where there is none."""
        return text_of(self.get(path))

    def mapping(self, path: str) -> Body:
        """A mapping; an empty one where there is none."""
        value = self.get(path)
        if value is not None and not isinstance(value, dict):
            self.note("unreadable", path, value, "allowed: a mapping")
        return mapping_of(value)

    def entries(self, path: str) -> Iterator[tuple[str, Body]]:
        """The mappings of a list, each with its path."""
        yield from self.each(path, self.get(path))

    def each(self, path: str, value: Value) -> Iterator[tuple[str, Body]]:
        """The mappings of a list that stands at `path`, each with its path."""
        if value is not None and not isinstance(value, list):
            self.note("unreadable", path, value, "allowed: a list")
            return
        for at, entry in enumerate(value or ()):
            if isinstance(entry, dict):
                yield f"{path}[{at}]", entry
            else:
                self.note("unreadable", f"{path}[{at}]", entry, "allowed: a mapping")

    def number(self, path: str) -> Fraction | None:
        """A number or a quantity; None where there is none, or it cannot be read, which is noted."""
        return self.number_of(path, self.get(path))

    def number_of(self, path: str, value: Value) -> Fraction | None:
        """The same, of a value that stands at `path`."""
        if value is None:
            return None
        try:
            return Fraction(nanos(text_of(value).strip()), NANO)
        except ValueError:
            self.note("unreadable", path, value, "allowed: a number or a quantity")
            return None

    def whole(self, path: str) -> int | None:
        """A whole number; one with a fraction is rounded down, which is noted."""
        number = self.number(path)
        if number is None:
            return None
        down = number.numerator // number.denominator
        if number.denominator != 1:
            self.note("differs", path, self.get(path), f"only whole numbers are possible: {down}")
        return down

    def seconds(self, path: str) -> int | None:
        """A duration as `1h30m` or in seconds; None where there is none, or it cannot be read, which is noted."""
        value = self.get(path)
        if value is None:
            return None
        text = text_of(value)
        if text.isdigit():
            return int(text)
        read = _DURATION.match(text) if text else None
        if read is None:
            self.note("unreadable", path, value, "allowed: a duration such as 90s, 10m or 1h30m")
            return None
        days, hours, minutes, seconds = (int(part or 0) for part in read.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    def differs(self, path: str, why: str) -> None:
        """The value at the path, if there is one, does something else here."""
        self._note_if("differs", path, why)

    def lacks(self, path: str, why: str = "nothing here stands for it") -> None:
        """The value at the path, if there is one, has no equivalent."""
        self._note_if("no equivalent", path, why)

    def note(self, kind: Kind, path: str, value: Value, why: str) -> None:
        """A note on a value."""
        self.tell(kind, path, quoted(value), why)

    def tell(self, kind: Kind, path: str, shown: str, why: str) -> None:
        """A note on a value that is quoted already."""
        self._notes[Note(kind=kind, path=self._prefix + path, value=shown, why=why)] = None

    def found(self, becomes: str, *, schedulers: tuple[str, ...] = (), queue: str = "") -> Found:
        """What was found, and what it is here. `schedulers`: whom its pods name now; `queue`: which queue."""
        return Found(
            where=self.manifest.where,
            kind=self.manifest.kind,
            name=self.manifest.name,
            namespace=text_of(self.manifest.metadata.get("namespace")),
            dialect=self._dialect,
            becomes=becomes,
            schedulers=schedulers,
            queue=queue,
            notes=tuple(self._notes),
        )

    def _of(self, where: str, key: str) -> str | None:
        value = mapping_of(self.manifest.metadata.get(where)).get(key)
        return None if value is None else text_of(value)

    def _note_if(self, kind: Kind, path: str, why: str) -> None:
        value = self.get(path)
        if value is not None and value not in ({}, []):
            self.note(kind, path, value, why)


def quoted(value: Value) -> str:
    """A value as it is written, on one line, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
