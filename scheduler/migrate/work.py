"""Pods, whatever makes pods from a template, and objects that describe gangs: what the service makes of them."""

import re
from collections.abc import Iterator, Mapping

from scheduler.kube.dialects.understood import UnderstoodDocument, understood
from scheduler.migrate.foreign import NO_DEVICE, WHY, is_foreign
from scheduler.migrate.records import Found, Kind, Manifest, Value, mapping_of
from scheduler.migrate.sheet import Sheet
from scheduler.planning.reasons.wording import pods

CONTAINERS = ("containers", "initContainers")

_IGNORED = re.compile(r"(?P<path>.+?) \((?P<value>.*)\) is not honoured: (?P<why>.*)\Z", re.DOTALL)
_REFUSED = re.compile(r"(?P<path>.+?) is (?P<value>'.*'|\".*\"); (?P<why>allowed: .*)\Z", re.DOTALL)


def work_found(manifest: Manifest) -> Found | None:
    """What is understood of a manifest; None where it says nothing of pods or gangs."""
    known = understood(manifest.body)
    if known is None:
        return None
    sheet = Sheet(manifest, " and ".join(known.dialects))
    for sentence in known.problems:
        _note(sheet, "unreadable", _REFUSED, sentence)
    for sentence in known.ignored:
        _note(sheet, "no equivalent", _IGNORED, sentence)
    for name, value in _resources(dict(manifest.body)):
        if is_foreign(name):
            sheet.note("no equivalent", f"resources[{name}]", value, WHY.get(name, NO_DEVICE))
    return sheet.found(_becomes(known), schedulers=known.scheduler_names, queue=known.queue or "")


def _note(sheet: Sheet, kind: Kind, sentence: re.Pattern[str], text: str) -> None:
    read = sentence.match(text)
    if read is None:
        sheet.tell(kind, "", "", text)
    else:
        sheet.tell(kind, read["path"], read["value"], read["why"])


def _becomes(known: UnderstoodDocument) -> str:
    """What it is here, in a few words."""
    if known.gang is None:
        said = "pods that stand alone" if known.pods else "a gang's description"
    else:
        said = f"gang {known.gang}"
        if known.size is not None:
            said += f" of {pods(known.size)}"
        if known.least is not None and known.least != known.size:
            said += f", {known.least} are enough"
    parts = (
        f"in queue {known.queue}" if known.queue else "",
        f"in one {known.topology_required}" if known.topology_required else "",
        f"priority of {known.priority_class}" if known.priority_class else "",
        "" if known.preemptible else "never evicted",
    )
    return ", ".join(part for part in (said, *parts) if part)


def _resources(value: Value) -> Iterator[tuple[str, Value]]:
    """The resources of all containers anywhere in a manifest."""
    if isinstance(value, list):
        for inside in value:
            yield from _resources(inside)
    elif isinstance(value, dict):
        for field in CONTAINERS:
            containers = value.get(field)
            for container in containers if isinstance(containers, list) else ():
                yield from _amounts(mapping_of(mapping_of(container).get("resources"))).items()
        for inside in value.values():
            yield from _resources(inside)


def _amounts(resources: Mapping[str, Value]) -> Mapping[str, Value]:
    return {**mapping_of(resources.get("requests")), **mapping_of(resources.get("limits"))}
