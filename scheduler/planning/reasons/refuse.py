"""Why a workload that was taken up cannot be placed now: the first of quota, nodes, and room that stands in the way."""

from collections.abc import Sequence

import msgspec
import numpy as np

from scheduler.model.names import QueueName, people_name
from scheduler.model.node import TopologyLevel
from scheduler.model.plan import Blocker, Reason, Wait
from scheduler.model.queue import CPU, MEMORY
from scheduler.model.snapshot import IntTable
from scheduler.model.workload import PodShape
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reasons.further import further
from scheduler.planning.reasons.no_layout import no_domain_apart, no_layout
from scheduler.planning.reasons.no_node import no_node
from scheduler.planning.reasons.no_part import no_part
from scheduler.planning.reasons.no_role import name_roles
from scheduler.planning.reasons.unhealthy import healed, sick_gpus, with_sick
from scheduler.planning.reasons.wording import (
    amount,
    asked,
    gpus,
    lasting,
    listed,
    pods,
    quota_amount,
    quota_unit,
    resource_name,
)
from scheduler.planning.reclaim.options import options_of
from scheduler.planning.reserve.text import kept_for
from scheduler.quota.tree import NOBODY, USER, Shortage
from scheduler.scoring.devices.choosers import linked_size
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.gangs.gang import Ask
from scheduler.scoring.gangs.problem import held_by, model_choices, usable
from scheduler.scoring.topology import NO_DOMAIN, domains

SHORT_OF_GPUS = frozenset(
    {Reason.NO_NODE_MATCHES, Reason.INSUFFICIENT_RESOURCES, Reason.FRAGMENTED, Reason.TOPOLOGY_UNSATISFIED}
)
"""Reasons to wait that GPUs which are not healthy may be the cause of."""


def refuse(desk: Desk, candidate: Candidate, *, briefly: bool = False) -> Wait:
    """The reason in the terms of whoever asked, judged by the fewest members that would have to be placed.

    `briefly`: without looking for what would open the way.
    """
    least = candidate.least
    refused = _no_quota(desk, least)
    if refused is not None:
        return refused
    refused = no_node(desk, least)
    if refused is not None:
        return name_roles(desk, least, _with_sick(desk, least, refused))
    wait = name_roles(desk, least, _with_sick(desk, least, _no_room(desk, least)))
    behind_others = _behind_others(desk, least, wait)
    if behind_others is not None or briefly:
        return behind_others or wait
    return further(desk, least, wait)


def _with_sick(desk: Desk, candidate: Candidate, wait: Wait) -> Wait:
    """The refusal, and which GPUs are not healthy where they would do."""
    sick = sick_gpus(desk, candidate)
    if not sick or wait.reason not in SHORT_OF_GPUS:
        return wait
    return with_sick(desk, wait, sick, helps=_roomy(desk, desk.ask(candidate), more=healed(desk, sick)))


def behind(candidate: Candidate, ahead: Candidate) -> Wait:
    """A workload that its queue holds back because one before it has to wait."""
    queue = str(candidate.workload.queue)
    first = people_name(ahead.workload.key)
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.QUEUE_ORDER,
        message="an earlier workload of its queue waits, and the queue keeps its order (StrictFIFO)",
        detail=f"{first} of queue {queue} comes first",
        blocking=(Blocker(kind="gang", subject=first),),
        unblock=f"It has its turn when {first} starts, with a higher priority, or with order Fair in queue {queue}.",
    )


def _no_quota(desk: Desk, candidate: Candidate) -> Wait | None:
    queue = QueueName(str(candidate.workload.queue))
    shortage = desk.ledger.shortage(queue, desk.base_bill(candidate))
    if shortage is None:
        return None
    wait = _quota_wait(candidate, shortage)
    if desk.slots.inside and desk.unreserved.shortage(queue, desk.base_bill(candidate)) is None:
        return _behind_reservations(desk, wait, "quota")
    return wait


