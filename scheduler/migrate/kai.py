"""Queues of the KAI scheduler: scheduling.run.ai/v2 (its docs/queues/README.md says what the numbers mean)."""

from collections.abc import Sequence
from fractions import Fraction

from scheduler.migrate.quota import GIB, Limits, beyond, more_fields, queue_spec, whole_amount, whole_weights
from scheduler.migrate.records import Manifest, NewQueue, Translated, Value
from scheduler.migrate.sheet import Sheet

DIALECT = "KAI"
DEFAULT_PRIORITY = 100
UNLIMITED = -1
GPU = "spec.resources.gpu"


def is_queue(manifest: Manifest) -> bool:
    """Whether it is a queue of KAI's."""
    return manifest.group == "scheduling.run.ai" and manifest.kind == "Queue"


def translate(manifests: Sequence[Manifest]) -> Translated:
    """The queues as Bayplan's."""
    sheets = [Sheet(manifest, DIALECT) for manifest in manifests]
    weights = whole_weights({sheet.name: _weight(sheet) for sheet in sheets})
    parents = {sheet.text("spec.parentQueue") for sheet in sheets}
    queues = tuple(
        NewQueue(
            name=sheet.name,
            spec=queue_spec(
                _limits(sheet, inner=sheet.name in parents),
                parent=sheet.text("spec.parentQueue"),
                weight=weights[sheet.name],
                priority=_priority(sheet),
                cpu=_more(sheet, "spec.resources.cpu", Fraction(1, 1000)),
                memory=_more(sheet, "spec.resources.memory", Fraction(10**6, GIB)),
                minRuntimeSeconds=sheet.seconds("spec.reclaimMinRuntime"),
            ),
            stands_for=(f"{DIALECT} Queue {sheet.name}",),
        )
        for sheet in sheets
    )
    for sheet in sheets:
        _others(sheet)
    return Translated(queues=queues, found=tuple(sheet.found(f"Queue {sheet.name}") for sheet in sheets))


def _limits(sheet: Sheet, *, inner: bool) -> Limits:
    quota = sheet.whole(f"{GPU}.quota")
    limit = sheet.whole(f"{GPU}.limit")
    if quota is not None and quota <= UNLIMITED:
        becomes = "the queue owns what those below it own" if inner else "the queue owns nothing; set nominal"
        sheet.note("no equivalent", f"{GPU}.quota", quota, f"no quota is unlimited; {becomes}")
        return Limits() if inner else Limits(nominal=0)
    nominal = quota or 0
    if limit is not None and limit <= UNLIMITED:
        return Limits(nominal=nominal)
    if limit is None or limit == 0:
        said = "not set" if limit is None else limit
        why = "in KAI this is no GPU beyond the quota, here an absent limit is none; borrowingLimit: 0 is set"
        sheet.note("differs", f"{GPU}.limit", said, why)
    elif limit < nominal:
        sheet.note("differs", f"{GPU}.limit", limit, f"less than the quota of {nominal}; the queue owns {limit}")
        return Limits(nominal=limit, borrowed=0)
    return Limits(nominal=nominal, borrowed=beyond(limit or 0, nominal))


def _more(sheet: Sheet, path: str, unit: Fraction) -> Value:
    """Quota of CPU (thousandths of a core) or memory (MB)."""
    if not sheet.mapping(path):
        return None
    quota, limit = sheet.number(f"{path}.quota"), sheet.number(f"{path}.limit")
    endless = limit is not None and limit <= UNLIMITED
    if quota is not None and quota <= UNLIMITED:
        if not endless:
            sheet.lacks(f"{path}.quota", "no quota is unlimited; without any the queue is not limited")
        return None
    nominal = whole_amount(sheet, f"{path}.quota", sheet.get(f"{path}.quota"), unit) or 0
    most = None if endless else whole_amount(sheet, f"{path}.limit", sheet.get(f"{path}.limit"), unit) or 0
    return more_fields(Limits(nominal=nominal, borrowed=beyond(most, nominal)))


def _weight(sheet: Sheet) -> Fraction | None:
    weight = sheet.number(f"{GPU}.overQuotaWeight")
    if weight is not None and weight <= 0:
        why = "in KAI this is no share beyond the quota; the least weight here is 1, and borrowingLimit says how much"
        sheet.note("differs", f"{GPU}.overQuotaWeight", sheet.get(f"{GPU}.overQuotaWeight"), why)
        return None
    return weight


def _priority(sheet: Sheet) -> int:
    priority = sheet.whole("spec.priority")
    return DEFAULT_PRIORITY if priority is None else priority


def _others(sheet: Sheet) -> None:
    sheet.lacks("spec.preemptMinRuntime", "minRuntime protects from other queues, not from higher priority of its own")
