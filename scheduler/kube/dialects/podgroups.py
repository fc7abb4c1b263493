"""PodGroups of other schedulers, each to a `GroupSeen`.

Fields as in scheduler-plugins `apis/scheduling/v1alpha1/types.go`, Volcano `pkg/apis/scheduling/v1beta1/types.go`, KAI
`pkg/apis/scheduling/v2alpha2/podgroup_types.go` and Grove `scheduler/api/core/v1alpha1/podgang.go`.
"""

import msgspec

from scheduler.kube.dialects import kai, koordinator, scheduler_plugins, volcano
from scheduler.kube.dialects.foreign import Draft, ForeignKind, minimums
from scheduler.kube.translate_values import LARGEST_GANG
from scheduler.kube.wire import Meta, Wire
from scheduler.model.workload import GangClaim
from scheduler.state.events import GroupSeen


class _PlainSpec(Wire, frozen=True, kw_only=True):
    min_member: int = 1


class _PlainGroup(Wire, frozen=True, kw_only=True):
    metadata: Meta
    spec: _PlainSpec = _PlainSpec()


_plain_decoder = msgspec.json.Decoder(_PlainGroup)


def read_plain(raw: bytes | msgspec.Raw) -> tuple[Meta, GroupSeen]:
    """The PodGroup of scheduler-plugins, which Koordinator uses too, with annotations of its own."""
    wire = _plain_decoder.decode(raw)
    meta = wire.metadata
    ours = any(key.startswith(koordinator.GANG_PREFIX) for key in meta.annotations)
    draft = Draft(
        "PodGroup", scheduler_plugins.PREFIX, meta, extra={koordinator.GROUP.key: meta.name} if ours else None
    )
    stated = draft.said.gang
    least = wire.spec.min_member if stated is None or stated.least is None else stated.least
    size = None if stated is None else stated.size
    return meta, draft.group(GangClaim(name="", size=size, least=max(least, 1)))


class _Tiers(Wire, frozen=True, kw_only=True):
    mode: str = "hard"
    highest_tier_allowed: int | None = None
    highest_tier_name: str = ""


class _SubGroupPolicy(Wire, frozen=True, kw_only=True):
    name: str = ""
    sub_group_size: int | None = None
    min_sub_groups: int | None = None
    network_topology: _Tiers | None = None


class _VolcanoSpec(Wire, frozen=True, kw_only=True):
    min_member: int = 1
    min_task_member: dict[str, int] = {}
    queue: str = ""
    priority_class_name: str = ""
    network_topology: _Tiers | None = None
    sub_group_policy: list[_SubGroupPolicy] = []


class _VolcanoGroup(Wire, frozen=True, kw_only=True):
    metadata: Meta
    spec: _VolcanoSpec = _VolcanoSpec()


_volcano_decoder = msgspec.json.Decoder(_VolcanoGroup)


def read_volcano(raw: bytes | msgspec.Raw) -> tuple[Meta, GroupSeen]:
    """Volcano's PodGroup."""
    wire = _volcano_decoder.decode(raw)
    meta, spec = wire.metadata, wire.spec
    draft = Draft("PodGroup.scheduling.volcano.sh", volcano.PREFIX, meta)
    draft.priority("spec.priorityClassName", spec.priority_class_name)
    required = _tier(draft, "spec.networkTopology", spec.network_topology)
    slices: list[tuple[str, int]] = []
    for policy in spec.sub_group_policy:
        level = _tier(draft, f"spec.subGroupPolicy {policy.name!r}", policy.network_topology)
        if level is not None and policy.sub_group_size is not None and 1 < policy.sub_group_size <= LARGEST_GANG:
            slices.append((level, policy.sub_group_size))
        elif level is not None:
            draft.refuse(f"spec.subGroupPolicy {policy.name!r}", level, "a policy with a subGroupSize above 1")
        draft.note(f"spec.subGroupPolicy {policy.name!r}.minSubGroups", policy.min_sub_groups, "minMember counts pods")
    if len(slices) > 1:
        draft.refuse("spec.subGroupPolicy", len(slices), "one policy with a networkTopology of mode hard")
    claim = GangClaim(name="", least=max(spec.min_member, 1), role_least=minimums(spec.min_task_member))
    return meta, draft.group(
        claim, queue=spec.queue, topology_required=required, topology_slices=tuple(slices[:1]) or None
    )


def _tier(draft: Draft, field: str, tiers: _Tiers | None) -> str | None:
    if tiers is None:
        return None
    if tiers.mode == "soft":
        draft.note(field, tiers.mode, "gangs are always laid out on as few nodes and domains as they can be")
        return None
    if not tiers.highest_tier_name:
        draft.refuse(
            f"{field}.highestTierAllowed", tiers.highest_tier_allowed, "a highestTierName, the name of a topology level"
        )
        return None
    return tiers.highest_tier_name


class _KaiTopology(Wire, frozen=True, kw_only=True):
    topology: str = ""
    required_topology_level: str = ""
    preferred_topology_level: str = ""


class _SubGroup(Wire, frozen=True, kw_only=True):
    name: str = ""
    parent: str | None = None
    min_member: int | None = None
    min_sub_group: int | None = None
    topology_constraint: _KaiTopology | None = None


