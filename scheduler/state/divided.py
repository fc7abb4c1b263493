"""Who has what of the GPUs of a node that divides them on demand, as far as it is known, and else as it is expected."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from scheduler.model.names import PodUid
from scheduler.model.node import MigInstance, Node
from scheduler.model.plan import Assignment
from scheduler.model.resources import GPU, Resources, extended, is_divided
from scheduler.model.workload import Pod, PodShape
from scheduler.scoring.sharing.divided import Divided, hold, hold_slice, need_of, take, untouched
from scheduler.scoring.sharing.portions import share_units, whole_of
from scheduler.state.devices import devices_taken


class DividedUse(msgspec.Struct, frozen=True, kw_only=True):
    """The GPUs taken, whole or in part; how much of those in parts, in units of a GPU; the MIG instances there are.

    `requests`: what counts as used in the tables: parts and slices as the GPUs that are touched by them.
    """

    devices: frozenset[int]
    shares: tuple[tuple[int, int], ...]
    slices: tuple[MigInstance, ...]
    requests: list[Resources]


class _Claim(msgspec.Struct, frozen=True):
    """What a pod asks for, and what of it is known or planned."""

    uid: PodUid
    shape: PodShape
    devices: tuple[int, ...]
    slices: tuple[MigInstance, ...]


def divided_use(
    node: Node,
    pods: Iterable[Pod],
    flights: Iterable[tuple[Assignment, PodShape]],
    claimed: Iterable[int] = (),
    sliced: Iterable[MigInstance] = (),
    parts: Mapping[int, int] = MappingProxyType({}),
) -> DividedUse:
    """The use of a node's GPUs by pods that stand there and by plans in flight, and by claims of nobody there.

    The latter have the GPUs `claimed` whole, the instances `sliced`, and of other GPUs so many units (`parts`).

    Parts and slices of which nothing is known are expected where the planner would put them now, by order of uid; a pod
    for which there is no room counts as one GPU, which shows that the node is over-committed.
    """
    standing, planned = list(pods), sorted(flights, key=lambda flight: flight[0].pod)
    claims = [_Claim(pod.uid, pod.shape, pod.devices, pod.slices) for pod in standing]
    claims += [_Claim(a.pod, shape, a.devices, a.slices) for a, shape in planned]
    claims = sorted((c for c in claims if _in_parts(c.shape)), key=lambda c: c.uid)
    have = untouched(node)
    shares = {device: share for device, share in parts.items() if device not in set(claimed)}
    slices: list[MigInstance] = []
    for device, share in parts.items():
        have = hold(have, device, share=share)
    for one in sliced:
        slices.append(msgspec.structs.replace(one, in_use=True))
        have = hold_slice(have, one)
    for claim in claims:
        for device in claim.devices:
            share = _part(have, claim.shape)
            shares[device] = shares.get(device, 0) + share
            have = hold(have, device, share=share)
        for one in claim.slices:
            slices.append(msgspec.structs.replace(one, in_use=True))
            have = hold_slice(have, one)
    fixed = {(one.device, one.profile, one.start) for one in node.mig_instances}
    touched = {*shares, *(one.device for one in slices), *(device for device, _, _ in fixed)}
    whole = devices_taken(
        [d for d in node.devices if d.index not in touched],
        [pod for pod in standing if not _in_parts(pod.shape)],
        [(a, shape.requests) for a, shape in planned if not _in_parts(shape)],
        claimed,
    )
    for device in whole:
        have = hold(have, device)
    homeless = 0
    for claim in claims:
        left = _expected(have, claim, shares, slices)
        homeless += left is None
        have = have if left is None else left
    held = {(one.device, one.profile, one.start) for one in slices}
    free = [MigInstance(device=d, profile=p, start=s, in_use=False) for d, p, s in sorted(fixed - held)]
    touched |= {*shares, *(one.device for one in slices)}
    sound = {d.index for d in node.devices if d.healthy and not d.mig_enabled}
    counted = sum(claim.shape.requests.gpus for claim in claims)
    nobodys = len(set(claimed) & sound)
    opened = Resources(extended=extended({GPU: max(len((touched - whole) & sound) - counted, 0) + homeless + nobodys}))
    amounts = [pod.shape.requests for pod in standing] + [shape.requests for _, shape in planned]
    return DividedUse(
        devices=frozenset(whole | touched),
        shares=tuple(sorted(shares.items())),
        slices=tuple(sorted([*slices, *free], key=lambda one: (one.device, one.start, one.profile))),
        requests=[*map(undivided, amounts), opened],
    )


def undivided(requests: Resources) -> Resources:
    """The amounts without parts of GPUs and MIG slices."""
    kept = tuple((name, n) for name, n in requests.extended if not is_divided(name))
    return requests if kept == requests.extended else msgspec.structs.replace(requests, extended=kept)


def _in_parts(shape: PodShape) -> bool:
    return undivided(shape.requests) is not shape.requests


def _part(have: Divided, shape: PodShape) -> int:
    """How much a pod has of each of its GPUs; one that has whole ones too is taken to have nothing less."""
    whole = whole_of(have.capacities)
    return whole if shape.requests.gpus else min(share_units(have.capacities, shape), whole)


def _expected(have: Divided, claim: _Claim, shares: dict[int, int], slices: list[MigInstance]) -> Divided | None:
    """What is left after a claim of which something is not known; None where there is no room for it."""
    need = need_of(claim.shape, have.capacities)
    if claim.devices:
        need = need._replace(whole=0, parts=0)
    if claim.slices:
        need = need._replace(slices=())
    if not need.whole and not need.parts and not need.slices:
        return have
    taken = take(have, need)
    if taken is None:
        return None
    for device in taken.devices:
        shares[device] = shares.get(device, 0) + _part(have, claim.shape)
    slices += taken.slices
    return taken.left