def _quota_wait(candidate: Candidate, shortage: Shortage) -> Wait:
    flavor, name = shortage.flavor, shortage.queue
    if flavor is not None and flavor.startswith(USER):
        return _user_wait(candidate, shortage, flavor.removeprefix(USER))
    of = "" if flavor is None else f" of {flavor}"
    own = candidate.workload.queue
    above = "" if own in (None, name) else f", which is above {own},"
    ends = f"any queue below {name}" if above else "the queue"
    never = shortage.needed_milli_gpu > shortage.most_milli_gpu
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.QUOTA_EXHAUSTED,
        message=f"it asks for more{of} than queue {name}{above} may ever use"
        if never
        else f"the quota{of} of queue {name}{above} is used up",
        detail=f"needs {quota_amount(flavor, shortage.needed_milli_gpu)}; queue {name} may use "
        f"{quota_amount(None if flavor not in (CPU, MEMORY) else flavor, shortage.most_milli_gpu)} and has "
        f"{quota_amount(None if flavor not in (CPU, MEMORY) else flavor, shortage.left_milli_gpu)} left",
        blocking=(
            Blocker(
                kind="quota",
                subject=f"{shortage.queue}{of}",
                needed=shortage.needed_milli_gpu,
                available=shortage.left_milli_gpu,
                unit=quota_unit(flavor),
            ),
        ),
        unblock=f"{'Ask' if never else 'Wait until work of ' + ends + ' ends, or ask'} for a larger nominal quota or "
        f"borrowingLimit{of} in queue {shortage.queue}.",
    )


def _user_wait(candidate: Candidate, shortage: Shortage, user: str) -> Wait:
    never = shortage.needed_milli_gpu > shortage.most_milli_gpu
    whose = "pods that do not say whose they are" if user == NOBODY else f"user {user}"
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.QUOTA_EXHAUSTED,
        message=f"it asks for more than queue {shortage.queue} allows to any one user"
        if never
        else f"{whose} may use no more of queue {shortage.queue}",
        detail=f"needs {gpus(shortage.needed_milli_gpu)}; queue {shortage.queue} allows "
        f"{gpus(shortage.most_milli_gpu)} to a user, and {whose} may use {gpus(shortage.left_milli_gpu)} more",
        blocking=(
            Blocker(
                kind="quota",
                subject=f"{shortage.queue} for {whose}",
                needed=shortage.needed_milli_gpu,
                available=shortage.left_milli_gpu,
                unit="milli-GPU",
            ),
        ),
        unblock=f"{'Ask' if never else 'Wait until other work of that user ends, or ask'} for a larger userLimit in "
        f"queue {shortage.queue}.",
    )


def _no_room(desk: Desk, candidate: Candidate) -> Wait:
    """Why there is no room, where quota and some node would do."""
    ask = desk.ask(candidate)
    kept_off = next((wait for shape, _ in candidate.groups if (wait := _kept_off(desk, candidate, shape))), None)
    if kept_off is not None:
        return kept_off
    if candidate.workload.avoid:
        wider = desk.ask(candidate, ignore_avoid=True)
        if not _roomy(desk, ask) and _roomy(desk, wider):
            return _refused_nodes(candidate)
    if not _roomy(desk, ask):
        unpaid = desk.ask(candidate, ignore_quota=True)
        if _roomy(desk, unpaid):
            return _no_flavor_quota(desk, candidate)
        if _roomy(desk, desk.ask(candidate, ignore_apart=True)):
            return no_domain_apart(desk, candidate, ask)
    free = msgspec.structs.replace(ask, required=None)
    if ask.required is not None and _roomy(desk, free):
        return _no_domain(desk, candidate, ask, ask.required)
    if _roomy(desk, ask) and (wait := no_layout(desk, candidate, ask)) is not None:
        return wait
    return no_part(desk, candidate, free) or _too_little(desk, candidate, free) or _fragmented(desk, candidate, free)


def _kept_off(desk: Desk, candidate: Candidate, shape: PodShape) -> Wait | None:
    """Free GPUs on nodes that such pods are kept off, since a GPU could be given twice there."""
    room = desk.room
    off = room.sides.off(shape) & room.view(shape).mask
    fits = off & np.logical_and.reduce([room.free[:, column] >= n for column, n in room.demand(shape.requests) or ()])
    if not fits.any():
        return None
    if shape.by_claim:
        message = "GPUs that it could claim are on nodes where it is not known which of them other pods hold"
        unblock = "It starts when these pods are gone, or when the node's exporter reports which GPUs they hold."
    else:
        message = "the GPUs that are free are on nodes whose device plugin does not know which of them claims hold"
        unblock = "It starts when no claim holds GPUs of such a node; or claim its GPUs too."
    count = int(fits.sum())
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.INSUFFICIENT_RESOURCES,
        message=message,
        detail=f"{count} of {len(off)} nodes have room otherwise",
        blocking=(Blocker(kind="resources", subject="GPUs given out in two ways", available=count, unit="nodes"),),
        unblock=unblock,
    )


