"""Which nodes a pod may stand on whatever their load: the static filters of kube-scheduler, and the GPU model.

The rules are those of kube-scheduler 1.36 (plugins nodeaffinity, nodeunschedulable, tainttoleration, nodeports;
component-helpers `scheduling/corev1/nodeaffinity`, apimachinery `labels.Requirement`, api `core/v1/toleration.go`).
Each is judged once per distinct label value or set of taints, never per node.
"""

import re
from collections.abc import Callable, Sequence
from typing import assert_never

import numpy as np

from scheduler.model.claims import Amounts
from scheduler.model.flavors import model_matches
from scheduler.model.names import NodeName
from scheduler.model.node import Taint
from scheduler.model.resources import MILLI_GPU
from scheduler.model.workload import HostPort, PodShape, Requirement, Toleration
from scheduler.scoring.devices.choosers import can_gather, can_link, gathered, linked_size
from scheduler.scoring.fleet import Fleet, Mask
from scheduler.scoring.sharing.portions import suits

UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
"""The taint whose toleration lets a pod onto a cordoned node."""

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  the API's own word for every address

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_CANONICAL_INTEGER = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_LONGEST_LABEL = 63
_INT64 = range(-(2**63), 2**63)


def static_mask(fleet: Fleet, shape: PodShape) -> Mask:
    """The nodes whose labels, taints and GPU model suit `shape`; readiness, cordon and load are not judged here."""
    models = shape.models if shape.requests.wants_devices else ()
    linked = linked_size(shape)
    share = 0 if shape.by_claim else smallest_part(shape)
    devices = shape.by_claim if shape.requests.wants_devices else None
    near = (shape.requests.gpus, shape.gpu_steps) if gathered(shape) else None
    pod = (shape.node_selector, shape.affinity, shape.tolerations)
    key = ("static", pod, models, linked, near, share, devices, shape.gpu_memory_mib, *_claimed(shape))

    def make() -> Mask:
        mask = selector_mask(fleet, shape.node_selector, shape.affinity) & taint_mask(fleet, shape.tolerations)
        if models:
            mask &= model_mask(fleet, models)
        if linked:
            mask &= can_link(fleet, linked)
        if near and (taken := can_gather(fleet, *near)) is not None:
            mask &= taken
        if share:
            mask &= parts_mask(fleet, share)
        if devices is not None:
            mask &= fleet.claimable if devices else ~fleet.claims_only
        if shape.gpu_memory_mib:
            mask &= fleet.gpu_memory_mib >= shape.gpu_memory_mib
        if devices:
            mask &= capacity_mask(fleet, shape)
        mask.setflags(write=False)
        return mask

    return fleet.remember(key, make)


def selector_mask(fleet: Fleet, selector: Sequence[tuple[str, str]], affinity: Sequence[Sequence[Requirement]]) -> Mask:
    """The nodes that a node selector and a required node affinity (alternatives; none asks for nothing) accept."""
    mask = np.ones(len(fleet), dtype=np.bool_)
    for key, value in selector:
        mask &= label_mask(fleet, key, value)
    if affinity:
        any_term = np.zeros(len(fleet), dtype=np.bool_)
        for term in affinity:
            any_term |= _term_mask(fleet, term)
        mask &= any_term
    return mask


def label_mask(fleet: Fleet, key: str, value: str) -> Mask:
    """The nodes whose label `key` is `value`."""
    return _by_label(fleet, key, lambda values: [v == value for v in values], absent=False)


def taint_mask(fleet: Fleet, tolerations: Sequence[Toleration]) -> Mask:
    """The nodes none of whose hard taints is left untolerated."""
    codes, taints_of = fleet.hard_taints
    accepts = [all(any(tolerates(t, taint) for t in tolerations) for taint in taints) for taints in taints_of]
    return np.array(accepts, dtype=np.bool_)[codes]


def model_mask(fleet: Fleet, models: Sequence[str]) -> Mask:
    """The nodes whose GPU product is one of `models`."""
    products = fleet.products
    accepts = [any(model_matches(wanted, product) for wanted in models) for product in products.values]
    return np.array([*accepts, False], dtype=np.bool_)[products.codes]


def smallest_part(shape: PodShape) -> int:
    """How large the parts of GPUs have to be that a pod is given, in milli-GPU; 0 where it does not matter."""
    return shape.share_milli if shape.share_milli < MILLI_GPU and shape.requests.shared_gpus else 0


def parts_mask(fleet: Fleet, share_milli: int) -> Mask:
    """The nodes whose plugin divides GPUs into parts of at least that size, or that divide them on demand."""
    return fleet.replicas * share_milli <= MILLI_GPU


