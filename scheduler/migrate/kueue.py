"""ClusterQueue, Cohort, LocalQueue and ResourceFlavor of Kueue, all versions from v1beta1 on (Cohort: v1alpha1).

Kueue's quotas are per flavor and resource. Flavors whose node labels name a GPU model become flavors here; the others
count in the total alone. A Cohort's own quota comes on top of that of its members; here it covers them.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import msgspec

from scheduler.migrate.kueue_flavors import Given, flavors_of, models_of
from scheduler.migrate.kueue_local import STOPPED, local_queues
from scheduler.migrate.quota import Limits, more_fields, queue_spec, unused, whole_weights
from scheduler.migrate.records import Found, Manifest, NewQueue, Translated, Value, mapping_of, text_of
from scheduler.migrate.sheet import Sheet

DIALECT = "Kueue"
GROUP = "kueue.x-k8s.io"
KINDS = ("ClusterQueue", "Cohort", "LocalQueue", "ResourceFlavor")

ORDERS = {"StrictFIFO": "StrictFIFO", "BestEffortFIFO": "Fair"}


class _Queue(msgspec.Struct, frozen=True):
    """A ClusterQueue or Cohort on its way: its sheet, its quota, and the cohort above it."""

    sheet: Sheet
    given: Given
    above: str
    is_cohort: bool


def is_queue(manifest: Manifest) -> bool:
    """Whether it says something of Kueue's queues."""
    return manifest.group == GROUP and manifest.kind in KINDS


def translate(manifests: Sequence[Manifest]) -> Translated:
    """Cohorts, ClusterQueues and LocalQueues as Bayplan's queues."""
    sheets = [Sheet(manifest, DIALECT) for manifest in manifests]
    of_kind = {kind: [sheet for sheet in sheets if sheet.manifest.kind == kind] for kind in KINDS}
    models = models_of(of_kind["ResourceFlavor"])
    queues = [_read(sheet, models, is_cohort=False) for sheet in of_kind["ClusterQueue"]]
    cohorts = [_read(sheet, models, is_cohort=True) for sheet in of_kind["Cohort"]]
    names = _cohort_names(queues, cohorts)
    owned = {queue.sheet.name: queue.given.total.nominal or 0 for queue in queues}
    local = local_queues(of_kind["LocalQueue"], owned, {*owned, *names.values()})
    weights = whole_weights({id(queue): _weight(queue.sheet) for queue in (*queues, *cohorts)})
    implied = [name for name in names if name not in {cohort.sheet.name for cohort in cohorts}]
    made = [
        *(_cohort(cohort, names, [*queues, *cohorts], weights[id(cohort)]) for cohort in cohorts),
        *(_implied(name, names[name], [queue.given for queue in queues if queue.above == name]) for name in implied),
        *(
            _cluster_queue(queue, names, local.namespaces.get(queue.sheet.name, []), weights[id(queue)])
            for queue in queues
        ),
    ]
    found = [
        *_found(of_kind["ClusterQueue"], "Queue"),
        *(c.sheet.found(f"Queue {names[c.sheet.name]}") for c in cohorts),
    ]
    found += local.found
    found += [_flavor_found(sheet, models) for sheet in of_kind["ResourceFlavor"]]
    return Translated(queues=(*made, *local.queues), found=tuple(found))


def _found(sheets: Iterable[Sheet], what: str) -> list[Found]:
    return [sheet.found(f"{what} {sheet.name}") for sheet in sheets]


def _flavor_found(sheet: Sheet, models: Mapping[str, str]) -> Found:
    model = models.get(sheet.name)
    return sheet.found(f"flavor {model}" if model else "part of the total")


def _read(sheet: Sheet, models: Mapping[str, str], *, is_cohort: bool) -> _Queue:
    above = sheet.text("spec.parentName") or sheet.text("spec.parent")
    if not is_cohort:
        above = sheet.text("spec.cohortName") or sheet.text("spec.cohort")
    return _Queue(sheet, flavors_of(sheet, models), above, is_cohort)


def _cohort_names(queues: Sequence[_Queue], cohorts: Sequence[_Queue]) -> dict[str, str]:
    """What each cohort is called here: queues and cohorts may have equal names in Kueue."""
    taken = {queue.sheet.name for queue in queues}
    names: dict[str, str] = {}
    for name in sorted({each.above for each in (*queues, *cohorts)} | {cohort.sheet.name for cohort in cohorts}):
        if name:
            names[name] = unused(name, (*taken, *names.values()), "cohort")
    for cohort in cohorts:
        if names[cohort.sheet.name] != cohort.sheet.name:
            why = f"a ClusterQueue is called so too; the Queue of the cohort is {names[cohort.sheet.name]}"
            cohort.sheet.note("differs", "metadata.name", cohort.sheet.name, why)
    return names


def _weight(sheet: Sheet) -> Fraction | None:
    weight = sheet.number("spec.fairSharing.weight")
    if weight is not None and weight <= 0:
        sheet.differs(
            "spec.fairSharing.weight", "in Kueue this is no share beyond the quota; the least weight here is 1"
        )
        return None
    return weight


