"""What is proposed for GPUs that are divided beforehand, from drawings of nodes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from scheduler.model.claims import DeviceName, MadeSlice
from scheduler.model.names import NodeName
from scheduler.model.resources import MIG_PREFIX, Resources, extended
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.repartition.check import broken_proposal, came_since
from scheduler.planning.repartition.parted import config_name, config_yaml, configs_of
from scheduler.planning.repartition.proposal import Proposal
from scheduler.planning.repartition.propose import propose
from scheduler.planning.repartition.text import costs, layout_text, summary
from scheduler.planning.settings import PlanSettings
from tests.planning.build import gang, pods, queue, shape, single, snapshot
from tests.planning.repartition.drawing import LARGE, MIDDLE, SIZES, SMALL, cluster, drawn


def proposed(snap: Snapshot, *, moves: int = 0) -> Proposal:
    made = propose(snap, now_s=100, settings=PlanSettings(), moves=moves)
    assert broken_proposal(snap, made, moves=moves) == []
    return made


def shown(made: Proposal) -> list[str]:
    """`n1/0: 7x 1g.10gb -> 2x 3g.40gb`."""
    return [
        f"{each.node}/{one.before.device}: {layout_text(one.before)} -> {layout_text(one.after)}"
        for each in made.nodes
        for one in each.changes
    ]


def slices(name: str, profile: str, count: int = 1, *, priority: int = 0) -> list[Workload]:
    return [single(f"{name}{i}", shape(mig=profile), priority=priority) for i in range(count)]


def test_free_slices_make_way_for_those_that_wait() -> None:
    snap = cluster([drawn("n1", "1111111", "1111111")], *slices("w", LARGE, 2))
    made = proposed(snap)
    assert shown(made) == ["n1/0: 7x 1g.10gb -> 2x 3g.40gb"]
    assert (made.waiting, [each.pods for each in made.served], made.lost, made.moved) == (2, [1, 1], 7, 0)
    assert sorted(made.starts) == ["pod:team/w0", "pod:team/w1"]
    assert made.nodes[0].idle
    assert summary(made) == (
        "2 pods wait for slices or GPUs that are not free. Dividing 1 GPU on 1 node anew gives all of them room."
    )
    assert costs(made) == [
        "7 free slices or GPUs of other sizes are no more then.",
        "The planner would start team/w0 and team/w1 then.",
    ]


def test_a_gpu_with_a_slice_in_use_stays_as_it_is() -> None:
    snap = cluster([drawn("n1", "1#111111")], *slices("w", LARGE))
    made = proposed(snap)
    assert (shown(made), made.served) == ([], ())
    assert summary(made) == (
        "1 pod waits for slices or GPUs that are not free; no other layout of the GPUs that may be divided anew gives "
        "any of them room (proven)."
    )


def test_a_slice_in_use_goes_only_if_that_is_asked_for() -> None:
    snap = cluster([drawn("n1", "1#111111")], *slices("w", LARGE))
    made = proposed(snap, moves=1)
    assert shown(made) == ["n1/0: 7x 1g.10gb -> 1x 3g.40gb, 4x 1g.10gb"]
    assert (made.moved, made.starts) == (1, ())
    assert made.nodes[0].changes[0].leaving == ("a pod that nobody named",)
    assert not made.nodes[0].idle
    assert broken_proposal(snap, made) == ["1 instances in use are taken from their pods; allowed: 0"]


def test_idle_nodes_come_first() -> None:
    snap = cluster([drawn("n1", "1111111", "1#1"), drawn("n2", "1111111")], *slices("w", LARGE))
    assert shown(proposed(snap)) == ["n2/0: 7x 1g.10gb -> 1x 3g.40gb, 4x 1g.10gb"]


def test_a_free_whole_gpu_is_divided_where_nothing_else_helps_and_nobody_waits_for_it() -> None:
    snap = cluster([drawn("n1", "#", ".", "1#1")], *slices("w", MIDDLE, 3))
    made = proposed(snap)
    assert shown(made) == ["n1/1: whole -> 3x 2g.20gb, 1x 1g.20gb"]
    assert made.lost == 1


def test_what_serves_more_work_comes_first() -> None:
    whole = single("whole", shape(1))
    snap = cluster([drawn("n1", "1111111")], whole)
    assert shown(proposed(snap)) == ["n1/0: 7x 1g.10gb -> whole"]
    snap = cluster([drawn("n1", "3")], whole, *slices("w", MIDDLE, 3))
    made = proposed(snap)
    assert shown(made) == ["n1/0: 1x 3g.40gb -> whole"]
    urgent = cluster([drawn("n1", "3")], whole, *slices("w", MIDDLE, 3, priority=10))
    assert shown(proposed(urgent)) == ["n1/0: 1x 3g.40gb -> 3x 2g.20gb, 1x 1g.20gb"]


def test_several_gpus_of_one_node_are_made_whole_on_one_node() -> None:
    nodes = [drawn(f"n{i}", "1111111", "1#11" if i else "1111111") for i in range(3)]
    made = proposed(cluster(nodes, single("two", shape(2))))
    assert shown(made) == ["n0/0: 7x 1g.10gb -> whole", "n0/1: 7x 1g.10gb -> whole"]
    assert made.starts == ("pod:team/two",)


def test_a_gang_is_served_whole_or_not_at_all() -> None:
    team = gang("g", pods("g", [shape(mig=LARGE)] * 3))
    assert shown(proposed(cluster([drawn("n1", "1111111")], team))) == []
    made = proposed(cluster([drawn("n1", "1111111", "1111111")], team))
    assert sorted(text.partition(" -> ")[2] for text in shown(made)) == ["1x 3g.40gb, 4x 1g.10gb", "2x 3g.40gb"]
    assert made.starts == ("gang:team/g",)


def test_a_node_without_room_for_the_pod_otherwise_is_of_no_use() -> None:
    snap = cluster([drawn("n1", "1111111", milli_cpu=50), drawn("n2", "1#111", "2211")], *slices("w", LARGE))
    assert shown(proposed(snap)) == ["n2/1: 2x 2g.20gb, 2x 1g.10gb -> 1x 3g.40gb, 2x 2g.20gb"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"mig_state": "pending"},
            "Left out n1: its GPUs are being divided anew right now (nvidia.com/mig.config.state is pending).",
        ),
        (
            {"mig_state": "failed"},
            "Left out n1: the MIG manager failed to divide its GPUs (nvidia.com/mig.config.state is failed).",
        ),
        (
            {"mig_strategy": "single"},
            "Left out n1: the device plugin's MIG strategy is single; needed: mixed.",
        ),
        (
            {
                "mig_on_demand": True,
                "slices_made": (
                    MadeSlice(name=DeviceName(driver="d", pool="n1", device="s"), device=0, profile="1g.10gb", start=0),
                ),
            },
            "Left out n1: pods claim the slices that were made of its GPUs, each by its name.",
        ),
        ({"unschedulable": True}, "Left out n1: it takes no pods (not ready, or cordoned)."),
    ],
)
def test_nodes_that_are_left_out_and_why(changes: dict[str, object], said: str) -> None:
    made = proposed(cluster([replace(drawn("n1", "1111111"), **changes)], *slices("w", LARGE)))
    assert shown(made) == []
    assert costs(made) == [said]


def test_slices_of_which_more_are_given_out_than_is_told_are_all_in_use() -> None:
    n1 = drawn("n1", "1111111", "2")
    snap = snapshot(
        [n1],
        slices("w", LARGE),
        queues=[queue(nominal=1000)],
        used={"n1": Resources(extended=extended({MIG_PREFIX + SMALL: 1}))},
    )
    assert shown(proposed(snap)) == ["n1/1: 1x 2g.20gb -> 1x 3g.40gb, 2x 2g.20gb"]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (("1111111", "1#111111", "#"), None),
        (("1111#111", "1#111111", "#"), "GPU 0 of n1 is in use now"),
        (("1111111", "1#1#11111", "#"), "more nvidia.com/mig-1g.10gb of n1 is in use than when this was planned"),
        (("1111111", "1111111", "#"), None),
    ],
)
def test_who_came_after_the_plan_keeps_the_node_as_it_is(now: tuple[str, ...], said: str | None) -> None:
    work = slices("w", LARGE, 2)
    before = cluster([drawn("n1", "1111111", "1#111111", "#")], *work)
    made = proposed(before)
    assert shown(made) == ["n1/0: 7x 1g.10gb -> 2x 3g.40gb"]
    assert came_since(before, cluster([drawn("n1", *now)], *work), made) == said
    assert came_since(before, cluster([drawn("n2", ".")]), made) == "n1 is gone"


def test_whoever_got_a_whole_gpu_meanwhile_keeps_it() -> None:
    made = proposed(before := cluster([drawn("n1", ".", "#")], *slices("w", LARGE, 2)))
    assert shown(made) == ["n1/0: whole -> 2x 3g.40gb"]
    assert came_since(before, before, made) is None
    assert came_since(before, cluster([drawn("n1", "#", ".")]), made) == "GPU 0 of n1 is in use now"


def test_configurations_of_the_mig_manager() -> None:
    snap = cluster([drawn("n1", "1111111", "1#11", "#"), drawn("n2", "1111111")], *slices("w", LARGE, 4))
    made = proposed(snap)
    configs = configs_of(made.nodes)
    assert len(configs) == 2
    by_node = {each.node: config_name(each.gpus) for each in made.nodes}
    text = config_yaml({by_node[NodeName("n1")]: configs[by_node[NodeName("n1")]]})
    assert text == (
        "version: v1\n"
        "mig-configs:\n"
        f"  {by_node[NodeName('n1')]}:\n"
        "    - devices: [0]\n"
        "      mig-enabled: true\n"
        "      mig-devices:\n"
        '        "3g.40gb": 2\n'
        "    - devices: [1]\n"
        "      mig-enabled: true\n"
        "      mig-devices:\n"
        '        "1g.10gb": 3\n'
        "    - devices: [2]\n"
        "      mig-enabled: false\n"
    )
    assert by_node[NodeName("n1")].startswith("bayplan-")
    assert len(by_node[NodeName("n1")]) <= 63


def test_equal_layouts_share_a_name() -> None:
    snap = cluster([drawn("n1", "1111111"), drawn("n2", "1111111")], *slices("w", LARGE, 4))
    made = proposed(snap)
    assert len(made.nodes) == 2
    assert len(configs_of(made.nodes)) == 1


GPUS = ["1111111", "1#1#1", "33", "3#3", "222", "211", ".", "7", "7#", "43", "4#2"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(GPUS), min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from([*SIZES.values(), ""]), st.integers(1, 3)), min_size=1, max_size=3),
    st.integers(0, 2),
)
def test_every_proposal_keeps_what_it_promises(
    drawing: list[list[str]], asked: list[tuple[str, int]], moves: int
) -> None:
    nodes = [drawn(f"n{i}", *gpus) for i, gpus in enumerate(drawing)]
    work = [
        single(f"w{at}-{i}", shape(count if not profile else 0, mig=profile or None))
        for at, (profile, count) in enumerate(asked)
        for i in range(1 if not profile else count)
    ]
    made = proposed(cluster(nodes, *work), moves=moves)
    if not made.moved:
        promised = sum(each.pods for each in made.served)
        assert len(made.starts) >= promised
