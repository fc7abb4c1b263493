"""Which of a pod's conditions no node meets: the smallest set of them that no node meets together."""

from itertools import combinations

import msgspec
import numpy as np

from scheduler.model.plan import Blocker, Reason, Wait
from scheduler.model.resources import MIG_PREFIX, MILLI_GPU, Resources, is_divided
from scheduler.model.workload import PodShape
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reasons.wording import amount, listed, resource_name
from scheduler.planning.repartition.stock import MIXED
from scheduler.scoring.devices.choosers import can_gather, can_link, gathered, linked_size
from scheduler.scoring.filters import (
    capacity_mask,
    label_mask,
    model_mask,
    parts_mask,
    selector_mask,
    smallest_part,
    taint_mask,
)
from scheduler.scoring.fleet import Codes, Mask
from scheduler.scoring.sharing.mig_tables import model_on
from scheduler.scoring.sharing.portions import quantity
from scheduler.scoring.topology import NO_DOMAIN, domains, find_level


class Condition(msgspec.Struct, frozen=True):
    """One thing asked of a node: what it is called, the nodes that meet it, and how to lift it."""

    blocker: Blocker
    called: str
    met: Mask
    lift: str


def no_node(desk: Desk, candidate: Candidate) -> Wait | None:
    """Say which conditions of a pod no node meets, whatever the load; None where some node meets all."""
    for group, (shape, _) in enumerate(candidate.groups):
        conditions = _conditions(desk, candidate, group, shape)
        if np.logical_and.reduce([c.met for c in conditions]).any():
            continue
        return _wait(candidate, _smallest(conditions))
    return None


def _smallest(conditions: list[Condition]) -> tuple[Condition, ...]:
    for size in range(1, len(conditions)):
        for some in combinations(conditions, size):
            if not np.logical_and.reduce([c.met for c in some]).any():
                return some
    return tuple(conditions)


def _wait(candidate: Candidate, some: tuple[Condition, ...]) -> Wait:
    only_size = all(c.blocker.kind == "resources" for c in some)
    too_small = only_size and any(c.blocker.available for c in some)
    called = listed([c.called for c in some])
    lifts = listed([c.lift for c in some], "or")
    return Wait(
        workload=candidate.workload.key,
        reason=Reason.INSUFFICIENT_RESOURCES if only_size else Reason.NO_NODE_MATCHES,
        message=f"no node is large enough: a pod needs {called}" if too_small else f"no node has {called}",
        detail="; ".join(f"{c.called}: {int(c.met.sum())} of {len(c.met)} nodes" for c in some),
        blocking=tuple(c.blocker for c in some),
        unblock=f"{lifts[:1].upper()}{lifts[1:]}.",
    )


def _conditions(desk: Desk, candidate: Candidate, group: int, shape: PodShape) -> list[Condition]:
    fleet, room = desk.fleet, desk.room
    found = [
        Condition(
            Blocker(kind="health", subject="node condition Ready"),
            "the state ready and not cordoned",
            room.open_to(shape),
            "bring nodes back",
        )
    ]
    for key, value in shape.node_selector:
        text = f"the label {key}={value}"
        met = label_mask(fleet, key, value)
        found.append(Condition(Blocker(kind="selector", subject=f"{key}={value}"), text, met, f"drop {text}"))
    if shape.affinity:
        met = selector_mask(fleet, (), shape.affinity)
        found.append(
            Condition(
                Blocker(kind="selector", subject="node affinity"),
                "what the required node affinity asks for",
                met,
                "widen the node affinity",
            )
        )
    tolerated = taint_mask(fleet, shape.tolerations)
    if not tolerated.all():
        codes, taints_of = fleet.hard_taints
        off: list[int] = np.unique(codes[~tolerated]).tolist()
        kept_off = sorted({f"{t.key}:{t.effect}" for code in off for t in taints_of[code]})
        found.append(
            Condition(
                Blocker(kind="selector", subject="taints " + ", ".join(kept_off)),
                "only taints that the pod tolerates",
                tolerated,
                "tolerate " + listed(kept_off, "or"),
            )
        )
    if shape.models and shape.requests.wants_devices:
        text = f"GPU model {listed(list(shape.models), 'or')}"
        found.append(
            Condition(
                Blocker(kind="selector", subject=text), text, model_mask(fleet, shape.models), "accept other GPU models"
            )
        )
    if linked := linked_size(shape):
        text = f"{linked} GPUs connected by NVLink"
        met = can_link(fleet, linked)
        found.append(Condition(Blocker(kind="selector", subject=text), text, met, "ask for linked GPUs as preferred"))
    if gathered(shape) and (near := can_gather(fleet, shape.requests.gpus, shape.gpu_steps)) is not None:
        text = f"a kubelet that takes pods of {shape.requests.gpus} GPUs by its topologyManagerPolicy"
        lift = "ask for less in each pod"
        found.append(Condition(Blocker(kind="selector", subject=text), text, near, lift))
    found += _claim_conditions(desk, shape)
    if (share := smallest_part(shape)) and not shape.by_claim:
        text = f"GPUs in parts of at least {share / MILLI_GPU:.4g}"
        met = parts_mask(fleet, share)
        found.append(
            Condition(Blocker(kind="selector", subject=text), text, met, "ask for a smaller bayplan.dev/gpu-share")
        )
    found += [_own_condition(name, met) for name, met in desk.own.masks(shape)]
    found += _level_conditions(desk, candidate, group)
    return [*found, *_sizes(desk, shape)]


