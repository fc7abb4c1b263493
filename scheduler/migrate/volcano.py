"""Queues of Volcano: scheduling.volcano.sh/v1beta1, with the capacity plugin's meaning of deserved and guarantee."""

from collections.abc import Sequence

from scheduler.migrate.quota import Limits, beyond, gpus_of, more_of, queue_spec
from scheduler.migrate.records import Found, Manifest, NewQueue, Translated
from scheduler.migrate.sheet import Sheet

DIALECT = "Volcano"
ROOT = "root"
"""The queue above all others, which Volcano makes itself."""

ORDERS = {"fifo": "StrictFIFO", "traverse": "Fair"}


def is_queue(manifest: Manifest) -> bool:
    """Whether it is a queue of Volcano's."""
    return manifest.group == "scheduling.volcano.sh" and manifest.kind == "Queue"


def translate(manifests: Sequence[Manifest]) -> Translated:
    """The queues as Bayplan's; the one at the root, which is above all, is left out."""
    sheets = [Sheet(manifest, DIALECT) for manifest in manifests]
    queues = tuple(_queue(sheet) for sheet in sheets if sheet.name != ROOT)
    for sheet in sheets:
        _others(sheet)
    return Translated(queues=queues, found=tuple(_found(sheet) for sheet in sheets))


def _found(sheet: Sheet) -> Found:
    return sheet.found("all queues together") if sheet.name == ROOT else sheet.found(f"Queue {sheet.name}")


def _queue(sheet: Sheet) -> NewQueue:
    parent = sheet.text("spec.parent")
    weight = sheet.number("spec.weight")
    return NewQueue(
        name=sheet.name,
        spec=queue_spec(
            _limits(sheet),
            parent="" if parent == ROOT else parent,
            weight=None if weight is None or weight < 1 else int(weight),
            priority=sheet.whole("spec.priority"),
            order=_order(sheet),
            **more_of(sheet, "spec.deserved", "spec.capability", kept="spec.guarantee.resource"),
        ),
        stands_for=(f"{DIALECT} Queue {sheet.name}",),
    )


def _limits(sheet: Sheet) -> Limits:
    deserved = gpus_of(sheet, "spec.deserved")
    guarantee = gpus_of(sheet, "spec.guarantee.resource")
    most = gpus_of(sheet, "spec.capability")
    if deserved is None and guarantee is None:
        if sheet.get("spec.weight") is not None:
            why = (
                "without deserved, Volcano's proportion plugin gives the queue its part of the cluster by weight; "
                "here the weight divides what nobody owns, and only nominal is taken back for the queue: set nominal"
            )
            sheet.differs("spec.weight", why)
        return Limits(nominal=0, borrowed=beyond(most, 0))
    nominal = max(deserved or 0, guarantee or 0)
    return Limits(nominal=nominal, borrowed=beyond(most, nominal), lent=nominal - guarantee if guarantee else None)


def _order(sheet: Sheet) -> str | None:
    strategy = sheet.text("spec.dequeueStrategy")
    if not strategy:
        return None
    if strategy not in ORDERS:
        sheet.note("unreadable", "spec.dequeueStrategy", strategy, f"allowed: {', '.join(ORDERS)}")
    return ORDERS.get(strategy)


def _others(sheet: Sheet) -> None:
    if sheet.get("spec.reclaimable") is False:
        sheet.lacks("spec.reclaimable", "what a queue borrows is always taken back when its owner needs it")
    sheet.lacks("spec.affinity", "queues are not tied to groups of nodes; use a node selector in the pods")
    sheet.lacks("spec.extendClusters", "Bayplan plans one cluster")
