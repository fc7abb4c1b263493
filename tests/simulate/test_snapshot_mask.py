"""Masked snapshots: nothing that people named is left, and the plan is the same up to the names."""

import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from scheduler.model.names import NodeName, QueueName, gang_key, pod_key
from scheduler.model.node import Taint, TopologyLevel
from scheduler.model.plan import Admit, Decision, Offer, Reclaim, RollBack, Wait
from scheduler.model.queue import Queue
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import GangClaim, HostPort, PodShape, Problem, Requirement, Toleration
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.own_rules import OwnRule, OwnRules
from scheduler.simulate.snapshot import SnapshotFile, read_snapshot, write_snapshot
from scheduler.simulate.snapshot_mask import masked, masked_file
from scheduler.state.events import NodeRefused, TopologySeen
from tests.planning.build import gang, node, pods, shape, single, snapshot
from tests.planning.random_clusters import Cluster, clusters
from tests.state.build import job, pod, report, reserved, state_of
from tests.state.build import node as seen_node

SECRETS = "secret"


def decided(snap: Snapshot) -> list[Decision]:
    return list(plan(snap, now_s=100, settings=PlanSettings(solver_budget_ms=500)).decisions)


def outlines(snap: Snapshot) -> list[tuple[Any, ...]]:
    """The plan of a snapshot with positions in place of names; names sort the same before and after masking."""
    workload_at = {key: at for at, key in enumerate(sorted(snap.workloads))}
    row_of = snap.columns.row_of
    pod_at = {p.uid: at for key in sorted(snap.workloads) for at, p in enumerate(snap.workloads[key].members)}
    found: list[tuple[Any, ...]] = []
    for decision in decided(snap):
        match decision:
            case Admit(placement=placement) | Reclaim(placement=placement):
                where: Any = [(pod_at[a.pod], row_of[a.node], a.devices) for a in placement.assignments]
                what: Any = (placement.proof, [(use.used, use.fewest) for use in placement.spread])
            case Offer(nodes=nodes):
                where, what = pod_at[decision.pod], [(row_of[name], score) for name, score in nodes]
            case Wait(reason=reason):
                where, what = reason, [(b.kind, b.needed, b.available, b.unit) for b in decision.blocking]
            case RollBack(evict=evict):
                where, what = None, [pod_at[uid] for uid in evict]
        found.append((type(decision), workload_at[decision.workload], where, what))
    return found


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(cluster=clusters())
def test_the_plan_is_the_same_up_to_names(cluster: Cluster) -> None:
    snap = cluster.snapshot()
    assert outlines(masked(snap)) == outlines(snap)


def test_names_keep_their_order_where_a_slash_follows() -> None:
    def member(namespace: str) -> Any:  # noqa: ANN401  a workload
        one = single("x", shape(8))
        (alone,) = one.members
        alone = replace(alone, namespace=namespace, uid=f"{namespace}x")
        return replace(one, key=pod_key(namespace, "x"), members=(alone,))

    # '-' sorts before '/', so `a-b/x` comes before `a/x`.
    snap = snapshot([node("n")], [member("a"), member("a-b")])
    assert [type(d).__name__ for d in decided(snap)] == ["Admit", "Wait"]
    assert outlines(masked(snap)) == outlines(snap)


def test_numbers_that_are_compared_stay_numbers() -> None:
    above = shape(1, affinity=((Requirement(key="gen", operator="Gt", values=("9",)),),))
    snap = snapshot([node("n1", labels={"gen": "10"}), node("n2", labels={"gen": "8"})], [single("w", above)])
    assert [d.placement.assignments[0].node for d in decided(snap) if isinstance(d, Admit)] == ["n1"]
    assert outlines(masked(snap)) == outlines(snap)