def _cohort(cohort: _Queue, names: Mapping[str, str], queues: Sequence[_Queue], weight: int | None) -> NewQueue:
    own = cohort.given.total
    limits = msgspec.structs.replace(own, nominal=own.nominal or None)
    if own.nominal:
        below = sum(queue.given.total.nominal or 0 for queue in queues if queue.above == cohort.sheet.name)
        why = (
            f"in Kueue this comes on top of what its members own, and comes back to any of them; here nominal covers "
            f"them ({own.nominal + below}), and only what a member owns itself comes back to it"
        )
        cohort.sheet.note("differs", "spec.resourceGroups", cohort.sheet.get("spec.resourceGroups"), why)
        limits = msgspec.structs.replace(own, nominal=own.nominal + below)
    members = [queue.given for queue in queues if queue.above == cohort.sheet.name]
    more = _more(cohort.given, cohort.above, members)
    spec = queue_spec(_shut(limits, cohort.above), parent=names.get(cohort.above), weight=weight, **more)
    return NewQueue(name=names[cohort.sheet.name], spec=spec, stands_for=(f"{DIALECT} Cohort {cohort.sheet.name}",))


def _implied(name: str, called: str, members: Iterable[Given]) -> NewQueue:
    """A cohort that is there only because queues name it."""
    spec = queue_spec(_shut(Limits(), ""), **_more(Given(Limits()), "", members))
    return NewQueue(name=called, spec=spec, stands_for=(f"{DIALECT} cohort {name}",))


def _more(given: Given, above: str, below: Iterable[Given] = ()) -> dict[str, Value]:
    """Quota of CPU and memory, where any of these has some: what is given is on top of what those below own."""
    own = dict(given.more)
    parts = [dict(each.more) for each in below]
    found: dict[str, Value] = {}
    for name in sorted({*own, *(name for part in parts for name in part)}):
        limits = own.get(name, Limits())
        if limits.nominal is not None:
            members = sum(part[name].nominal or 0 for part in parts if name in part)
            limits = msgspec.structs.replace(limits, nominal=limits.nominal + members)
        found[name] = more_fields(_shut(limits, above))
    return found


def _shut(limits: Limits, above: str) -> Limits:
    """Trees of Kueue's share nothing with each other; here those at the top do, unless they may not."""
    if above:
        return limits
    return msgspec.structs.replace(limits, borrowed=0, lent=0)


def _cluster_queue(queue: _Queue, names: Mapping[str, str], namespaces: list[Value], weight: int | None) -> NewQueue:
    sheet, total = queue.sheet, queue.given.total
    _policies(sheet)
    spec = queue_spec(
        _shut(msgspec.structs.replace(total, nominal=total.nominal or 0), queue.above),
        parent=names.get(queue.above),
        namespaces=namespaces,
        namespaceSelector=_selector(sheet),
        flavors=[dict[str, Value](name=name, **limits.fields()) for name, limits in queue.given.flavors],
        weight=weight,
        order=_order(sheet),
        **_more(queue.given, queue.above),
    )
    return NewQueue(name=sheet.name, spec=spec, stands_for=(f"{DIALECT} ClusterQueue {sheet.name}",))


def _selector(sheet: Sheet) -> Value:
    """Which namespaces it serves by their labels. That of Kueue's which selects all only leaves it to LocalQueues."""
    selector = sheet.mapping("spec.namespaceSelector")
    known = {field: selector[field] for field in ("matchLabels", "matchExpressions") if selector.get(field)}
    return {**known} if isinstance(known.get("matchLabels", {}), dict) else None


def _order(sheet: Sheet) -> str | None:
    strategy = sheet.text("spec.queueingStrategy")
    if strategy and strategy not in ORDERS:
        sheet.note("unreadable", "spec.queueingStrategy", strategy, f"allowed: {', '.join(ORDERS)}")
    return ORDERS.get(strategy)


def _policies(sheet: Sheet) -> None:
    """What of preemption and admission is set differently, or is not there."""
    preemption = mapping_of(sheet.get("spec.preemption"))
    # Kueue's defaults for both.
    reclaim = text_of(preemption.get("reclaimWithinCohort")) or "Never"
    within = text_of(preemption.get("withinClusterQueue")) or "Never"
    path = "spec.preemption"
    if reclaim != "Any" and sheet.text("spec.cohortName") + sheet.text("spec.cohort"):
        why = "what the queue owns is always taken back from who borrows it"
        sheet.note("differs", f"{path}.reclaimWithinCohort", reclaim, why)
    if within != "LowerPriority":
        why = (
            "within a queue work of lower priority makes way for work of higher priority, and never for equal priority"
        )
        sheet.note("differs", f"{path}.withinClusterQueue", within, why)
    borrow = mapping_of(preemption.get("borrowWithinCohort"))
    if text_of(borrow.get("policy")) not in ("", "Never"):
        sheet.lacks(f"{path}.borrowWithinCohort", "work that would borrow evicts nobody of another queue")
    sheet.lacks("spec.flavorFungibility", "a pod that accepts several GPU models gets the one that suits the plan")
    sheet.lacks("spec.admissionChecks")
    sheet.lacks("spec.admissionChecksStrategy")
    sheet.lacks("spec.admissionScope")
    if sheet.text("spec.stopPolicy") not in ("", "None"):
        sheet.lacks("spec.stopPolicy", STOPPED)
    if sheet.get("spec.namespaceSelector") not in (None, {}):
        why = (
            "pods of these namespaces that name no queue are this queue's, unless another names their namespace; "
            "pods of every namespace may name it"
        )
        sheet.differs("spec.namespaceSelector", why)
