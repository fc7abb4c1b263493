"""What the device plugin gives under each policy of the topology manager, against the kubelet's steps done by hand."""

from collections.abc import Sequence
from itertools import combinations, permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.alignment import Alignment, NumaPolicy
from scheduler.model.links import LinkGraph
from scheduler.scoring.devices.choose import indexes
from scheduler.scoring.devices.links import all_equal
from scheduler.scoring.devices.machines import machine_graph
from scheduler.scoring.devices.numa import NumaNodes
from scheduler.scoring.devices.plugin import PluginChooser
from tests.scoring.devices import links_by_hand as by_hand
from tests.scoring.devices.links_by_hand import Some, graphs, members
from tests.scoring.devices.test_plugin import picks_by_hand

NONE, BEST = NumaPolicy.NONE, NumaPolicy.BEST_EFFORT
RESTRICTED, SINGLE = NumaPolicy.RESTRICTED, NumaPolicy.SINGLE_NUMA_NODE
REJECTED = None

alignments = st.builds(Alignment, policy=st.sampled_from(NumaPolicy), by_pod=st.booleans())


def hints(graph: LinkGraph, free: Some, count: int) -> list[tuple[Some, bool]]:
    """The device manager's: every set of NUMA nodes that has enough free GPUs, and whether it is preferred."""
    nodes = sorted({numa for numa in graph.numa if numa >= 0})
    masks = [set(mask) for size in range(1, len(nodes) + 1) for mask in combinations(nodes, size)]
    inside = {frozenset(mask): members_of(graph, mask) for mask in masks}
    narrowest = min((len(mask) for mask, gpus in inside.items() if len(gpus) >= count), default=len(nodes))
    return [
        (mask, len(mask) == narrowest) for mask, gpus in sorted(inside.items(), key=repr) if len(gpus & free) >= count
    ]


def members_of(graph: LinkGraph, mask: set[int] | Some) -> Some:
    return frozenset(gpu for gpu, numa in enumerate(graph.numa) if numa in mask)


def masks_of(graph: LinkGraph, free: Some, count: int, policy: NumaPolicy) -> list[Some]:
    """The GPUs that the device manager takes for aligned, one set for each mask of equal standing; none: rejected."""
    everything = frozenset(range(graph.size))
    if policy is NONE or all(numa < 0 for numa in graph.numa):
        return [everything]
    found = hints(graph, free, count)
    if policy is SINGLE:
        found = [(mask, good) for mask, good in found if len(mask) == 1 and good]
    good = [mask for mask, preferred in found if preferred] or [mask for mask, _ in found]
    preferred = any(preferred for _, preferred in found)
    if policy in (RESTRICTED, SINGLE) and not preferred:
        return []
    if not good:
        return [everything]
    least = min(len(mask) for mask in good)
    return [members_of(graph, mask) for mask in good if len(mask) == least]


def container(graph: LinkGraph, free: Some, count: int, aligned: Some) -> set[Some]:
    inside = free & aligned
    if len(inside) < count:
        return set()
    return {frozenset({gpu}) for gpu in inside} if count == 1 else picks_by_hand(graph, inside, count)


def given_to(graph: LinkGraph, free: Some, steps: Sequence[int], alignment: Alignment) -> set[Some] | None:
    """All that a pod may be given together; None where it may be rejected."""
    if len(free) < sum(steps):
        return REJECTED
    if alignment.by_pod:
        masks = masks_of(graph, free, sum(steps), alignment.policy)
        found: set[Some] = set()
        for aligned in masks:
            held: set[Some] = {frozenset()}
            for count in steps:
                held = {some | more for some in held for more in container(graph, free - some, count, aligned)}
            found |= held
        return found or REJECTED
    held = {frozenset()}
    for count in steps:
        after: set[Some] = set()
        for some in held:
            masks = masks_of(graph, free - some, count, alignment.policy)
            if not masks:
                return REJECTED
            after |= {some | more for aligned in masks for more in container(graph, free - some, count, aligned)}
        held = after
    return held


def numbered(graph: LinkGraph, free: Some) -> int:
    return sum(1 << gpu for gpu in free)


@given(st.data(), graphs(most_gpus=6), alignments)
def test_what_a_pod_may_be_given_is_what_the_kubelets_steps_come_to(
    data: st.DataObject, graph: LinkGraph, alignment: Alignment
) -> None:
    chooser = PluginChooser(graph, alignment=alignment)
    free = members(data.draw(st.integers(1, (1 << graph.size) - 1), label="free"))
    steps = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3), label="steps"))
    expected = given_to(graph, free, steps, alignment)
    picks = {members(some) for some in chooser.picks_in_turn(numbered(graph, free), steps)}
    if expected is not REJECTED:
        assert picks == expected
    best = chooser.best(numbered(graph, free), sum(steps), steps=steps)
    assert (best != 0) == (expected is not REJECTED)
    assert members(best) in (expected or {frozenset()})