def _roomy(desk: Desk, ask: Ask, *, more: IntTable | None = None) -> bool:
    """Whether each group by itself finds room, with `more`: on some model's nodes, in some domain if one is needed."""
    fits = usable(desk.room, ask, more)
    codes = None if ask.required is None else domains(desk.fleet, ask.required).codes
    return any(
        _enough([_on(choice, f) for f in fits], [count for _, count in ask.groups], codes)
        for choice in model_choices(desk.room, [shape for shape, _ in ask.groups], ask.standing)
    )


def _enough(fits: Sequence[Codes], counts: Sequence[int], codes: Codes | None) -> bool:
    if codes is None:
        return all(int(f.sum()) >= count for f, count in zip(fits, counts, strict=True))
    return bool(np.logical_and.reduce([held_by(codes, f) >= n for f, n in zip(fits, counts, strict=True)]).any())


def _on(choice: Mask | None, fits: Codes) -> Codes:
    return fits if choice is None else np.where(choice, fits, 0)


def _refused_nodes(candidate: Candidate) -> Wait:
    avoided = sorted(candidate.workload.avoid)
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.NODE_REFUSED,
        message="kube-scheduler refused the nodes that it would fit on",
        detail=f"refused by kube-scheduler: {', '.join(avoided[:5])}"
        + (f" and {len(avoided) - 5} more" if len(avoided) > 5 else ""),
        blocking=(Blocker(kind="selector", subject="rules only kube-scheduler judges", available=len(avoided)),),
        unblock="Look at the events of its pods for the rule that refuses (inter-pod affinity, topology spread, "
        "volumes); a node is tried again when it changes.",
    )


def _no_flavor_quota(desk: Desk, candidate: Candidate) -> Wait:
    """The flavor whose quota keeps the workload from nodes that have room."""
    queue = QueueName(str(candidate.workload.queue))
    shortages = (desk.ledger.shortage(queue, bill) for _, bill in options_of(desk, candidate))
    return _quota_wait(candidate, next(shortage for shortage in shortages if shortage is not None))


def _no_domain(desk: Desk, candidate: Candidate, ask: Ask, level: TopologyLevel) -> Wait:
    fits = usable(desk.room, ask)
    codes = domains(desk.fleet, level).codes
    count = len(candidate.pending)
    holds = sum((np.minimum(held_by(codes, f), n) for f, (_, n) in zip(fits, ask.groups, strict=True)), np.zeros(1))
    inside = int((codes != NO_DOMAIN).sum())
    best = int(np.max(holds, initial=0))
    standing = " where its other pods stand" if candidate.standing else ""
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.TOPOLOGY_UNSATISFIED,
        message=f"no {level.name}{standing} has room for all its pods together",
        detail=f"needs room for {pods(count)} in one {level.name}{standing}; the best has room for {best}"
        f"{', but not for pods of all sizes together' if best >= count else ''} "
        f"({inside} of {len(codes)} nodes have the label {level.label})",
        blocking=(Blocker(kind="topology", subject=level.name, needed=count, available=best, unit="pods"),),
        unblock=f"It starts when enough work leaves one {level.name}.",
    )


def _too_little(desk: Desk, candidate: Candidate, ask: Ask) -> Wait | None:
    """The resource of which the suitable nodes together have too little free."""
    totals: dict[int, int] = {}
    for shape, count in candidate.groups:
        for column, n in desk.room.demand(shape.requests) or ():
            totals[column] = totals.get(column, 0) + n * count
    names = desk.room.resources
    mask = np.logical_or.reduce([desk.room.view(shape).mask for shape, _ in candidate.groups])
    if ask.allowed is not None:
        mask = mask & ask.allowed
    choices = model_choices(desk.room, [shape for shape, _ in ask.groups], ask.standing)
    # Devices are what people wait for, so a lack of them is told first.
    for column, needed in sorted(totals.items(), key=lambda entry: -entry[0]):
        free = np.maximum(desk.room.free[:, column], 0)
        is_device = "/" in names[column]
        spots = [mask if choice is None or not is_device else mask & choice for choice in choices]
        available = max((int(free[spot].sum()) for spot in spots), default=0)
        if available < needed:
            return _short_of(candidate, names[column], needed, available)
    return None


