"""What is found of a name, and how it is told: on states that events made, and plans of them."""

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from scheduler.cli.explain import together
from scheduler.cli.explained import Explanation, NotFound, find, people_text
from scheduler.model.names import NodeName, PodUid, QueueName
from scheduler.model.node import Node
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import GPU, Resources
from scheduler.model.workload import GangClaim, Pod, PodShape, Problem
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.state.cluster import ClusterState
from scheduler.state.events import Event, NodeSeen, PodSeen, QueueSeen


def node(name: str, gpus: int) -> NodeSeen:
    allocatable = Resources(milli_cpu=64_000, memory_bytes=2**38, pods=110, extended=((GPU, gpus),))
    return NodeSeen(node=Node(name=NodeName(name), uid=name, allocatable=allocatable, product="NVIDIA-H100-80GB-HBM3"))


def pod(name: str, gpus: int, *, gang: GangClaim | None = None, on: str | None = None, **more: object) -> Pod:
    made = {"namespace": "default", "queue": QueueName("a"), "ours": True, "managed": True, "created_s": 5, **more}
    return Pod(
        uid=PodUid(f"{made['namespace']}/{name}"),
        name=name,
        shape=PodShape(requests=Resources(pods=1, extended=((GPU, gpus),) if gpus else ())),
        gang=gang,
        node=None if on is None else NodeName(on),
        bound_s=None if on is None else 10,
        **made,  # pyright: ignore[reportArgumentType]  fields of the record by keyword
    )


def gang_of(name: str, size: int, gpus: int, **more: object) -> list[Pod]:
    return [pod(f"{name}-{i}", gpus, gang=GangClaim(name=name, size=size), **more) for i in range(size)]  # pyright: ignore[reportArgumentType]


def asked(
    name: str, pods: Iterable[Pod], *, namespace: str = "default", nodes: int = 2, nominal: int = 100
) -> list[Explanation] | NotFound:
    pods = list(pods)
    queue = Queue(
        name=QueueName("a"), total=Quota(nominal_milli_gpu=1000 * nominal, borrowing_limit_milli_gpu=0), generation=1
    )
    events: list[Event] = [QueueSeen(queue=queue), *(node(f"n{i}", 8) for i in range(nodes))]
    state = ClusterState()
    for event in [*events, *(PodSeen(pod=p) for p in pods)]:
        state.apply(event)
    snapshot = state.snapshot()
    return find(snapshot, plan(snapshot, now_s=100, settings=PlanSettings()), pods, namespace, name)


def the_one(found: list[Explanation] | NotFound) -> Explanation:
    assert isinstance(found, list), str(found)
    assert len(found) == 1
    return found[0]


def test_a_gang_that_waits_for_quota_is_told_with_figures_and_a_way_out() -> None:
    found = the_one(asked("train", gang_of("train", 2, 8), nominal=8))
    assert (found.kind, found.state, found.queue, found.pods, found.size, found.placed) == (
        "gang",
        "waiting",
        "a",
        2,
        2,
        0,
    )
    assert found.reason == "QuotaExhausted"
    assert found.blocking == ("quota of queue a: needs 16 GPUs, has 8 GPUs",)
    assert found.unblock
    text = people_text(found)
    assert text.startswith("default/train waits: ")
    assert "pods:     2 of 2 there, 0 on nodes" in text


def test_a_pod_of_a_gang_is_explained_by_its_gang() -> None:
    pods = gang_of("train", 3, 8)
    assert the_one(asked("train-1", pods)) == the_one(asked("train", pods))


def test_a_running_gang_names_its_nodes_and_who_is_there() -> None:
    found = the_one(asked("train", [*gang_of("train", 2, 4, on="n1")]))
    assert found.state == "running"
    assert found.nodes == {"n1": ("train-0", "train-1")}
    assert "nodes:    n1 (train-0 train-1)" in people_text(found)


def test_what_nothing_holds_up_is_starting() -> None:
    found = the_one(asked("p", [pod("p", 1)]))
    assert found.state == "starting"
    assert found.lines[0].startswith("default/p starts")


