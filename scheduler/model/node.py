"""Nodes and their devices."""

from collections.abc import Mapping
from enum import Enum
from typing import Literal

import msgspec

from scheduler.model.alignment import ANYHOW, Alignment
from scheduler.model.claims import Capacity, DeviceName, MadeSlice, SliceName
from scheduler.model.links import LinkGraph
from scheduler.model.mig import MigModel
from scheduler.model.names import NodeName
from scheduler.model.resources import NOTHING, Resources

TaintEffect = Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class Taint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A taint of a node."""

    key: str
    value: str = ""
    effect: TaintEffect = "NoSchedule"


class Device(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One GPU of a node, by its index in the order of PCI addresses.

    `suspect`: it works, with signs of a fault. `reasons`: what speaks against it, the first sentences of the report.
    `claimed_as`: its name where pods claim devices; None where they do not. `capacities`: what several claims share of
    it; empty where one has it whole.
    """

    index: int
    uuid: str = ""
    model: str = ""
    memory_mib: int = 0
    healthy: bool = True
    suspect: bool = False
    reasons: tuple[str, ...] = ()
    mig_enabled: bool = False
    claimed_as: DeviceName | None = None
    capacities: tuple[Capacity, ...] = ()


class MigInstance(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A slice of a GPU: on which device, of which profile (`3g.40gb`), and its first memory unit.

    `in_use`: a pod holds it, or a plan counts on it.
    """

    device: int
    profile: str
    start: int
    in_use: bool = True


class Allocator(Enum):
    """Who chooses the GPUs of a pod: that decides whether the planner's choice of them is a prediction or exact."""

    DEVICE_PLUGIN = "DevicePlugin"
    """The kubelet, by what the device plugin prefers; it knows nothing of a plan."""

    DRA = "DRA"
    """Dynamic resource allocation: the plan's choice is carried out."""

    SCHEDULER = "Scheduler"
    """kube-scheduler, where dynamic resource allocation serves an extended resource (KEP-5004): not predicted."""


CLIQUE_LABEL = "nvidia.com/gpu.clique"
"""GPUs of several nodes that are one NVLink domain, by GPU feature discovery: `<cluster UUID>.<clique id>`."""


class Node(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A node as the planner sees it. `allocatable.pods` is the kubelet's pod limit.

    `product` is the GPU product as the node labels it (`NVIDIA-H100-80GB-HBM3`), empty on a node without GPUs.
    `devices` is empty where no exporter reported and nothing is assumed; then only counts are known. `links` is None
    where nobody told how the GPUs are connected. `links_assumed`: nobody did, and both are taken to be as in machines
    of type `machine`.

    MIG slices and parts of GPUs come in two ways. Where the device plugin divides GPUs beforehand, `allocatable` counts
    `nvidia.com/mig-<profile>` and `nvidia.com/gpu.shared`, and these counts are all that a plan for pods goes by;
    `mig_instances` tell how GPUs could be divided otherwise (`in_use`: some pod holds it). Where GPUs are divided as
    pods need it (`mig_on_demand`, `shares_on_demand`), the devices are what counts: `mig_instances` are those that
    exist whether a pod holds them or not; more are made and go with their pod. `mig_models`: what the driver tells of
    each product's profiles; where it does not, the table counts. `mig_strategy`, `mig_config`, `mig_state`: how the
    plugin advertises slices, which layout the MIG manager was told to make, and how far it is; `mig_wanted`: which it
    is to be told of, while the node is closed for that. `replicas`: into how many parts the plugin divides each GPU
    that it shares; 1 where it shares none.

    `alignment`: how the kubelet gathers whole GPUs that the device plugin gives out.

    `clique`: the NVLink clique across nodes that the exporter reports, named as by the label `nvidia.com/gpu.clique`;
    "" where it reports none. It is no label: selectors of pods go by `labels` alone.

    `claims_only`: its GPUs are there for pods that claim devices and for no others; `allocatable` counts them too.
    `slice_names`: how slices are claimed that are made as they are claimed. `slices_made`: slices that were made
    beforehand and can be claimed. A node with such counts as one that divides its GPUs on demand, since each slice is
    given out by itself; it makes no others, and `mig_instances` are those that pods may be given.
    `notes`: what its labels say wrongly, in sentences.
    """

    name: NodeName
    uid: str = ""
    labels: Mapping[str, str] = {}
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    ready: bool = True
    allocatable: Resources = NOTHING
    product: str = ""
    machine: str = ""
    devices: tuple[Device, ...] = ()
    links: LinkGraph | None = None
    links_assumed: bool = False
    allocator: Allocator = Allocator.DEVICE_PLUGIN
    alignment: Alignment = ANYHOW
    mig_on_demand: bool = False
    mig_instances: tuple[MigInstance, ...] = ()
    mig_models: tuple[MigModel, ...] = ()
    mig_strategy: str = ""
    mig_config: str = ""
    mig_state: str = ""
    mig_wanted: str = ""
    shares_on_demand: bool = False
    replicas: int = 1
    claims_only: bool = False
    slice_names: tuple[SliceName, ...] = ()
    slices_made: tuple[MadeSlice, ...] = ()
    notes: tuple[str, ...] = ()
    clique: str = ""

    def place(self, label: str) -> str:
        """Where the node stands at the topology level of a label; "" where nobody tells.

        GPU feature discovery writes cliques into labels out of the same driver, once a minute and whether or not the
        fabric is healthy; so where an exporter reports one, that counts.
        """
        return (self.clique if label == CLIQUE_LABEL else "") or self.labels.get(label, "")

    @property
    def places(self) -> Mapping[str, str]:
        """The labels, with the clique that is reported."""
        same = not self.clique or self.labels.get(CLIQUE_LABEL) == self.clique
        return self.labels if same else {**self.labels, CLIQUE_LABEL: self.clique}

    def claimed_as(self, one: MigInstance) -> DeviceName | None:
        """The name by which a slice is claimed; None where it cannot be."""
        if self.slices_made:
            place = (one.device, one.profile, one.start)
            return next((s.name for s in self.slices_made if (s.device, s.profile, s.start) == place), None)
        gpu = next((d.claimed_as for d in self.devices if d.index == one.device), None)
        if gpu is None:
            return None
        wanted = (gpu.device, one.profile, one.start)
        names = (each.name for each in self.slice_names if (each.gpu, each.profile, each.start) == wanted)
        name = next(names, None)
        return None if name is None else DeviceName(driver=gpu.driver, pool=gpu.pool, device=name)

    @property
    def claimable(self) -> bool:
        """Whether pods can claim its devices."""
        return bool(self.slices_made) or any(d.claimed_as is not None for d in self.devices)

    @property
    def divided_beforehand(self) -> frozenset[int]:
        """The GPUs of which pods can claim slices that were made beforehand, and nothing else."""
        return frozenset(each.device for each in self.slices_made)

    @property
    def capacities(self) -> tuple[Capacity, ...]:
        """What claims share of each GPU; empty where they have it whole."""
        return next((d.capacities for d in self.devices if d.claimed_as is not None), ())

    @property
    def on_demand(self) -> bool:
        """Whether its GPUs are divided as pods need it."""
        return self.mig_on_demand or self.shares_on_demand

    @property
    def mig_changing(self) -> bool:
        """Whether its GPUs are being divided anew, so that what it advertises is about to change."""
        return self.mig_state in {"pending", "rebooting"}

    @property
    def unhealthy_devices(self) -> int:
        """How many whole GPUs are reported unhealthy; these are not planned on."""
        return sum(not d.healthy and not d.mig_enabled for d in self.devices)


class TopologyLevel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One level of the fabric: nodes with equal values of `label` stand in the same domain of this level."""

    name: str
    label: str


NODE_LEVEL = TopologyLevel(name="node", label="kubernetes.io/hostname")
"""The innermost level, always there: each node is its own domain."""
