"""Who has what of the GPUs of one node: in the place of the kubelet, the exporter, and what divides GPUs on demand."""

from collections.abc import Iterator, Mapping

import msgspec

from scheduler.model.links import LinkGraph
from scheduler.model.names import NodeName
from scheduler.model.node import Allocator, Device, MigInstance, Node
from scheduler.model.workload import PodShape
from scheduler.scoring.devices.links import all_equal, part
from scheduler.scoring.devices.machines import machine_graph
from scheduler.scoring.sharing.divided import Divided, hold, hold_slice, need_of, take, untouched
from scheduler.scoring.sharing.parts import NONE, Given, in_parts
from scheduler.simulate.document import NodeDoc
from scheduler.state.events import DevicesSeen

NAMESPACE = "default"
"""Where all pods of a scenario are."""


class Kubelet:
    """The GPUs of one node, and the pods that have some."""

    def __init__(self, name: str, spec: NodeDoc, *, shares: bool) -> None:
        """`shares`: GPUs are given out in parts as well."""
        self._name = name
        self._spec = spec
        self._report = DevicesSeen(
            node=NodeName(name),
            machine=spec.machine or "",
            devices=_devices(name, spec),
            links=_links(spec),
            # Pods of a scenario get the GPUs that the plan names.
            allocator=Allocator.DRA,
            mig_on_demand=spec.divides,
            shares_on_demand=shares and spec.gpus > 0,
            mig_instances=tuple(
                MigInstance(device=one.device, profile=one.profile, start=one.start, in_use=False)
                for one in spec.instances
            ),
        )
        self._held: dict[str, tuple[PodShape, Given]] = {}

    def give(self, pod: str, shape: PodShape, planned: Given = NONE) -> Given | None:
        """What a pod gets: the planned GPUs and slices, or else free ones, the soundest; None: no room."""
        given: Given | None = planned
        if planned == NONE:
            given = self._divided(shape) if in_parts(shape) else self._whole(shape.requests.gpus)
        if given is not None and given != NONE:
            self._held[pod] = (shape, given)
        return given

    def take_back(self, pod: str) -> None:
        """The pod is gone."""
        self._held.pop(pod, None)

    def report(self) -> Iterator[DevicesSeen]:
        """What the exporter reports, where there is one: on nodes with GPUs."""
        if self._spec.gpus:
            held = {pod: given for pod, (_, given) in self._held.items()}
            yield msgspec.structs.replace(self._report, held=_named(held), slices_held=_slices(held))

    def _whole(self, gpus: int) -> Given | None:
        taken = {index for _, given in self._held.values() for index in given.devices}
        taken |= {one.device for _, given in self._held.values() for one in given.slices}
        taken |= {one.device for one in self._spec.instances}
        spec = self._spec
        free = sorted(set(range(spec.gpus)) - taken, key=lambda i: (i in spec.unhealthy, i in spec.suspect, i))
        return Given(devices=tuple(sorted(free[:gpus]))) if gpus <= len(free) else None

    def _divided(self, shape: PodShape) -> Given | None:
        for sick in (False, True):
            taken = take(self._have(sick=sick), need_of(shape, ()))
            if taken is not None:
                return Given(devices=taken.devices, slices=taken.slices)
        return None

    def _have(self, *, sick: bool) -> Divided:
        """The GPUs as they are; `sick`: broken ones count as healthy."""
        devices = tuple(msgspec.structs.replace(d, healthy=d.healthy or sick) for d in self._report.devices)
        have = untouched(
            Node(
                name=self._report.node,
                product=self._spec.model,
                devices=devices,
                mig_on_demand=self._report.mig_on_demand,
                shares_on_demand=self._report.shares_on_demand,
                mig_instances=self._report.mig_instances,
            )
        )
        for shape, given in self._held.values():
            for device in given.devices:
                have = hold(have, device, share=None if shape.requests.gpus else shape.share_milli)
            for one in given.slices:
                have = hold_slice(have, one)
        return have


def _named(held: Mapping[str, Given]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((f"{NAMESPACE}/{pod}", given.devices) for pod, given in held.items() if given.devices)


def _slices(held: Mapping[str, Given]) -> tuple[tuple[str, tuple[MigInstance, ...]], ...]:
    return tuple((f"{NAMESPACE}/{pod}", given.slices) for pod, given in held.items() if given.slices)


def _links(spec: NodeDoc) -> LinkGraph:
    """Those of the machine type, of a larger one those of its first GPUs; where none is given, all GPUs are equal."""
    graph = None if spec.machine is None else machine_graph(spec.machine)
    return all_equal(spec.gpus) if graph is None else part(graph, spec.gpus)


def _devices(node: str, spec: NodeDoc) -> tuple[Device, ...]:
    return tuple(
        Device(
            index=index,
            uuid=f"GPU-{node}-{index}",
            model=spec.model,
            memory_mib=spec.gpu_memory_mib,
            healthy=index not in spec.unhealthy,
            suspect=index in spec.suspect,
        )
        for index in range(spec.gpus)
    )
