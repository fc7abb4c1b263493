"""LocalQueues of Kueue: jobs name these, so each becomes a Queue below that of its ClusterQueue.

It owns as much as the ClusterQueue does, which holds all of its LocalQueues to that together.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from scheduler.migrate.quota import Limits, queue_spec
from scheduler.migrate.records import Found, NewQueue, Value
from scheduler.migrate.sheet import Sheet

STOPPED = "no queue can be stopped; nominal: 0 with borrowingLimit: 0 lets nothing start"


class Locals(msgspec.Struct, frozen=True):
    """The queues for LocalQueues, what was found in each, and the namespaces that a ClusterQueue serves itself."""

    queues: tuple[NewQueue, ...]
    found: tuple[Found, ...]
    namespaces: Mapping[str, list[Value]]


def local_queues(sheets: Sequence[Sheet], nominal: Mapping[str, int], taken: Collection[str]) -> Locals:
    """`nominal`: what each ClusterQueue owns; `taken`: names of Queues that stand for something else.

    Pods of a namespace that name no queue belong to the first of its LocalQueues.
    """
    above: dict[str, str] = {}
    namespaces: dict[str, list[str]] = {}
    served: set[str] = set()
    found: list[Found] = []
    for sheet in sheets:
        cluster_queue, namespace = sheet.text("spec.clusterQueue"), sheet.manifest.namespace
        if sheet.text("spec.stopPolicy") not in ("", "None"):
            sheet.lacks("spec.stopPolicy", STOPPED)
        if cluster_queue not in nominal:
            sheet.note("no equivalent", "spec.clusterQueue", cluster_queue, "there is no ClusterQueue of this name")
            found.append(sheet.found("no Queue"))
            continue
        target = sheet.name
        if target != cluster_queue and (target in taken or above.setdefault(target, cluster_queue) != cluster_queue):
            why = f"the Queue of this name is another one; pods of {namespace} have to name the queue {cluster_queue}"
            sheet.note("differs", "metadata.name", target, why)
            target = cluster_queue
        if namespace not in served:
            served.add(namespace)
            namespaces.setdefault(target, []).append(namespace)
        found.append(sheet.found(f"Queue {target}"))
    queues = tuple(
        NewQueue(
            name=name,
            spec=queue_spec(
                Limits(nominal=nominal[cluster_queue]),
                parent=cluster_queue,
                namespaces=list[Value](sorted(namespaces.get(name, []))),
            ),
            stands_for=(f"Kueue LocalQueue {name}",),
        )
        for name, cluster_queue in above.items()
    )
    return Locals(queues, tuple(found), {q: list[Value](sorted(n)) for q, n in namespaces.items() if q in nominal})
