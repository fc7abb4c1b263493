"""All manifests together: which of them behave the same here, which differ and why, and their queues as Bayplan's."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from scheduler.kube.keys import GROUP_VERSION
from scheduler.kube.translate_queue import read_queue
from scheduler.migrate import elasticquota, kai, kueue, volcano, yunikorn
from scheduler.migrate.quota import unused, valid_name
from scheduler.migrate.records import Body, Found, Kind, Manifest, NewQueue, Note, Translated, Value, text_of
from scheduler.migrate.work import work_found
from scheduler.model.names import QueueName
from scheduler.model.workload import Problem
from scheduler.quota.forest import in_force

if TYPE_CHECKING:
    from scheduler.model.queue import Queue

_Source = tuple[Callable[[Manifest], bool], Callable[[Sequence[Manifest]], Translated], str]

SOURCES: tuple[_Source, ...] = (
    (kai.is_queue, kai.translate, "kai"),
    (volcano.is_queue, volcano.translate, "volcano"),
    (kueue.is_queue, kueue.translate, "kueue"),
    (elasticquota.is_queue, elasticquota.translate, "quota"),
    (yunikorn.is_queue, yunikorn.translate, "yunikorn"),
)
"""Who has queues; the last is what a queue's name is told apart by where two of them use it."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What migrating all this comes to.

    `found`: each manifest that says something of queues or pods. `others`: how many there are of every other kind,
    which stay as they are. `scheduler_name`: whom pods have to name.
    """

    scheduler_name: str
    found: tuple[Found, ...]
    queues: tuple[NewQueue, ...]
    others: Mapping[str, int]

    @property
    def same(self) -> int:
        """Manifests in which every value means the same here."""
        return sum(not found.notes for found in self.found)


def report(manifests: Sequence[Manifest], *, scheduler_name: str) -> Report:
    """What becomes of these manifests. `scheduler_name`: of the pods that Bayplan will place."""
    found: list[Found] = []
    queues: list[NewQueue] = []
    left = list(manifests)
    nameless = [manifest for manifest in left if manifest.kind and not manifest.name]
    found += [_nameless(manifest) for manifest in nameless]
    left = [manifest for manifest in left if manifest not in nameless]
    for is_queue, translate, suffix in SOURCES:
        mine = [manifest for manifest in left if is_queue(manifest)]
        left = [manifest for manifest in left if not is_queue(manifest)]
        if mine:
            translated = _told_apart(translate(mine), [queue.name for queue in queues], suffix)
            found += translated.found
            queues += translated.queues
    others: Counter[str] = Counter()
    for manifest in left:
        one = work_found(manifest)
        if one is None:
            others[f"{manifest.kind} ({manifest.group})" if manifest.group else manifest.kind] += 1
        else:
            found.append(_with_queue(one, [queue.name for queue in queues]))
    checked, wrong = _checked(queues)
    found = [msgspec.structs.replace(f, notes=(*f.notes, *wrong.get(f.becomes, ()))) for f in found]
    return Report(
        scheduler_name=scheduler_name, found=tuple(found), queues=tuple(checked), others=dict(sorted(others.items()))
    )


def manifest_of(queue: NewQueue) -> dict[str, Value]:
    """The queue as it is applied."""
    return {"apiVersion": GROUP_VERSION, "kind": "Queue", "metadata": {"name": queue.name}, "spec": dict(queue.spec)}


def _nameless(manifest: Manifest) -> Found:
    note = Note(kind="unreadable", path="metadata.name", value="null", why="allowed: a name")
    return Found(where=manifest.where, kind=manifest.kind, name=manifest.where, notes=(note,))


def _with_queue(found: Found, names: Sequence[str]) -> Found:
    """The same with a note where it names a queue that is not among these."""
    if not names or not found.queue or found.queue in names:
        return found
    why = "no queue of this name is among these manifests; pods wait as long as there is none"
    note = Note(kind="no equivalent", path="queue", value=json.dumps(found.queue), why=why)
    return msgspec.structs.replace(found, notes=(*found.notes, note))


def _told_apart(translated: Translated, taken: Iterable[str], suffix: str) -> Translated:
    """The same queues under names that are not taken; those below them name them so."""
    known = list(taken)
    names: dict[str, str] = {}
    for queue in translated.queues:
        names[queue.name] = unused(valid_name(queue.name), [*known, *names.values()], suffix)
    if all(name == called for name, called in names.items()):
        return translated
    queues = tuple(
        msgspec.structs.replace(queue, name=names[queue.name], spec=_with_parent(queue.spec, names))
        for queue in translated.queues
    )
    found = tuple(_renamed(one, names) for one in translated.found)
    return Translated(queues=queues, found=found)


def _with_parent(spec: Body, names: Mapping[str, str]) -> Body:
    parent = text_of(spec.get("parent"))
    return {**spec, "parent": names.get(parent, parent)} if parent else spec


def _renamed(found: Found, names: Mapping[str, str]) -> Found:
    name = found.becomes.removeprefix("Queue ")
    called = names.get(name, name)
    if called == name:
        return found
    taken = "another queue is called so too" if valid_name(name) == name else "no object of Kubernetes may be called so"
    why = f"{taken}; this one is {called}, and its pods have to name it so"
    note = Note(kind="differs", path="metadata.name", value=json.dumps(name), why=why)
    return msgspec.structs.replace(found, becomes=f"Queue {called}", notes=(*found.notes, note))


def _checked(queues: Sequence[NewQueue]) -> tuple[list[NewQueue], dict[str, list[Note]]]:
    """The queues as the planner takes them: parents that are not there are dropped, and noted by what they become."""
    read: dict[QueueName, Queue] = {}
    for queue in queues:
        _, seen = read_queue(msgspec.json.encode(manifest_of(queue)))
        read[seen.queue.name] = seen.queue
    standing = in_force(read, {})
    wrong: dict[str, list[Note]] = {}
    made: list[NewQueue] = []
    for queue in queues:
        name = QueueName(queue.name)
        refused, lost = read[name].problems, () if read[name].problems else standing[name].problems
        notes = [_note("unreadable", problem, "") for problem in refused]
        notes += [_note("no equivalent", problem, "the queue stands at the top; ") for problem in lost]
        wrong.setdefault(f"Queue {queue.name}", []).extend(notes)
        spec = {key: value for key, value in queue.spec.items() if not lost or key != "parent"}
        made.append(msgspec.structs.replace(queue, spec=spec))
    return made, wrong


def _note(kind: Kind, problem: Problem, so: str) -> Note:
    why = f"{so}allowed: {problem.allowed}"
    return Note(kind=kind, path=problem.where.removeprefix("spec."), value=json.dumps(problem.value), why=why)
