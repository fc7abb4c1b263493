"""What is asked for, as the search for moves takes it; or why that cannot be asked, or can never be."""

import difflib

import msgspec
import numpy as np

from scheduler.model.names import NodeName, QueueName, WorkloadKey, gang_key, people_name, pod_key
from scheduler.model.node import NODE_LEVEL, TopologyLevel
from scheduler.model.resources import GPU, GPU_SHARED, MIG_PREFIX
from scheduler.model.snapshot import IntTable, Snapshot
from scheduler.planning.candidate import Candidate, candidate_of
from scheduler.planning.defrag.advice import MakeFit, NoAdvice, OpenDomain, Target
from scheduler.planning.defrag.movers import Pool, Scene, seat_of
from scheduler.planning.reasons.no_node import no_node
from scheduler.planning.reasons.refuse import refuse
from scheduler.planning.reasons.wording import listed
from scheduler.planning.screen import screen
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.moves.moves import Bundle, Opening
from scheduler.scoring.topology import NO_DOMAIN, domains, find_level

SHOWN = 5
"""Names listed in a sentence."""


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """Either nodes to open, by the domain that each stands in, or a waiting workload and what it needs."""

    opening: Opening | None = None
    names: tuple[str, ...] = ()
    """The domains of the opening, by code."""
    waiting: Candidate | None = None
    seat: Bundle | None = None


def goal_of(scene: Scene, pool: Pool, target: Target) -> Goal | NoAdvice:
    """The goal that `target` means, if any moves could reach it as far as can be told without looking for them."""
    match target:
        case OpenDomain():
            return _opening(scene, pool, target)
        case MakeFit():
            return _fitting(scene, pool, target)


def device_columns(snapshot: Snapshot) -> list[int]:
    """The columns of GPUs, parts of GPUs and MIG slices."""
    return [
        column
        for column, name in enumerate(snapshot.columns.resources)
        if name in {GPU, GPU_SHARED} or name.startswith(MIG_PREFIX)
    ]


def _opening(scene: Scene, pool: Pool, target: OpenDomain) -> Goal | NoAdvice:
    snapshot, fleet = scene.snapshot, scene.fleet
    if target.nodes is not None and target.nodes < 1:
        return NoAdvice(message=f"the number of nodes is {target.nodes}; allowed: 1 or more", unknown=True)
    level = find_level(fleet, snapshot.topology, target.level)
    if level is None:
        known = ", ".join(each.name for each in (*snapshot.topology, NODE_LEVEL))
        message = f"the level is {target.level!r}; allowed: {known}, or the key of a label that nodes have"
        return NoAdvice(message=message, unknown=True)
    column = domains(fleet, level)
    codes = column.codes
    if target.domain is not None:
        code = column.index_of(target.domain)
        if code is None:
            near = difflib.get_close_matches(target.domain, column.values, n=SHOWN) or column.values[:SHOWN]
            message = f"no node is in {level.name} {target.domain!r}; there are {', '.join(near) or 'none'}"
            message += " and others" if len(column.values) > SHOWN else ""
            return NoAdvice(message=message, unknown=True)
        codes = np.where(codes == code, codes, NO_DOMAIN)
    have = snapshot.columns.allocatable[:, device_columns(snapshot)].sum(axis=1) > 0
    in_question = have & _may_open(snapshot, target) & (codes != NO_DOMAIN)
    if target.nodes is not None:
        in_question &= ~_unhealthy(snapshot)
    can_open = in_question & ~_kept(snapshot, pool).astype(np.bool_)
    wanted = np.bincount(codes[in_question], minlength=len(column.values))
    there = np.bincount(codes[can_open], minlength=len(column.values))
    least = wanted if target.nodes is None else np.full_like(there, target.nodes)
    enough = (there >= least) & (there > 0)
    if not enough.any():
        return _cannot_open(scene, pool, target, level, in_question, there, least)
    opens = np.where(can_open & enough[codes], codes, NO_DOMAIN)
    return Goal(opening=Opening(codes=opens, count=target.nodes), names=column.values)


def _may_open(snapshot: Snapshot, target: OpenDomain) -> Mask:
    """Ready nodes that are not cordoned; of a domain that is named whole, cordoned ones too: it is being emptied."""
    if target.domain is None or target.nodes is not None:
        return snapshot.columns.usable
    return np.array([snapshot.nodes[name].ready for name in snapshot.columns.names], dtype=np.bool_)


def _unhealthy(snapshot: Snapshot) -> Mask:
    nodes = snapshot.nodes
    return np.array(
        [any(not d.healthy for d in nodes[name].devices) for name in snapshot.columns.names], dtype=np.bool_
    )


def _kept(snapshot: Snapshot, pool: Pool) -> Codes:
    """How many devices of each node are held by what does not move."""
    devices = device_columns(snapshot)
    kept: IntTable = snapshot.columns.used.copy()
    for mover in pool.movers:
        for row, amounts in mover.use.items():
            for column, n in amounts:
                kept[row, column] -= n
    return kept[:, devices].sum(axis=1)


