"""The use of nodes that divide their GPUs as pods need it."""

from msgspec.structs import replace

from scheduler.model.names import PodUid
from scheduler.model.node import MigInstance
from scheduler.model.plan import Assignment
from scheduler.model.workload import Pod, PodShape
from scheduler.state.audit import inconsistencies, violations
from scheduler.state.events import DevicesSeen, PodGone
from tests.state.build import (
    N1,
    allocatable,
    foreign,
    mig,
    node,
    part,
    pod,
    report,
    reserved,
    shape,
    sliced,
    state_of,
    used,
)

A100 = node(gpus=4, product="NVIDIA-A100-SXM4-80GB")


def dividing(*instances: MigInstance, gpus: int = 4, **held: tuple[int, ...] | tuple[MigInstance, ...]) -> DevicesSeen:
    """A report of a node that divides its GPUs on demand; `held`: what pods have."""
    whole = {name: has for name, has in held.items() if not isinstance(has[0], MigInstance)}
    slices = {f"a/{name}": has for name, has in held.items() if isinstance(has[0], MigInstance)}
    return replace(
        report(gpus=gpus, **whole),  # pyright: ignore[reportArgumentType]  only indexes are left
        mig_on_demand=True,
        shares_on_demand=True,
        mig_instances=instances,
        slices_held=tuple(slices.items()),
    )


def on(name: str, what: PodShape) -> Pod:
    return pod(name, shape=what, node=N1)


def test_parts_count_as_the_gpus_that_they_touch() -> None:
    state = state_of(A100, dividing(x=(1,), y=(1,), w=(3,)), on("x", part(300)), on("y", part(600)), on("w", shape(1)))
    seen = state.snapshot()
    assert used(seen, "n1") == 2
    assert seen.devices_used[N1] == {1, 3}
    assert seen.shares_used[N1] == ((1, 900),)
    assert violations(seen) == []


def test_parts_of_which_nothing_is_known_are_expected_where_the_planner_puts_them() -> None:
    state = state_of(A100, dividing(), on("x", part(300)), on("y", part(600)), on("z", part(200)), on("w", shape(1)))
    seen = state.snapshot()
    assert seen.devices_used[N1] == {0, 1, 2}
    assert dict(seen.shares_used[N1]) == {1: 900, 2: 200}
    assert used(seen, "n1") == 3


def test_slices_are_those_held_expected_and_free() -> None:
    state = state_of(
        A100,
        dividing(mig(0, "1g.10gb", 0), x=(mig(0, "3g.40gb", 4),)),
        on("x", sliced("3g.40gb")),
        on("y", sliced("2g.20gb")),
    )
    seen = state.snapshot()
    assert seen.slices[N1] == (mig(0, "1g.10gb", 0, in_use=False), mig(0, "2g.20gb", 2), mig(0, "3g.40gb", 4))
    assert seen.devices_used[N1] == {0}
    assert used(seen, "n1") == 1
    state.apply(PodGone(uid=PodUid("x")))
    assert [one.profile for one in state.snapshot().slices[N1]] == ["1g.10gb", "2g.20gb"]


def test_a_plan_in_flight_takes_the_part_and_the_slice_that_it_chose() -> None:
    flight = reserved("pod:a/x", ("x", "n1", (2,)))
    chosen = Assignment(pod=PodUid("y"), node=N1, slices=(mig(1, "4g.40gb", 0),))
    state = state_of(
        A100,
        dividing(),
        pod("x", shape=part(400)),
        pod("y", shape=sliced("4g.40gb")),
        flight,
        replace(reserved("pod:a/y"), assignments=(chosen,)),
    )
    seen = state.snapshot()
    assert seen.shares_used[N1] == ((2, 400),)
    assert seen.slices[N1] == (mig(1, "4g.40gb", 0),)
    assert used(seen, "n1") == 2
    assert violations(seen) == []
    assert inconsistencies(state) == []


def test_gpus_that_are_divided_on_demand_count_though_nothing_is_advertised() -> None:
    bare = node(gpus=0, product="NVIDIA-A100-SXM4-80GB")
    seen = state_of(bare, dividing(gpus=3)).snapshot()
    assert allocatable(seen, "n1") == 3
    assert seen.nodes[N1].on_demand


def test_whether_gpus_are_divided_is_a_matter_of_the_machine_and_what_stands_on_them_is_not() -> None:
    state = state_of(A100, report(gpus=4))
    before = state.snapshot().static_generation
    state.apply(dividing())
    assert state.snapshot().static_generation == before + 1
    state.apply(dividing(mig(0, "1g.10gb", 6), x=(1,)))
    assert state.snapshot().static_generation == before + 1


def test_what_is_given_twice_is_found_out() -> None:
    overfull = state_of(A100, dividing(x=(1,), y=(1,)), on("x", part(700)), on("y", part(600)))
    assert violations(overfull.snapshot()) == ["1300 milli of GPU 1 of node n1 are given out in parts"]
    both = state_of(A100, dividing(x=(1,), y=(1,)), on("x", part(700)), on("y", shape(1)))
    assert violations(both.snapshot()) == ["700 milli of GPU 1 of node n1 are given out in parts, and it is held whole"]
    crossed = state_of(
        A100,
        dividing(x=(mig(0, "3g.40gb", 0),), y=(mig(0, "1g.10gb", 3),)),
        on("x", sliced("3g.40gb")),
        on("y", sliced("1g.10gb")),
    )
    assert violations(crossed.snapshot()) == ["GPU 0 of node n1: memory unit 3 is given to 2 slices"]
    mixed = state_of(A100, dividing(x=(mig(0, "3g.40gb", 0),), y=(0,)), on("x", sliced("3g.40gb")), on("y", part(100)))
    assert violations(mixed.snapshot()) == ["GPU 0 of node n1 is divided into slices and given out otherwise too"]


def test_a_stranger_with_a_part_of_unknown_size_is_taken_to_have_all_of_a_gpu() -> None:
    state = state_of(A100, dividing(), foreign("s", node=N1, shape=part(1000)))
    assert state.snapshot().shares_used[N1] == ((0, 1000),)
    assert used(state.snapshot(), "n1") == 1


def test_broken_gpus_that_are_divided_are_not_counted_twice() -> None:
    sick = replace(dividing(x=(0,)), devices=report(gpus=4, sick=[0]).devices)
    seen = state_of(A100, sick, on("x", part(500))).snapshot()
    assert (allocatable(seen, "n1"), used(seen, "n1")) == (3, 0)


def test_a_part_for_which_there_is_no_room_shows_a_node_over_committed_by_parts() -> None:
    state = state_of(A100, dividing(), foreign("s", node=N1, shape=shape(4)), on("x", part(100)))
    assert (allocatable(state.snapshot(), "n1"), used(state.snapshot(), "n1")) == (4, 5)


def test_what_is_expected_does_not_depend_on_who_was_seen_first() -> None:
    pods = [on("x", part(600)), on("y", part(500)), on("z", part(400)), on("s", sliced("1g.10gb"))]
    one, other = state_of(A100, dividing(), *pods).snapshot(), state_of(*reversed(pods), dividing(), A100).snapshot()
    assert (one.shares_used, one.slices, one.devices_used) == (other.shares_used, other.slices, other.devices_used)
