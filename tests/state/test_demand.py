"""The mix of what was asked for of late, as the state keeps it."""

from itertools import permutations

from scheduler.model.demand import Request
from scheduler.model.names import PodUid
from scheduler.model.resources import GPU, GPU_SHARED, MILLI_GPU, Resources, extended
from scheduler.model.workload import Pod, PodShape
from scheduler.scoring.policies.fragmentation import FORGOTTEN, HALF_LIFE, WEIGHT
from scheduler.state.cluster import ClusterState
from scheduler.state.demand import PERIOD_S
from scheduler.state.events import PodGone, PodSeen, RequestsSeen

ONE, TWO = Request(milli_cpu=1000, devices=1), Request(milli_cpu=1000, devices=2)


def pod(name: str, gpus: int = 1, *, period: int = 0, managed: bool = True, resource: str = GPU) -> PodSeen:
    shape = PodShape(requests=Resources(milli_cpu=1000, pods=1, extended=extended({resource: gpus})), share_milli=300)
    uid = PodUid(name)
    return PodSeen(
        pod=Pod(
            uid=uid, namespace="a", name=name, shape=shape, ours=managed, managed=managed, created_s=period * PERIOD_S
        )
    )


def mix(*events: PodSeen | PodGone | RequestsSeen) -> dict[Request, int]:
    state = ClusterState()
    for event in events:
        state.apply(event)
    return {kind.request: kind.weight for kind in state.snapshot().demand}


def test_kinds_by_how_often_they_were_asked_for() -> None:
    assert mix(pod("a"), pod("b"), pod("c"), pod("d", 2)) == {ONE: WEIGHT * 3 // 4, TWO: WEIGHT // 4}


def test_parts_of_gpus_count_as_parts() -> None:
    part = Request(milli_cpu=1000, devices=1, share_milli=300)
    assert mix(pod("a", resource=GPU_SHARED)) == {part: WEIGHT}


def test_pods_without_gpus_with_slices_and_of_others_do_not_count() -> None:
    assert mix(pod("a", 0), pod("b", managed=False), pod("c", resource="nvidia.com/mig-1g.10gb")) == {}


def test_a_pod_counts_once_and_as_it_is_now() -> None:
    assert mix(pod("a"), pod("a"), pod("b", 2), pod("b", 1)) == {ONE: WEIGHT}


def test_what_is_gone_counts_on() -> None:
    assert mix(pod("a"), pod("b", 2), PodGone(uid=PodUid("a"))) == {ONE: WEIGHT // 2, TWO: WEIGHT // 2}


def test_older_requests_count_less_until_they_are_forgotten() -> None:
    later = pod("z", 1, period=HALF_LIFE + 1)
    assert mix(pod("a", 2), pod("b", period=HALF_LIFE), later) == {
        ONE: round(WEIGHT * 2 / 3),
        TWO: round(WEIGHT / 3),
    }
    assert mix(pod("a", 2), pod("b", period=FORGOTTEN)) == {ONE: WEIGHT}


def test_the_latest_period_waits_until_it_is_over() -> None:
    assert mix(pod("a"), pod("b", 2, period=1)) == {ONE: WEIGHT}
    assert mix(pod("a"), pod("b", 2, period=1), pod("c", period=2)) != {ONE: WEIGHT}


def test_order_is_of_no_matter_and_facts_bring_all_back() -> None:
    events = [pod("a"), pod("b", 2), pod("c", 4, period=3), pod("d", 2, period=5)]
    assert len({tuple(sorted(mix(*some).items())) for some in permutations(events)}) == 1
    state = ClusterState()
    for event in (*events, PodGone(uid=PodUid("b")), PodGone(uid=PodUid("d"))):
        state.apply(event)
    facts = list(state.facts())
    again = ClusterState()
    for fact in reversed(facts):
        again.apply(fact)
    assert again.snapshot().demand == state.snapshot().demand != ()
    assert sum(isinstance(fact, RequestsSeen) for fact in facts) == 2


def test_a_whole_gpu_is_no_part() -> None:
    assert ONE.milli_gpu == MILLI_GPU
