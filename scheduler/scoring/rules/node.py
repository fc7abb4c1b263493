"""Whether a pod may stand on a node, judged one by one as kube-scheduler does: the checker's own reading of it."""

from typing import assert_never

from scheduler.model.claims import Capacity
from scheduler.model.node import Node, Taint
from scheduler.model.workload import PodShape, Requirement, Toleration
from scheduler.scoring.rules.aligned import too_few_aligned
from scheduler.scoring.rules.links import too_few_linked

_INT64_MAX = 2**63 - 1


def why_not_on(shape: PodShape, node: Node) -> list[str]:
    """Every static rule by which `node` does not suit a pod of `shape`; load is not judged here."""
    found: list[str] = []
    if not node.ready:
        found.append("the node is not ready")
    if node.mig_state in {"pending", "rebooting"}:
        found.append("its GPUs are being divided anew")
    cordon = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
    if node.unschedulable and not _any_tolerates(shape.tolerations, cordon):
        found.append("the node is cordoned")
    found += [
        f"the taint {taint.key}={taint.value}:{taint.effect} is not tolerated"
        for taint in node.taints
        if taint.effect in {"NoSchedule", "NoExecute"} and not _any_tolerates(shape.tolerations, taint)
    ]
    found += [
        f"the node's label {key} is not {value!r}"
        for key, value in shape.node_selector
        if key not in node.labels or node.labels[key] != value
    ]
    if shape.affinity and not any(_holds(term, node) for term in shape.affinity):
        found.append("no term of the node affinity holds")
    if shape.models and shape.requests.wants_devices and not any(is_model(m, node.product) for m in shape.models):
        found.append(f"its product {node.product!r} is none of {', '.join(shape.models)}")
    if shape.requests.wants_devices and shape.by_claim:
        found += _unclaimable(shape, node)
    if any(d.memory_mib < shape.gpu_memory_mib for d in node.devices if d.claimed_as is not None):
        found.append(f"not all of its GPUs have {shape.gpu_memory_mib} MiB")
    if shape.requests.wants_devices and not shape.by_claim and node.claims_only:
        found.append("its GPUs are only there for pods that claim them")
    share = 1000 if shape.by_claim else shape.share_milli
    if shape.requests.count("nvidia.com/gpu.shared") and share < 1000 and share > 1000 // node.replicas:
        found.append(f"its GPUs are shared in {node.replicas} parts, of {share} milli each at least is asked for")
    found += too_few_linked(shape, node, (device.index for device in node.devices))
    found += too_few_aligned(shape, node, range(0 if node.links is None else node.links.size))
    return found


def _unclaimable(shape: PodShape, node: Node) -> list[str]:
    """Why the GPUs of a node are none for the claims of a pod."""
    ways = {device.capacities for device in node.devices if device.claimed_as is not None}
    if not node.claimable:
        return ["none of its devices can be claimed"]
    parts = shape.requests.count("nvidia.com/gpu.shared")
    found = ["its GPUs are given to claims in parts"] if shape.requests.gpus and not all(map(_for_one, ways)) else []
    for way in ways if parts else ():
        sizes = {c.name: c.total for c in way}
        missing = [name for name, amount in shape.gpu_capacity if amount > sizes.get(name, -1)]
        told = dict(shape.gpu_capacity)
        above = [c.name for c in way if max(told.get(c.name, 0), c.least or 0) * 1000 > shape.share_milli * c.total]
        if missing or above or not way:
            found.append(f"its GPUs have no {shape.share_milli} milli with {dict(shape.gpu_capacity)} for a claim")
    return found


def _for_one(way: tuple[Capacity, ...]) -> bool:
    """Whether a claim that names no capacity gets all of a GPU."""
    return not way or any(c.default is None or c.default * 1000 > 999 * c.total for c in way)


def is_model(wanted: str, product: str) -> bool:
    """Whether the dash-separated words of `wanted` stand in order among those of `product`, or are it after a `=`."""
    if wanted[:1] == "=":
        return wanted.upper() == f"={product.upper()}"
    words = product.upper().split("-")
    for part in wanted.upper().split("-"):
        if part not in words:
            return False
        words = words[words.index(part) + 1 :]
    return bool(wanted)


def _any_tolerates(tolerations: tuple[Toleration, ...], taint: Taint) -> bool:
    for toleration in tolerations:
        right_effect = toleration.effect in {"", taint.effect}
        right_key = toleration.key in {"", taint.key}
        if right_effect and right_key and _value_tolerated(toleration, taint.value):
            return True
    return False


def _value_tolerated(toleration: Toleration, value: str) -> bool:
    if toleration.operator == "Exists":
        return True
    if toleration.operator == "Equal":
        return toleration.value == value
    limit, have = _canonical(toleration.value), _canonical(value)
    if limit is None or have is None:
        return False
    return have > limit if toleration.operator == "Gt" else have < limit


def _canonical(text: str) -> int | None:
    """A whole number written without plus sign or leading zeros."""
    number = _whole(text)
    return number if number is not None and str(number) == text else None


def _whole(text: str) -> int | None:
    digits = text[1:] if text[:1] in {"+", "-"} else text
    if not digits or any(c not in "0123456789" for c in digits):
        return None
    number = int(text)
    return number if -_INT64_MAX - 1 <= number <= _INT64_MAX else None


def _holds(term: tuple[Requirement, ...], node: Node) -> bool:
    return bool(term) and all(_name_holds(r, node) if r.on_name else _label_holds(r, node) for r in term)


def _name_holds(requirement: Requirement, node: Node) -> bool:
    if len(requirement.values) != 1:
        return False
    same = requirement.values[0] == node.name
    return same if requirement.operator == "In" else requirement.operator == "NotIn" and not same


def _label_holds(requirement: Requirement, node: Node) -> bool:
    there = requirement.key in node.labels
    value = node.labels.get(requirement.key, "")
    match requirement.operator:
        case "In":
            return there and value in requirement.values
        case "NotIn":
            return not there or value not in requirement.values
        case "Exists":
            return there
        case "DoesNotExist":
            return not there
        case "Gt":
            return there and _compares(requirement, value, above=True)
        case "Lt":
            return there and _compares(requirement, value, above=False)
        case _:
            assert_never(requirement.operator)


def _compares(requirement: Requirement, value: str, *, above: bool) -> bool:
    if len(requirement.values) != 1:
        return False
    limit, have = _whole(requirement.values[0]), _whole(value)
    if limit is None or have is None:
        return False
    return have > limit if above else have < limit
