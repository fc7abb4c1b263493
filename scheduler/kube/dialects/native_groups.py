"""Kubernetes' own groups, in all shapes that they had: Workload of 1.35, PodGroup of 1.36 and of 1.37.

Fields as in `staging/src/k8s.io/api/scheduling/{v1alpha1,v1alpha2,v1beta1}/types.go`.
"""

import msgspec

from scheduler.kube.dialects import native
from scheduler.kube.dialects.foreign import Draft, ForeignKind, TopologyKey
from scheduler.kube.wire import Meta, Present, Wire
from scheduler.model.workload import GangClaim
from scheduler.state.events import GroupSeen


class _Gang(Wire, frozen=True, kw_only=True):
    min_count: int = 1


class _Policy(Wire, frozen=True, kw_only=True):
    gang: _Gang | None = None
    basic: Present | None = None


class _Constraints(Wire, frozen=True, kw_only=True):
    topology: list[TopologyKey] = []


class _GroupSpec(Wire, frozen=True, kw_only=True):
    scheduling_policy: _Policy = _Policy()
    scheduling_constraints: _Constraints | None = None
    parent_composite_pod_group_name: str = ""
    priority: int | None = None
    priority_class_name: str = ""


class _PodGroup(Wire, frozen=True, kw_only=True):
    metadata: Meta
    spec: _GroupSpec = _GroupSpec()


_group_decoder = msgspec.json.Decoder(_PodGroup)


def read_group(raw: bytes | msgspec.Raw) -> tuple[Meta, GroupSeen]:
    """A PodGroup; one without the policy `gang` is no gang, but its pods still share the domain that it asks for."""
    wire = _group_decoder.decode(raw)
    spec = wire.spec
    draft = Draft("PodGroup.scheduling.k8s.io", native.PREFIX, wire.metadata)
    draft.note(
        "spec.parentCompositePodGroupName", spec.parent_composite_pod_group_name, "each PodGroup starts by itself"
    )
    draft.priority("spec.priorityClassName", spec.priority_class_name)
    levels = [] if spec.scheduling_constraints is None else [one.key for one in spec.scheduling_constraints.topology]
    if len(levels) > 1:
        draft.refuse("spec.schedulingConstraints.topology", ", ".join(levels), "one topology key")
    gang = spec.scheduling_policy.gang
    alone = gang is None and not levels
    return wire.metadata, draft.group(
        GangClaim(name="", least=1 if gang is None else max(gang.min_count, 1)),
        form="alone" if alone else "gang",
        topology_required=levels[0] if levels else None,
        priority=spec.priority,
    )


class _Part(Wire, frozen=True, kw_only=True):
    name: str = ""
    policy: _Policy = _Policy()


class _WorkloadSpec(Wire, frozen=True, kw_only=True):
    pod_groups: list[_Part] = []


class _Workload(Wire, frozen=True, kw_only=True):
    metadata: Meta
    spec: _WorkloadSpec = _WorkloadSpec()


_workload_decoder = msgspec.json.Decoder(_Workload)


def read_workload(raw: bytes | msgspec.Raw) -> tuple[Meta, GroupSeen]:
    """A Workload of 1.35: each replica of each of its pod groups is a gang; those with the policy `basic` are none."""
    wire = _workload_decoder.decode(raw)
    parts = (
        (part.name, 0 if part.policy.gang is None else max(part.policy.gang.min_count, 1))
        for part in wire.spec.pod_groups
    )
    draft = Draft("Workload.scheduling.k8s.io", native.WORKLOAD_PREFIX, wire.metadata)
    return wire.metadata, draft.group(GangClaim(name=""), form="parts", role_sizes=tuple(sorted(parts)))


KINDS = (
    ForeignKind(
        group="scheduling.k8s.io",
        plural="podgroups",
        versions=("v1", "v1beta1", "v1alpha3", "v1alpha2"),
        read=read_group,
    ),
    ForeignKind(group="scheduling.k8s.io", plural="workloads", versions=("v1alpha1",), read=read_workload),
)