def _cannot_open(
    scene: Scene,
    pool: Pool,
    target: OpenDomain,
    level: TopologyLevel,
    in_question: Mask,
    there: Codes,
    least: Codes,
) -> NoAdvice:
    if not in_question.any():
        what = "healthy GPUs" if target.nodes is not None else "GPUs"
        where = f"{level.name} {target.domain}" if target.domain is not None else f"any {level.name}"
        ready = "ready" if target.domain is not None and target.nodes is None else "ready and not cordoned"
        return NoAdvice(message=f"no node of {where} that is {ready} has {what}")
    missing = int((least - there).max(initial=0))
    match target:
        case OpenDomain(domain=None, nodes=None):
            message = f"no {level.name} can be emptied by moves"
        case OpenDomain(domain=None):
            message = f"no {level.name} has {target.nodes} nodes that moves can empty"
        case OpenDomain(nodes=None):
            nodes = f"{missing} node{'' if missing == 1 else 's'}"
            message = f"{nodes} of {level.name} {target.domain} cannot be emptied by moves"
        case _:
            has = int(there.max(initial=0))
            message = f"{level.name} {target.domain} has {has} of {target.nodes} nodes that moves can empty"
    return NoAdvice(message=f"{message}: {_what_stays(scene, pool, in_question)}")


def _what_stays(scene: Scene, pool: Pool, in_question: Mask) -> str:
    """Work on these nodes that does not move, and why."""
    snapshot = scene.snapshot
    names = {name for name, asked in zip(snapshot.columns.names, in_question, strict=True) if asked}
    found: list[str] = []
    for key, why in pool.stays.items():
        pods = [p for p in snapshot.workloads[key].placed if p.node in names and p.shape.requests.wants_devices]
        if pods:
            found.append(f"{people_name(key)} on {pods[0].node}: {why}")
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    if not found:
        return "work of other schedulers holds GPUs there"
    return "; ".join(found[:SHOWN]) + more


def _fitting(scene: Scene, pool: Pool, target: MakeFit) -> Goal | NoAdvice:
    snapshot = scene.snapshot
    namespace, slash, name = target.workload.partition("/")
    if not (namespace and slash and name) or "/" in name:
        return NoAdvice(message=f"the workload is {target.workload!r}; allowed: NAMESPACE/NAME", unknown=True)
    key = _find(snapshot, namespace, name)
    if key is None:
        waiting = [people_name(k) for k, w in sorted(snapshot.workloads.items()) if w.pending]
        near = difflib.get_close_matches(target.workload, waiting, n=SHOWN)
        hint = f"; waiting work with a name like it: {', '.join(near)}" if near else ""
        return NoAdvice(message=f"nothing called {target.workload!r} is planned by Bayplan{hint}", unknown=True)
    whole = candidate_of(snapshot.workloads[key])
    if whole is None:
        return NoAdvice(message=f"{target.workload} does not wait: all its pods have nodes")
    if key in snapshot.in_flight:
        return NoAdvice(message=f"{target.workload} does not wait: it is being started")
    refusal = screen(snapshot, scene.fleet, whole)
    if refusal is not None:
        message = f"moves do not help {target.workload}: {refusal.message}"
        return NoAdvice(message=message, unblock=refusal.unblock)
    candidate = whole.first(whole.needed) if whole.needed < len(whole.pending) else whole
    if any(pod.shape.scheduler_rules for pod in candidate.pending):
        rules = listed(sorted({rule for pod in candidate.pending for rule in pod.shape.scheduler_rules}))
        return NoAdvice(message=f"{target.workload} has rules that only kube-scheduler can judge ({rules})")
    desk = scene.desk(snapshot)
    short = desk.ledger.shortage(QueueName(str(candidate.workload.queue)), desk.base_bill(candidate)) is not None
    now = refuse(desk, candidate) if short else no_node(desk, candidate)
    if now is not None:
        message = f"moves do not help {target.workload}: {now.message}"
        return NoAdvice(message=message, unblock=now.unblock)
    return Goal(waiting=candidate, seat=seat_of(pool.desk, candidate))


def _find(snapshot: Snapshot, namespace: str, name: str) -> WorkloadKey | None:
    """The gang, the pod alone, or the gang of the pod of that name."""
    for key in (gang_key(namespace, name), pod_key(namespace, name)):
        if key in snapshot.workloads:
            return key
    members = ((key, pod) for key, workload in snapshot.workloads.items() for pod in workload.members)
    return next((key for key, pod in members if (pod.namespace, pod.name) == (namespace, name)), None)


def opened_names(scene: Scene, rows: tuple[int, ...]) -> tuple[NodeName, ...]:
    """The nodes of rows."""
    return tuple(scene.fleet.names[row] for row in rows)