class _KaiSpec(Wire, frozen=True, kw_only=True):
    min_member: int | None = None
    min_sub_group: int | None = None
    queue: str = ""
    priority_class_name: str = ""
    preemptibility: str = ""
    topology_constraint: _KaiTopology = _KaiTopology()
    sub_groups: list[_SubGroup] = []


class _KaiGroup(Wire, frozen=True, kw_only=True):
    metadata: Meta
    spec: _KaiSpec = _KaiSpec()


_kai_decoder = msgspec.json.Decoder(_KaiGroup)


def read_kai(raw: bytes | msgspec.Raw) -> tuple[Meta, GroupSeen]:
    """KAI's PodGroup: sub-groups that have no sub-groups of their own are roles."""
    wire = _kai_decoder.decode(raw)
    meta, spec = wire.metadata, wire.spec
    draft = Draft("PodGroup.scheduling.run.ai", kai.PREFIX, meta)
    draft.priority("spec.priorityClassName", spec.priority_class_name)
    draft.note(
        "spec.topologyConstraint.topology",
        spec.topology_constraint.topology,
        "there is one Topology, the first by name",
    )
    draft.note("spec.minSubGroup", spec.min_sub_group, "all sub-groups have to stand")
    parents = {sub.parent for sub in spec.sub_groups}
    leaves = [sub for sub in spec.sub_groups if sub.name not in parents]
    levels: list[tuple[str, str]] = []
    for sub in spec.sub_groups:
        wish = sub.topology_constraint or _KaiTopology()
        field = f"spec.subGroups {sub.name!r}"
        draft.note(f"{field}.minSubGroup", sub.min_sub_group, "all sub-groups have to stand")
        draft.note(f"{field}.topologyConstraint", wish.preferred_topology_level, "a role can only require a level")
        if wish.required_topology_level and sub in leaves:
            levels.append((sub.name, wish.required_topology_level))
        elif wish.required_topology_level:
            draft.refuse(
                f"{field}.topologyConstraint", wish.required_topology_level, "only on sub-groups without others below"
            )
    role_least = minimums({sub.name: 1 if sub.min_member is None else sub.min_member for sub in leaves})
    least = spec.min_member or (None if role_least else 1)
    return meta, draft.group(
        GangClaim(name="", least=least, role_least=role_least),
        queue=spec.queue,
        preemptible={"preemptible": True, "non-preemptible": False}.get(spec.preemptibility),
        topology_required=spec.topology_constraint.required_topology_level or None,
        topology_preferred=spec.topology_constraint.preferred_topology_level or None,
        role_levels=tuple(sorted(levels)),
    )


class _Pack(Wire, frozen=True, kw_only=True):
    required: str = ""
    preferred: str = ""


class _PackWish(Wire, frozen=True, kw_only=True):
    pack_constraint: _Pack = _Pack()


class _Clique(Wire, frozen=True, kw_only=True):
    name: str = ""
    min_replicas: int = 0
    topology_constraint: _PackWish | None = None


class _GangSpec(Wire, frozen=True, kw_only=True):
    podgroups: list[_Clique] = []
    topology_constraint: _PackWish | None = None
    priority_class_name: str = ""


class _PodGang(Wire, frozen=True, kw_only=True):
    metadata: Meta
    spec: _GangSpec = _GangSpec()


_grove_decoder = msgspec.json.Decoder(_PodGang)


def read_grove(raw: bytes | msgspec.Raw) -> tuple[Meta, GroupSeen]:
    """Grove's PodGang: its pod groups are roles, named as their PodCliques."""
    wire = _grove_decoder.decode(raw)
    meta, spec = wire.metadata, wire.spec
    draft = Draft("PodGang", "grove/", meta)
    draft.priority("spec.priorityClassName", spec.priority_class_name)
    levels: list[tuple[str, str]] = []
    for clique in spec.podgroups:
        pack = _Pack() if clique.topology_constraint is None else clique.topology_constraint.pack_constraint
        if pack.required:
            levels.append((clique.name, pack.required))
        draft.note(
            f"spec.podgroups {clique.name!r}.topologyConstraint", pack.preferred, "a role can only require a level"
        )
    whole = _Pack() if spec.topology_constraint is None else spec.topology_constraint.pack_constraint
    role_least = minimums({clique.name: clique.min_replicas for clique in spec.podgroups})
    return meta, draft.group(
        GangClaim(name="", least=None if role_least else 1, role_least=role_least),
        topology_required=whole.required or None,
        topology_preferred=whole.preferred or None,
        role_levels=tuple(sorted(levels)),
    )


KINDS = (
    ForeignKind(group="scheduling.x-k8s.io", plural="podgroups", versions=("v1alpha1",), read=read_plain),
    ForeignKind(group="scheduling.sigs.k8s.io", plural="podgroups", versions=("v1alpha1",), read=read_plain),
    ForeignKind(group="scheduling.volcano.sh", plural="podgroups", versions=("v1beta1",), read=read_volcano),
    ForeignKind(group="scheduling.run.ai", plural="podgroups", versions=("v2alpha2",), read=read_kai),
    ForeignKind(group="scheduler.grove.io", plural="podgangs", versions=("v1alpha1",), read=read_grove),
)