def capacity_mask(fleet: Fleet, shape: PodShape) -> Mask:
    """The nodes whose GPUs claims share as the pod claims them, or do not share, where it claims whole ones."""
    codes, ways = fleet.capacities
    requests = shape.requests
    accepts = [
        (not requests.gpus or suits(way, (), parts=False))
        and (not requests.shared_gpus or suits(way, shape.gpu_capacity, parts=True))
        for way in ways
    ]
    return np.array(accepts, dtype=np.bool_)[codes]


def _claimed(shape: PodShape) -> tuple[bool, bool, Amounts]:
    """What of the claims of a pod `capacity_mask` depends on."""
    return bool(shape.requests.gpus), bool(shape.requests.shared_gpus), shape.gpu_capacity


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether `toleration` accepts `taint`; `Gt` and `Lt` compare whole numbers in canonical form."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator:
        case "Exists":
            return True
        case "Equal":
            return toleration.value == taint.value
        case "Gt" | "Lt":
            wanted = _parse(toleration.value, _CANONICAL_INTEGER)
            have = _parse(taint.value, _CANONICAL_INTEGER)
            if wanted is None or have is None:
                return False
            return have > wanted if toleration.operator == "Gt" else have < wanted
        case _:
            assert_never(toleration.operator)


def tolerates_cordon(shape: PodShape) -> bool:
    """Whether the pod may stand on a cordoned node (plugin nodeunschedulable)."""
    return any(tolerates(toleration, UNSCHEDULABLE) for toleration in shape.tolerations)


def ports_clash(wanted: Sequence[HostPort], taken: Sequence[HostPort]) -> bool:
    """Whether any wanted port is taken: same protocol and port, and an address in common."""
    return any(
        a.port == b.port
        and a.protocol == b.protocol
        and (a.address == b.address or EVERY_ADDRESS in {a.address, b.address})
        for a in wanted
        for b in taken
    )


def _term_mask(fleet: Fleet, term: Sequence[Requirement]) -> Mask:
    """The nodes that hold every requirement of a term; a term without any matches no node."""
    mask = np.full(len(fleet), bool(term), dtype=np.bool_)
    for requirement in term:
        mask &= _requirement_mask(fleet, requirement)
    return mask


def _requirement_mask(fleet: Fleet, requirement: Requirement) -> Mask:
    if requirement.on_name:
        return _name_mask(fleet, requirement)
    key, values = requirement.key, frozenset(requirement.values)
    match requirement.operator:
        case "In":
            return _by_label(fleet, key, lambda labels: [v in values for v in labels], absent=False)
        case "NotIn":
            return _by_label(fleet, key, lambda labels: [v not in values for v in labels], absent=True)
        case "Exists":
            return _by_label(fleet, key, lambda labels: [True for _ in labels], absent=False)
        case "DoesNotExist":
            return _by_label(fleet, key, lambda labels: [False for _ in labels], absent=True)
        case "Gt" | "Lt":
            return _by_label(fleet, key, lambda labels: _compare(requirement, labels), absent=False)
        case _:
            assert_never(requirement.operator)


def _compare(requirement: Requirement, labels: Sequence[str]) -> list[bool]:
    limit = _parse(requirement.values[0], _INTEGER) if len(requirement.values) == 1 else None
    if limit is None:
        return [False for _ in labels]
    above = requirement.operator == "Gt"
    numbers = (_parse(label, _INTEGER) for label in labels)
    return [n is not None and (n > limit if above else n < limit) for n in numbers]


def _name_mask(fleet: Fleet, requirement: Requirement) -> Mask:
    """`matchFields` on metadata.name: kube-scheduler takes `In` and `NotIn` with exactly one name."""
    if len(requirement.values) != 1 or requirement.operator not in {"In", "NotIn"}:
        return np.zeros(len(fleet), dtype=np.bool_)
    mask = np.zeros(len(fleet), dtype=np.bool_)
    mask[fleet.rows([NodeName(requirement.values[0])])] = True
    return mask if requirement.operator == "In" else ~mask


def _by_label(fleet: Fleet, key: str, judge: Callable[[Sequence[str]], list[bool]], *, absent: bool) -> Mask:
    """`judge` of each distinct value of the label, spread over the nodes; `absent` where the label is missing."""
    column = fleet.label(key)
    # Code -1 reads the last entry, which stands for nodes without the label.
    return np.array([*judge(column.values), absent], dtype=np.bool_)[column.codes]


def _parse(text: str, form: re.Pattern[str]) -> int | None:
    """The whole number that Go's `strconv.ParseInt` reads from `text` in 64 bits; None where it would fail."""
    if len(text) > _LONGEST_LABEL or not form.fullmatch(text):
        return None
    number = int(text)
    return number if number in _INT64 else None