def full_of_secrets() -> Snapshot:
    """Every field that can hold a name or a text holds a secret."""
    picky = PodShape(
        requests=shape(1).requests,
        node_selector=(("zone", "secret-zone"),),
        affinity=(
            (
                Requirement(key="zone", operator="In", values=("secret-zone", "secret-other")),
                Requirement(key="metadata.name", operator="NotIn", values=("secret-node-9",), on_name=True),
            ),
        ),
        tolerations=(Toleration(key="for", value="secret-team"),),
        host_ports=(HostPort(address="10.secret", port=80),),
    )
    told = {"told": ("Reason", "secret told"), "scheduler_message": "secret message"}
    named = {"owner_name": "secret-job", "owner_uid": "secret-job-uid", "queue": QueueName("secret-queue")}
    problem = Problem(where="label of gang secret", value="secret value", allowed="secret allowed")
    labels = {"zone": "secret-zone", "kubernetes.io/hostname": "secret-host"}
    taint = Taint(key="for", value="secret-team")
    claim = GangClaim(name="secret-gang", size=2, role_least=(("secret-role", 1),), group="secret-group")
    waiting = replace(pod("secret-pod"), gang=claim, role="secret-role", notes=("secret note",), **named, **told)
    state = state_of(
        replace(seen_node("secret-node-1", uid="secret-uid"), labels=labels, taints=(taint,), notes=("secret wrong",)),
        replace(report("secret-node-1"), clique="secret-cluster.1"),
        Queue(
            name=QueueName("secret-queue"),
            uid="secret-queue-uid",
            namespaces=("secret-ns",),
            parent=QueueName("secret-parent"),
        ),
        TopologySeen(name="t", levels=(TopologyLevel(name="zone level", label="zone"),)),
        job("secret-job-uid"),
        replace(waiting, shape=picky, namespace="secret-ns", topology_required="secret level", problems=(problem,)),
        replace(pod("secret-bound", node="secret-node-1", topology_preferred="zone level"), namespace="secret-ns"),
        replace(pod("secret-flying", nominated_node=NodeName("secret-node-1")), namespace="secret-ns"),
        reserved("pod:secret-ns/secret-flying", ("secret-flying", "secret-node-1", (0,))),
        NodeRefused(workload=gang_key("secret-ns", "secret-gang"), node=NodeName("secret-node-1"), until_s=9),
    )
    snap = state.snapshot()
    devices = tuple(
        replace(d, uuid=f"secret-{d.index}", reasons=("secret reason",))
        for d in snap.nodes[NodeName("secret-node-1")].devices
    )
    nodes = {name: replace(each, devices=devices) for name, each in snap.nodes.items()}
    return replace(snap, nodes=nodes, ports_used={NodeName("secret-node-1"): picky.host_ports})


def test_nothing_that_people_named_is_left() -> None:
    snap = full_of_secrets()
    before = write_snapshot(SnapshotFile(now_s=1, snapshot=snap), compress=False)
    after = write_snapshot(SnapshotFile(now_s=1, snapshot=masked(snap)), compress=False)
    assert before.count(SECRETS.encode()) > 40
    assert SECRETS.encode() not in after
    assert b"zone level" in after


def test_a_masked_file_says_so_and_claims_no_plan() -> None:
    snap = full_of_secrets()
    rules = OwnRules(filters=(OwnRule("keep-off", lambda _: None),))
    file = read_snapshot(masked_file(snap, now_s=7, settings=PlanSettings(seed=5), rules=rules))
    assert isinstance(file, SnapshotFile)
    assert (file.filters, file.scores) == (("keep-off",), ())
    assert (file.masked, file.plan_sha256, file.now_s, file.settings.seed) == (True, "", 7, 5)
    assert outlines(file.snapshot) == outlines(snap)


def test_masking_twice_changes_nothing_more() -> None:
    once = masked(full_of_secrets())
    texts = [write_snapshot(SnapshotFile(now_s=1, snapshot=s), compress=False) for s in (once, masked(once))]
    assert texts[0] == texts[1]


