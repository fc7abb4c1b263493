"""Which nodes a pod accepts, and what only kube-scheduler can judge about it."""

from scheduler.kube.wire import Expression, PodSpec, SelectorTerm, Volume
from scheduler.model.workload import HostPort, Requirement, SelectorOperator, Toleration

INTER_POD_AFFINITY = "inter-pod affinity"
TOPOLOGY_SPREAD = "topology spread"
VOLUMES = "volumes"
RESOURCE_CLAIMS = "resource claims"

NO_NODE = (Requirement(key="metadata.name", operator="In", values=(), on_name=True),)
"""A term that no node meets: what a node affinity of empty terms asks for."""

_OPERATORS: dict[str, SelectorOperator] = {
    "In": "In",
    "NotIn": "NotIn",
    "Exists": "Exists",
    "DoesNotExist": "DoesNotExist",
    "Gt": "Gt",
    "Lt": "Lt",
}


def node_affinity(spec: PodSpec) -> tuple[tuple[Requirement, ...], ...]:
    """The alternatives of the required node affinity; empty where none is asked for.

    An empty term meets no node (component-helpers v0.36.3, nodeaffinity.go `NewLazyErrorNodeSelector`).

    Raises:
        ValueError: an operator is not known.
    """
    affinity = spec.affinity.node_affinity if spec.affinity is not None else None
    if affinity is None or affinity.required is None:
        return ()
    terms = tuple(filter(None, (_term(t) for t in affinity.required.node_selector_terms)))
    return terms or (NO_NODE,)


def _term(term: SelectorTerm) -> tuple[Requirement, ...]:
    by_label = tuple(_requirement(e, on_name=False) for e in term.match_expressions)
    return by_label + tuple(_requirement(e, on_name=True) for e in term.match_fields)


def _requirement(expression: Expression, *, on_name: bool) -> Requirement:
    operator = _OPERATORS.get(expression.operator)
    if operator is None:
        raise ValueError(f"operator is {expression.operator!r}; allowed: {', '.join(_OPERATORS)}")
    return Requirement(key=expression.key, operator=operator, values=tuple(expression.values), on_name=on_name)


def tolerations(spec: PodSpec) -> tuple[Toleration, ...]:
    """The pod's tolerations, in their order."""
    read: list[Toleration] = []
    for t in spec.tolerations:
        operator = t.operator or "Equal"
        if operator in ("Exists", "Equal", "Gt", "Lt"):
            read.append(Toleration(key=t.key, operator=operator, value=t.value, effect=t.effect))
    return tuple(read)


def host_ports(spec: PodSpec) -> tuple[HostPort, ...]:
    """Ports that the pod takes of its node, sorted: of containers and of sidecars.

    kube-scheduler counts these (pkg/scheduler/util/utils.go `GetHostPorts`). On the host's network each container port
    is one, which the API server has normally written down already.
    """
    found = {
        HostPort(protocol=port.protocol, address=port.host_ip or "0.0.0.0", port=number)  # noqa: S104  the API's word
        for container in (*spec.containers, *(c for c in spec.init_containers if c.restart_policy == "Always"))
        for port in container.ports
        if (number := port.host_port or (port.container_port if spec.host_network else 0)) > 0
    }
    return tuple(sorted(found, key=lambda p: (p.port, p.protocol, p.address))) if found else ()


def scheduler_rules(spec: PodSpec) -> tuple[str, ...]:
    """Rules of the pod that depend on other pods, volumes or claims, so that only kube-scheduler can judge them."""
    rules: list[str] = []
    affinity = spec.affinity
    if affinity is not None and any(t and t.required for t in (affinity.pod_affinity, affinity.pod_anti_affinity)):
        rules.append(INTER_POD_AFFINITY)
    if any(c.when_unsatisfiable != "ScheduleAnyway" for c in spec.topology_spread_constraints):
        rules.append(TOPOLOGY_SPREAD)
    if any(_is_judged(v) for v in spec.volumes):
        rules.append(VOLUMES)
    if spec.resource_claims:
        rules.append(RESOURCE_CLAIMS)
    return tuple(rules)


def _is_judged(volume: Volume) -> bool:
    """Whether a scheduler plugin looks at the volume: claims, and in-tree disks with their limits and conflicts.

    pkg/scheduler/framework/plugins: volumebinding, volumerestrictions `needsRestrictionsCheck`, nodevolumelimits
    `IsInlineMigratable`.
    """
    return any(
        source is not None
        for source in (
            volume.persistent_volume_claim,
            volume.ephemeral,
            volume.gce_persistent_disk,
            volume.aws_elastic_block_store,
            volume.azure_disk,
            volume.azure_file,
            volume.cinder,
            volume.iscsi,
            volume.portworx_volume,
            volume.rbd,
            volume.vsphere_volume,
        )
    )
