"""The report as people read it."""

import re
from collections import Counter
from collections.abc import Sequence

import yaml

from scheduler.migrate.records import Found, Kind, Note
from scheduler.migrate.report import Report, manifest_of
from scheduler.planning.reasons.wording import listed

NAMES_SHOWN = 3
"""Objects named beside a note that concerns several."""

_FIGURES: tuple[tuple[Kind, str, str], ...] = (
    ("differs", "differs", "differ"),
    ("no equivalent", "holds values that nothing here stands for", "hold values that nothing here stands for"),
    ("unreadable", "holds values that cannot be read", "hold values that cannot be read"),
)

_HEADS: dict[Kind, str] = {
    "unreadable": "cannot be read",
    "differs": "is understood, and does something else here",
    "no equivalent": "has no equivalent here",
}
"""What is the matter with the values of a note; the worst comes first."""


def report_text(report: Report) -> str:
    """A sentence with the figures, then every note once, with the manifests that it concerns."""
    blocks = [_sentence(report)]
    for kind, head in _HEADS.items():
        notes = _together(report.found, kind)
        if notes:
            lines = [f"{text}\n      {who}" for text, who in notes]
            blocks.append("\n".join([f"What {head}:", *(f"  - {line}" for line in lines)]))
    if report.others:
        kinds = listed([f"{count} of {kind}" for kind, count in report.others.items()])
        blocks.append(f"Not looked at, since they say nothing of queues or pods: {kinds}.")
    return "\n\n".join(blocks)


def queues_text(report: Report) -> str:
    """The queues as YAML, ready to be applied; before each what it stands for."""
    documents = [
        f"# For {listed(list(queue.stands_for))}.\n{yaml.safe_dump(manifest_of(queue), sort_keys=False)}"
        for queue in report.queues
    ]
    return "---\n".join(documents)


def _sentence(report: Report) -> str:
    count = len(report.found)
    if not count:
        return "No manifest says anything of queues or pods."
    parts = [f"{report.same} of {_counted(count, 'manifest')} will behave the same"]
    for kind, one, several in _FIGURES:
        concerned = sum(any(note.kind == kind for note in found.notes) for found in report.found)
        if concerned:
            parts.append(f"{concerned} {one if concerned == 1 else several}")
    said = [f"{'; '.join(parts)}."]
    if report.queues:
        queues = len(report.queues)
        said.append(f"{_counted(queues, 'Queue')} {'stands' if queues == 1 else 'stand'} for the queues in them.")
    named = Counter(name for found in report.found for name in found.schedulers if name != report.scheduler_name)
    if named:
        who = listed([f"{name} ({number})" for name, number in sorted(named.items())])
        said.append(f"Pods have to name schedulerName: {report.scheduler_name}; now they name {who}.")
    return " ".join(said)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _together(found: Sequence[Found], kind: Kind) -> list[tuple[str, str]]:
    """Each note once: its text, and the manifests it concerns, with the values where these differ."""
    concerned: dict[tuple[str, str], list[tuple[Found, Note]]] = {}
    for one in found:
        for note in one.notes:
            if note.kind == kind:
                concerned.setdefault((_general(note.path), note.why), []).append((one, note))
    lines: list[tuple[str, str]] = []
    for (path, why), some in sorted(concerned.items(), key=lambda item: (-len(item[1]), item[0])):
        values = list(dict.fromkeys(note.value for _, note in some))
        who = list(dict.fromkeys(_name(one, note) for one, note in some))
        lines.append((": ".join(part for part in (path, _some(values), why) if part), _some(who)))
    return lines


def _general(path: str) -> str:
    """The path without the numbers of list entries, and without the name of the object inside a manifest."""
    return re.sub(r"\[\d+\]", "[]", path.rpartition(": ")[2])


def _name(found: Found, note: Note) -> str:
    """The manifest, and the object in it where it holds several."""
    inside = note.path.rpartition(": ")[0]
    space = f"{found.namespace}/" if found.namespace else ""
    name = f"{found.kind} {space}{found.name}" if found.kind else found.where
    return f"{inside} of {name}" if inside else name


def _some(words: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(words) - NAMES_SHOWN
    return listed(words) if more <= 0 else f"{', '.join(words[:NAMES_SHOWN])} and {more} more"