def test_a_bad_value_is_quoted() -> None:
    problem = Problem(where="annotation bayplan.dev/duration", value="6 horses", allowed="such as 90m or 6h")
    found = the_one(asked("p", [pod("p", 1, problems=(problem,))]))
    assert (found.state, found.reason) == ("waiting", "InvalidRequest")
    assert "'6 horses'; allowed: such as 90m or 6h" in people_text(found)


BY_OUR_CLASS = "deviceclass.resource.kubernetes.io/gpu.bayplan.dev"


def test_a_queue_that_does_not_exist_is_quoted() -> None:
    found = the_one(asked("p", [pod("p", 1, queue=QueueName("reserch"))]))
    assert found.reason == "QueueMissing"
    assert "'reserch'" in people_text(found)


def test_a_gang_size_that_never_arrives_is_counted() -> None:
    found = the_one(asked("train", gang_of("train", 4, 1)[:3]))
    assert found.reason == "GangIncomplete"
    assert "3 of 4 pods have arrived" in people_text(found)


def test_pods_of_a_job_that_are_no_gang_are_told_together() -> None:
    pods = [pod(f"sweep-{i}", 1, owner_uid="j", owner_name="sweep") for i in range(5)]
    found = asked("sweep", pods, nodes=1, nominal=2)
    assert isinstance(found, list)
    assert [e.state for e in found].count("waiting") == 3
    text = together(found)
    assert text.count("waits:") == 1
    assert "likewise:" in text


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (pod("web", 0, managed=False), "it asks for no GPU and belongs to no gang"),
        (
            replace(pod("web", 0, managed=False), shape=PodShape(requests=Resources(extended=((BY_OUR_CLASS, 1),)))),
            f"it asks for {BY_OUR_CLASS}, which nobody gives out; it has to name a ResourceClaim of gpu.bayplan.dev.",
        ),
        (pod("web", 1, managed=False, ours=False, on="n0"), "it names another scheduler. It is on n0."),
    ],
)
def test_pods_that_bayplan_does_not_place_are_said_to_be_so(other: Pod, said: str) -> None:
    found = the_one(asked("web", [other]))
    assert found.state == "not planned"
    assert people_text(found) == f"default/web is not planned by Bayplan: {said}".removesuffix(".") + "."


def test_a_name_that_is_not_there_gets_one_sentence_with_names_like_it() -> None:
    found = asked("trian", gang_of("train", 2, 1))
    assert isinstance(found, NotFound)
    assert str(found).startswith(
        "nothing called 'trian' waits or runs in the namespace 'default'; names like it: train"
    )


def test_a_name_in_another_namespace_is_pointed_out() -> None:
    found = asked("train", gang_of("train", 2, 1, namespace="vision"))
    assert str(found) == "nothing called 'train' waits or runs in the namespace 'default', but in vision (-n NAMESPACE)"


def test_a_known_end_tells_when_it_starts() -> None:
    standing = pod("old", 8, on="n0", duration_s=7290)
    found = the_one(asked("train", [standing, *gang_of("train", 2, 8)]))
    assert found.start is not None
    assert (found.start.start_s, found.start.in_s, found.start.sure) == (7300, 7200, True)
    assert (found.start.after, found.start.nodes) == (("default/old",), ("n0", "n1"))
    shown = people_text(found)
    assert "starts:   in about 2 h, when default/old ends; room is kept on n0, n1" in shown
    first, *others = shown.splitlines()
    assert first.startswith("default/train waits: ")
    assert "needs 2 GPUs" in first or "needs 16 GPUs" in first or "room" in first
    assert not any("In its way" in line for line in others)


def test_lines_are_broken_where_the_terminal_ends() -> None:
    found = the_one(asked("train", [pod("old", 8, on="n0"), *gang_of("train", 2, 8)]))
    wide, narrow = people_text(found), people_text(found, width=60)
    assert max(map(len, narrow.splitlines())) <= 60 < max(map(len, wide.splitlines()))
    assert narrow.split() == wide.split()
    assert all(line.startswith(" " * 10) for line in narrow.splitlines() if not line[:1].strip())


def test_words_that_are_not_honoured_are_told_of_what_waits() -> None:
    pods = gang_of("train", 2, 8, notes=("label x ('y') is not honoured: z",))
    found = the_one(asked("train", pods, nominal=8))
    assert "\nlabel x ('y') is not honoured: z\n" in people_text(found)