def _short_of(candidate: Candidate, resource: str, needed: int, available: int) -> Wait:
    name = resource_name(resource)
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.INSUFFICIENT_RESOURCES,
        message=f"too few {name} are free on nodes that suit it"
        if "/" in resource
        else f"too little {name} is free on nodes that suit it",
        detail=f"needs {amount(resource, needed)}; {amount(resource, available)} free on suitable nodes",
        blocking=(Blocker(kind="resources", subject=resource, needed=needed, available=available, unit=name),),
        unblock="It starts when enough running work ends on those nodes, or when nodes are added.",
    )


def _fragmented(desk: Desk, candidate: Candidate, ask: Ask) -> Wait:
    """The sum is there, but not in pieces that pods fit into."""
    fits = usable(desk.room, ask)
    choices = model_choices(desk.room, [shape for shape, _ in ask.groups], ask.standing)
    for (shape, count), f in zip(ask.groups, fits, strict=True):
        room = max((int(_on(choice, f).sum()) for choice in choices), default=0)
        if room >= count:
            continue
        what = _what(shape) + (" connected by NVLink" if linked_size(shape) else "")
        suitable = np.flatnonzero(desk.room.view(shape).mask)
        unsure, apart = desk.room.devices.unsure(suitable, shape), desk.room.devices.scattered(suitable, shape)
        return Wait(
            workload=candidate.workload.key,
            reason=Reason.FRAGMENTED,
            message=f"enough is free in sum, but not {what} on one node for every pod",
            detail=f"room for {room} of {pods(count)} that need {what} each"
            + (f"; on {unsure} more nodes they are free, and the device plugin may give others" if unsure else "")
            + (f"; on {apart} more nodes they are free, on more NUMA nodes than the kubelet allows" if apart else ""),
            blocking=(Blocker(kind="fragmentation", subject=what, needed=count, available=room, unit="pods"),),
            unblock="It starts when work on partly used nodes ends, or with pods that ask for less each"
            + (", or with linked GPUs as preferred." if linked_size(shape) else "."),
        )
    certain = desk.is_certain(candidate)
    proof = " (proved)" if certain else " (the solver's budget ended before that was proved)"
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.FRAGMENTED,
        message="enough is free for each kind of pod, but not for all of them together",
        detail="; ".join(f"{pods(count)} with {_what(shape)}" for shape, count in ask.groups) + proof,
        blocking=(Blocker(kind="fragmentation", subject="pods of different sizes", needed=len(candidate.pending)),),
        unblock="It starts when work on partly used nodes ends.",
    )


def _what(shape: PodShape) -> str:
    """What a pod asks for, devices alone where there are any: `4 GPUs`, `8 cores and 64 GiB memory`."""
    requests = shape.requests
    devices = asked(shape)
    rest = [amount("milli_cpu", requests.milli_cpu), amount("memory_bytes", requests.memory_bytes)]
    return " and ".join(devices or rest)


def _behind_others(desk: Desk, candidate: Candidate, wait: Wait) -> Wait | None:
    """Who is ahead, where the room kept for workloads ahead would have been enough."""
    ask = desk.ask(candidate)
    if desk.holds.holders and _roomy(desk, ask, more=desk.holds.amounts):
        ahead = desk.holds.holders
        return msgspec.structs.replace(
            wait,
            message="the room that it needs is kept for a gang ahead of it",
            detail=f"{wait.detail}; room is kept for {', '.join(ahead)}",
            blocking=tuple(Blocker(kind="gang", subject=name) for name in ahead),
            unblock=f"It starts after {' and '.join(ahead)}, or with a higher priority.",
        )
    if desk.slots.held is None:
        return None
    if _roomy(desk, ask, more=desk.slots.held):
        return _behind_reservations(desk, wait, "room")
    both = desk.slots.held + desk.holds.amounts
    return _behind_reservations(desk, wait, "room") if desk.holds.holders and _roomy(desk, ask, more=both) else None


def _behind_reservations(desk: Desk, wait: Wait, what: str) -> Wait:
    """The refusal of a workload that would run past the start of others, and take what is reserved for them."""
    ahead = [slot.reservation for slot in desk.slots.inside]
    names = [people_name(reservation.workload) for reservation in ahead]
    shortest_s = min(reservation.kept_from_s for reservation in ahead) - desk.now_s
    return msgspec.structs.replace(
        wait,
        message=f"the {what} that it needs is reserved for a workload ahead of it",
        detail=f"{wait.detail}; {what} is kept for {kept_for(ahead)}",
        blocking=tuple(Blocker(kind="gang", subject=name) for name in names),
        unblock=f"It starts after {listed(names)}, with a higher priority, or before, if it is known to end within "
        f"{lasting(shortest_s)} (annotation bayplan.dev/duration).",
    )