def admitted(graph: LinkGraph, free: Some, pods: Sequence[Sequence[int]], alignment: Alignment, linked: bool) -> bool:
    """Whether pods that come in this order are all taken, and linked where that is asked, whatever chance does."""
    if not pods:
        return True
    found = given_to(graph, free, pods[0], alignment)
    return (
        found is not REJECTED
        and bool(found)
        and all(
            (not linked or by_hand.linked(graph, some)) and admitted(graph, free - some, pods[1:], alignment, linked)
            for some in found
        )
    )


@given(st.data(), graphs(most_gpus=6), alignments, st.booleans())
def test_what_is_promised_holds_whatever_chance_does(
    data: st.DataObject, graph: LinkGraph, alignment: Alignment, linked: bool
) -> None:
    chooser = PluginChooser(graph, alignment=alignment)
    free = data.draw(st.integers(0, (1 << graph.size) - 1), label="free")
    steps = tuple(data.draw(st.lists(st.integers(1, 2), max_size=2), label="steps"))
    count = sum(steps) if len(steps) > 1 else data.draw(st.integers(2, graph.size + 1), label="count")
    pod = steps if len(steps) > 1 else (count,)
    pods = chooser.fits(free, count, pod if len(steps) > 1 else (), linked=linked)
    assert admitted(graph, members(free), [pod] * pods, alignment, linked)
    assert not admitted(graph, members(free), [pod] * (pods + 1), alignment, linked)
    sizes = data.draw(st.lists(st.integers(2 if linked else 1, 3), max_size=3), label="sizes")
    orders = set(permutations(sizes))
    sure = all(admitted(graph, members(free), [(n,) for n in order], alignment, linked) for order in orders)
    assert chooser.packable(free, tuple(sorted(sizes, reverse=True)), linked=linked) == sure


@given(st.data(), graphs(most_gpus=6), alignments)
def test_whether_a_pod_is_ever_taken(data: st.DataObject, graph: LinkGraph, alignment: Alignment) -> None:
    chooser = PluginChooser(graph, alignment=alignment)
    count = data.draw(st.integers(2, graph.size + 1), label="count")
    everything = members(chooser.all)
    assert chooser.could_admit(count) == (given_to(graph, everything, (count,), alignment) is not REJECTED)


@given(st.data(), graphs(most_gpus=6), alignments)
def test_a_lower_bound_for_large_machines_is_one(data: st.DataObject, graph: LinkGraph, alignment: Alignment) -> None:
    nodes = NumaNodes(graph.numa, alignment)
    free = data.draw(st.integers(0, (1 << graph.size) - 1), label="free")
    count = data.draw(st.integers(1, graph.size), label="count")
    if nodes.rejects:
        pods = nodes.at_least(free, count)
        assert admitted(graph, members(free), [(count,)] * pods, alignment, linked=False)


def written(some: tuple[int, ...]) -> str:
    return " ".join(sorted("".join(map(str, indexes(one))) for one in some))


@pytest.mark.parametrize(
    ("policy", "free", "count", "want"),
    [
        (NONE, (0, 4, 5, 6), 2, "45 46 56"),
        (SINGLE, (0, 4, 5, 6), 2, "45 46 56"),
        (NONE, (0, 1, 2, 4, 5, 6), 4, "0124 0125 0126 0456 1456 2456"),
        (BEST, (0, 1, 2, 4, 5, 6), 4, "0124 0125 0126 0456 1456 2456"),
        (RESTRICTED, (0, 1, 2, 4, 5, 6), 4, ""),
        (SINGLE, (0, 1, 2, 4, 5, 6), 4, ""),
        (RESTRICTED, range(8), 8, "01234567"),
        (SINGLE, range(8), 8, ""),
        (SINGLE, range(8), 4, "0123 4567"),
    ],
)
def test_two_sockets_with_four_gpus_each(policy: NumaPolicy, free: Sequence[int], count: int, want: str) -> None:
    graph = machine_graph("hgx_h100")
    assert graph is not None
    picks = PluginChooser(graph, alignment=Alignment(policy=policy)).picks(sum(1 << gpu for gpu in free), count)
    assert written(picks) == want


def test_of_sixteen_gpus_only_what_is_sure_counts() -> None:
    graph = msgspec.structs.replace(all_equal(16), numa=(0,) * 8 + (1,) * 8)
    single = PluginChooser(graph, alignment=Alignment(policy=SINGLE))
    assert single.fits(single.all, 4, linked=False) == 4
    assert single.fits(single.all ^ 1, 3, linked=False) == 4
    assert single.fits(single.all, 4, (2, 2), linked=False) == 1
    assert single.fits(single.all, 16, linked=False) == 0
    assert not single.could_admit(16)
    assert len({graph.numa[gpu] for gpu in indexes(single.best(single.all, 4))}) == 1
    assert not single.packable(single.all, (4, 2), linked=False)
    assert PluginChooser(graph, alignment=Alignment(policy=RESTRICTED)).fits(single.all, 16, linked=False) == 1
