"""Members that are missing from slices part of which stands: each goes where the rest of its slice is."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from scheduler.model.names import PodUid
from scheduler.model.workload import Pod
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.scoring.fleet import Mask
from scheduler.scoring.gangs.gang import Ask, Layout
from scheduler.scoring.gangs.slices import Slice, kind_of
from scheduler.scoring.topology import NO_DOMAIN, domains, find_level

Part = tuple[Candidate, Layout]


def mended(desk: Desk, candidate: Candidate) -> list[Part] | None:
    """Layouts for the pending members, slice by slice; None where one finds no room.

    Each part is the best there is for it; nodes that one part uses are left alone by the next.
    """
    ask = desk.ask(candidate)
    slices = _slices_of(candidate, [size for _, size in ask.slices])
    row_of = desk.fleet.row_of
    rows = {pod.uid: row_of[pod.node] for pod in candidate.standing if pod.node is not None and pod.node in row_of}
    allowed = np.ones(len(desk.fleet), dtype=np.bool_) if ask.allowed is None else ask.allowed.copy()
    parts: list[Part] = []
    for pod in candidate.pending:
        if pod.uid in rows:
            continue
        mates = [[m for m in layer[pod.uid] if m in rows] for layer in slices]
        whole = next((at for at, some in enumerate(mates) if not some), len(mates))
        inside = slices[min(whole, len(mates) - 1)][pod.uid]
        part = candidate.only([p for p in candidate.pending if p.uid in inside and p.uid not in rows])
        pinned = allowed & _pinned(desk, ask.slices[:whole], [[rows[m] for m in some] for some in mates[:whole]])
        pinned &= _with_role(desk, candidate, pod, rows)
        layout = desk.place(part, _asked(desk, part, pinned, ask.slices[whole:]))
        if layout is None:
            return None
        parts.append((part, layout))
        for members, (used, counts) in zip(part.members, layout.groups, strict=True):
            rows.update(zip((p.uid for p in members), np.repeat(used, counts).tolist(), strict=True))
            allowed[used] = False
    return parts


def _asked(desk: Desk, part: Candidate, allowed: Mask, slices: Sequence[Slice]) -> Ask:
    return msgspec.structs.replace(desk.ask(part), allowed=allowed, slices=tuple(slices))


def _pinned(desk: Desk, slices: Sequence[Slice], rows: Sequence[Sequence[int]]) -> Mask:
    """Nodes in the same domains as all `rows` of each layer; none where these stand apart, or in no domain."""
    mask = np.ones(len(desk.fleet), dtype=np.bool_)
    for (level, _), some in zip(slices, rows, strict=True):
        codes = domains(desk.fleet, level).codes
        mask &= codes != NO_DOMAIN
        for row in some:
            mask &= codes == codes[row]
    return mask


def _with_role(desk: Desk, candidate: Candidate, pod: Pod, rows: Mapping[PodUid, int]) -> Mask:
    """Nodes in the domain where others of the pod's role stand or were just placed, if the role has a level."""
    mask = np.ones(len(desk.fleet), dtype=np.bool_)
    level = None if pod.role_required is None else find_level(desk.fleet, desk.snapshot.topology, pod.role_required)
    if level is not None:
        codes = domains(desk.fleet, level).codes
        for mate in candidate.workload.members:
            if mate.uid in rows and mate.role == pod.role:
                mask &= codes == codes[rows[mate.uid]]
    return mask


def _slices_of(candidate: Candidate, sizes: Sequence[int]) -> list[Mapping[PodUid, list[PodUid]]]:
    """For each layer, the slice of every member: the pods of its kind, by rank, that it shares a domain with."""
    kinds: dict[object, list[Pod]] = {}
    for pod in candidate.workload.members:
        if not pod.deleting:
            kinds.setdefault(kind_of(pod), []).append(pod)
    found: list[Mapping[PodUid, list[PodUid]]] = []
    for size in sizes:
        layer: dict[PodUid, list[PodUid]] = {}
        for pods in kinds.values():
            for start in range(0, len(pods), size):
                some = [pod.uid for pod in pods[start : start + size]]
                layer.update(dict.fromkeys(some, some))
        found.append(layer)
    return found