def _claim_conditions(desk: Desk, shape: PodShape) -> list[Condition]:
    """GPUs that the pod can claim; or such that are there for pods that claim none."""
    fleet, room = desk.fleet, desk.room
    if not shape.requests.wants_devices or not (shape.by_claim or fleet.claims_only.any()):
        return []
    if shape.by_claim:
        text, met = "GPUs that pods can claim", fleet.claimable
        lift = "run a driver for dynamic resource allocation on nodes"
    else:
        asked = [column for name, _ in shape.requests.extended if (column := room.column(name)) is not None]
        text = "GPUs for pods that do not claim them"
        met = ~fleet.claims_only & (room.allocatable[:, asked] > 0).all(axis=1)
        lift = "claim GPUs with the DeviceClass gpu.bayplan.dev"
    found = [Condition(Blocker(kind="selector", subject=text), text, met, lift)]
    if shape.gpu_memory_mib:
        text, met = f"GPUs of {shape.gpu_memory_mib} MiB", fleet.gpu_memory_mib >= shape.gpu_memory_mib
        found.append(Condition(Blocker(kind="selector", subject=text), text, met, "claim GPUs with less memory"))
    if shape.by_claim and (shape.requests.gpus or shape.requests.shared_gpus):
        asked = ", ".join(f"{quantity(amount)} {name}" for name, amount in shape.gpu_capacity)
        shared = f"GPUs of which several claims have parts{', with ' if asked else ''}{asked}"
        text = shared if shape.requests.shared_gpus else "GPUs that claims do not share"
        met, lift = capacity_mask(fleet, shape), "claim what is offered of GPUs"
        found.append(Condition(Blocker(kind="selector", subject=text), text, met, lift))
    return found


def _own_condition(name: str, met: Mask) -> Condition:
    """A filter of the administrator's own; what lets it pass, only its author knows."""
    blocker = Blocker(kind="selector", subject=f"the filter {name}")
    return Condition(blocker, f"the approval of the filter {name}", met, f"ask who set up the filter {name}")


def _level_conditions(desk: Desk, candidate: Candidate, group: int) -> list[Condition]:
    """A place in each level of which the pods of a group have to share a domain, or want one for themselves."""
    workload = candidate.workload
    role = candidate.members[group][0].role_required
    found: list[Condition] = []
    sliced = (name for name, _ in workload.topology_slices)
    for name in dict.fromkeys((workload.topology_required, role, workload.topology_exclusive, *sliced)):
        level = None if name is None else find_level(desk.fleet, desk.snapshot.topology, name)
        if level is not None:
            inside = domains(desk.fleet, level).codes != NO_DOMAIN
            text = f"a place in the topology level {level.name} (label {level.label})"
            lift = f"label nodes with {level.label}"
            found.append(Condition(Blocker(kind="topology", subject=level.name), text, inside, lift))
    return found


def _sizes(desk: Desk, shape: PodShape) -> list[Condition]:
    """One condition a resource: nodes that have as much of it in all."""
    room = desk.room
    demand = room.demand(shape.requests)
    if demand is None:
        missing = [(n, c) for n, c in shape.requests.extended if c > 0 and desk.room.column(n) is None]
        never = np.zeros(len(desk.fleet), dtype=np.bool_)
        return [_size(desk, name, count, 0, never) for name, count in missing]
    return [_size_of(desk, shape, room.resources[column], n, room.allocatable[:, column]) for column, n in demand]


def _size_of(desk: Desk, shape: PodShape, resource: str, needed: int, have: Codes) -> Condition:
    """Nodes that have as much of a resource in all; of those that divide GPUs on demand, what these could give."""
    parts = desk.room.parts
    if parts.any and is_divided(resource):
        requests = Resources(extended=((resource, needed),))
        could = parts.when_empty(msgspec.structs.replace(shape, requests=requests))
        have = np.where(parts.rows, needed * could, have)
    return _size(desk, resource, needed, int(have.max(initial=0)), have >= needed)


def _size(desk: Desk, resource: str, needed: int, available: int, met: Mask) -> Condition:
    blocker = Blocker(
        kind="resources", subject=resource, needed=needed, available=available, unit=resource_name(resource)
    )
    lift = f"add nodes with {amount(resource, needed)}"
    if resource.startswith(MIG_PREFIX) and _could_be_made(desk, resource.removeprefix(MIG_PREFIX)):
        lift += ", or divide GPUs otherwise (bayplan mig plan)"
    return Condition(blocker, amount(resource, needed), met, lift)


def _could_be_made(desk: Desk, profile: str) -> bool:
    """Whether some node's GPUs are divided beforehand, and could have such slices."""
    return any(
        node.mig_strategy == MIXED
        and not node.on_demand
        and (model := model_on(node)) is not None
        and model.index(profile) is not None
        for node in desk.snapshot.nodes.values()
    )