REPLACED = {
    "Assignment": {"node", "pod"},
    "ClaimRequest": {"name"},
    "Columns": {"names", "row_of"},
    "Device": {"reasons", "uuid"},
    "DeviceName": {"device", "pool"},
    "GangClaim": {"group", "name", "role_least"},
    "HostPort": {"address"},
    "InFlight": {"leaving", "queue", "workload"},
    "Node": {"clique", "labels", "mig_config", "mig_wanted", "name", "notes", "uid"},
    "Pod": {
        *("name", "namespace", "node", "nominated_node", "owner_name", "owner_uid", "queue"),
        *("role", "role_required", "told", "topology_exclusive", "topology_preferred", "topology_required"),
        *("leaves_why", "notes", "priority_class", "scheduler_message", "topology_slices", "uid", "user"),
    },
    "PodClaim": {"claim", "name", "uid"},
    "PodShape": {"node_selector"},
    "Problem": {"allowed", "value", "where"},
    "Queue": {"name", "namespaces", "parent", "parent_before", "taken", "uid", "user"},
    "Requirement": {"values"},
    "Snapshot": {
        *("devices_unsure", "devices_used", "in_flight", "nodes", "pod_nodes", "ports_used", "queues", "shares_used"),
        *("ailing", "closed", "slices", "workloads"),
    },
    "SliceName": {"gpu", "name"},
    "Taint": {"value"},
    "Toleration": {"value"},
    "Workload": {
        "avoid",
        "key",
        "notes",
        "queue",
        "role_minimums",
        "user",
        "topology_exclusive",
        "topology_preferred",
        "topology_required",
        "topology_slices",
    },
}
KEPT = {
    "Capacity": {"name"},
    "ClaimRequest": {"capacity", "resource"},
    "Columns": {"resources"},
    "Device": {"model"},
    "DeviceName": {"driver"},
    "HostPort": {"protocol"},
    "MigInstance": {"profile"},
    "MadeSlice": {"profile"},
    "MigModel": {"products", "source"},
    "Node": {"machine", "mig_state", "mig_strategy", "product"},
    "Pod": {"priority_key", "queue_key"},
    "Profile": {"name"},
    "PodShape": {"gpu_capacity", "models", "scheduler_rules"},
    "Queue": {"flavors"},
    "Request": {"models"},
    "Requirement": {"key"},
    "Resources": {"extended"},
    "SliceName": {"profile"},
    "Taint": {"key"},
    "Toleration": {"effect", "key"},
    "TopologyLevel": {"label", "name"},
}
"""Of all text in a snapshot, what is kept, as the documentation says."""


def texts_in(record: type[msgspec.Struct]) -> Iterator[tuple[str, str]]:
    """Records within `record`, and those of their fields that can hold text of any kind."""
    seen: set[type] = set()
    left: list[type] = [record]
    while left:
        each = left.pop()
        if each in seen:
            continue
        seen.add(each)
        for name, hint in get_type_hints(each).items():
            kinds = list(leaves(hint))
            left += [k for k in kinds if isinstance(k, type) and issubclass(k, msgspec.Struct)]
            if any(k is str for k in kinds):
                yield each.__name__, name


def leaves(hint: Any) -> Iterator[Any]:  # noqa: ANN401  what typing gives
    hint = getattr(hint, "__supertype__", hint)
    if get_origin(hint) is None:
        yield hint
    elif get_origin(hint) in {tuple, frozenset, Union, types.UnionType} or "Mapping" in str(get_origin(hint)):
        for argument in get_args(hint):
            yield from leaves(argument)


def test_every_text_of_a_snapshot_is_either_replaced_or_known_to_be_harmless() -> None:
    known = {(record, field) for table in (REPLACED, KEPT) for record, fields in table.items() for field in fields}
    assert set(texts_in(Snapshot)) == known


def test_a_gang_that_stands_in_part_stays_one() -> None:
    snap = snapshot([node("n1"), node("n2")], [gang("g", pods("g", [shape(4)] * 2, on=["n1"]))])
    assert outlines(masked(snap)) == outlines(snap)
