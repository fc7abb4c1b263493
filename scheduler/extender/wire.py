"""The records of kube-scheduler's extender protocol v1, for extenders with `nodeCacheCapable: true`.

Keys are the Go field names (kube-scheduler@v0.36.3/extender/v1/types.go:25-132, no JSON tags). Types are strict; keys
of newer versions are passed over, as Go does.
"""

from collections.abc import Mapping, Sequence

import msgspec

NULL = msgspec.Raw(b"null")


class PodMeta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who a pod is."""

    uid: str = ""
    name: str = ""
    namespace: str = ""


class PodStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """The node kube-scheduler tries alone before all others, empty where none."""

    nominated_node_name: str = ""


class PodHead(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a pod the verbs read themselves."""

    metadata: PodMeta = PodMeta()
    status: PodStatus = PodStatus()


class ExtenderArgs(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Request of `filter` and `prioritize`. `nodes` is set only where the extender is configured without a cache."""

    pod: msgspec.Raw
    nodes: msgspec.Raw = NULL
    node_names: list[str] | None = None


class FilterResult(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Answer of `filter`. A null `NodeNames` would reject every node without a word, so it is always a list."""

    node_names: Sequence[str] = ()
    failed_nodes: Mapping[str, str] = {}
    failed_and_unresolvable_nodes: Mapping[str, str] = {}
    error: str = ""


class HostPriority(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", gc=False):
    """One entry of the answer of `prioritize`, which is a bare list of these. A node left out counts as 0."""

    host: str
    score: int


class MetaPod(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A victim."""

    uid: str = msgspec.field(name="UID", default="")


class MetaVictims(msgspec.Struct, frozen=True, kw_only=True):
    """The victims on one node."""

    pods: list[MetaPod] = msgspec.field(name="Pods", default_factory=list[MetaPod])
    pdb_violations: int = msgspec.field(name="NumPDBViolations", default=0)


class PreemptArgs(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Request of `preempt`."""

    pod: msgspec.Raw
    node_name_to_meta_victims: dict[str, MetaVictims | None] | None = None


class PreemptResult(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Answer of `preempt`. An entry of null would end kube-scheduler in a panic (extender.go:186-194)."""

    node_name_to_meta_victims: Mapping[str, MetaVictims] = {}


class BindArgs(msgspec.Struct, frozen=True, kw_only=True):
    """Request of `bind`."""

    name: str = msgspec.field(name="PodName")
    namespace: str = msgspec.field(name="PodNamespace")
    uid: str = msgspec.field(name="PodUID")
    node: str = msgspec.field(name="Node")


class BindResult(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """Answer of `bind`; an empty `error` says that the pod is bound."""

    error: str = ""
