"""What a pod asks for, totalled as kube-scheduler 1.36 does it.

The rules are those of k8s.io/component-helpers v0.36.3, resource/helpers.go `PodRequests`, with the options that
`CalculateResource` in pkg/scheduler/framework/types.go sets by the feature gates of 1.36: statuses count (in-place
resize), and so do pod-level resources.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from scheduler.kube.quantities import milli, nanos, whole
from scheduler.kube.wire import Container, ContainerStatus, Quantities, WirePod
from scheduler.model.resources import GPU, Resources, extended

Nanos = dict[str, int]
"""Amounts by resource name, in units of 10^-9."""

_EMPTY: Quantities = {}
_BASE = ("cpu", "memory", "ephemeral-storage", "pods")


def pod_requests(pod: WirePod) -> Resources:
    """The amounts that the pod takes on its node; it counts as one pod.

    Raises:
        ValueError: a quantity cannot be read.
    """
    statuses = {s.name: s for s in pod.status.container_statuses}
    statuses.update((s.name, s) for s in pod.status.init_container_statuses)
    infeasible = bool(statuses) and _resize_infeasible(pod)
    total: Nanos = {}
    for container in pod.spec.containers:
        _add(total, _effective(container, statuses, infeasible=infeasible))
    if pod.spec.init_containers:
        _max(total, _init_peak(pod.spec.init_containers, statuses, total, infeasible=infeasible))
    if pod.spec.resources is not None:
        _override(total, pod, infeasible=infeasible or _resize_infeasible(pod))
    _add(total, _read(pod.spec.overhead))
    return resources_of(total, pods=1)


def gpu_steps(pod: WirePod) -> tuple[int, ...]:
    """The whole GPUs that the kubelet asks the device plugin for, one container after the other; () where it asks once.

    Containers get the GPUs of init containers before them first (kubelet, devicemanager `devicesToReuse`), and the
    others chosen to go with these. Where that happens in part, nothing is said of the choice: any one, and any other.

    Raises:
        ValueError: a quantity cannot be read.
    """
    inits = [c for c in pod.spec.init_containers if c.restart_policy != "Always"]
    stay = [c for c in pod.spec.init_containers if c.restart_policy == "Always"]
    first = [n for c in inits if (n := _gpus(c))]
    steps = [n for c in (*stay, *pod.spec.containers) if (n := _gpus(c))]
    total = sum(steps)
    if first and first[0] < max(*first, total):
        return (1,) * max(*first, total)
    return tuple(steps) if len(steps) > 1 and not first else ()


def _gpus(container: Container) -> int:
    text = container.resources.requests.get(GPU)
    return 0 if text is None else whole(nanos(text))


def resources_of(total: Mapping[str, int], *, pods: int | None = None) -> Resources:
    """Amounts in the model's units. `pods` replaces the amount of that name; unknown native names are left out."""
    return _resources(tuple(total.items()), pods)


def read_quantities(amounts: Quantities) -> Nanos:
    """Quantities of a node or a pod as numbers."""
    return dict(_read(amounts))


@lru_cache(maxsize=4096)
def _resources(total: tuple[tuple[str, int], ...], pods: int | None) -> Resources:
    amounts = dict(total)
    return Resources(
        milli_cpu=milli(amounts.get("cpu", 0)),
        memory_bytes=whole(amounts.get("memory", 0)),
        ephemeral_bytes=whole(amounts.get("ephemeral-storage", 0)),
        pods=whole(amounts.get("pods", 0)) if pods is None else pods,
        extended=extended({name: whole(n) for name, n in total if name not in _BASE and _is_counted(name)}),
    )


def _is_counted(name: str) -> bool:
    """Whether kube-scheduler counts a resource beside the base ones (util/utils.go `IsScalarResourceName`)."""
    return "/" in name or name.startswith(("hugepages-", "attachable-volumes-"))


def _init_peak(
    containers: Iterable[Container], statuses: Mapping[str, ContainerStatus], total: Nanos, *, infeasible: bool
) -> Nanos:
    """The most that an init container takes together with the sidecars before it (KEP-753).

    Sidecars are added to `total`, as they stay.
    """
    peak: Nanos = {}
    sidecars: Nanos = {}
    for container in containers:
        if container.restart_policy == "Always":
            amounts = _effective(container, statuses, infeasible=infeasible)
            _add(total, amounts)
            _add(sidecars, amounts)
        else:
            step = dict(_read(container.resources.requests))
            _add(step, sidecars)
            _max(peak, step)
    return peak


def _effective(container: Container, statuses: Mapping[str, ContainerStatus], *, infeasible: bool) -> Mapping[str, int]:
    """What a container holds while it is resized: the most of wanted, given and promised."""
    wanted = _read(container.resources.requests)
    status = statuses.get(container.name)
    if status is None or status.resources is None:
        return wanted
    return _most(wanted, status.resources.requests, status.allocated_resources, infeasible=infeasible)


def _override(total: Nanos, pod: WirePod, *, infeasible: bool) -> None:
    """Requests of the pod as a whole replace its containers' sums (KEP-2837)."""
    wanted = _read(pod.spec.resources.requests if pod.spec.resources is not None else _EMPTY)
    effective = wanted
    if pod.status.resources is not None:
        given = pod.status.resources.requests
        effective = _most(wanted, given, pod.status.allocated_resources, infeasible=infeasible)
    for name in wanted:
        if name in {"cpu", "memory"} or name.startswith("hugepages-"):
            total[name] = effective.get(name, 0)


def _most(wanted: Mapping[str, int], given: Quantities, promised: Quantities, *, infeasible: bool) -> Mapping[str, int]:
    most: Nanos = {} if infeasible else dict(wanted)
    _max(most, _read(given))
    _max(most, _read(promised))
    return most


def _resize_infeasible(pod: WirePod) -> bool:
    """The node will never be able to give what the resize asks for, so the request does not count."""
    return next((c.reason == "Infeasible" for c in pod.status.conditions if c.type == "PodResizePending"), False)


def _read(amounts: Quantities) -> Mapping[str, int]:
    return {name: nanos(text) for name, text in amounts.items()}


def _add(total: Nanos, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _max(total: Nanos, other: Mapping[str, int]) -> None:
    for name, amount in other.items():
        if name not in total or amount > total[name]:
            total[name] = amount
