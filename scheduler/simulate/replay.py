"""Replays a trace of arrivals: pods come one at a time and stay where they are put; what has no room is dropped."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from scheduler.model.policy import Policy
from scheduler.model.resources import MILLI_GPU
from scheduler.scoring.policies.fragmentation import Mix, fragmented_milli
from scheduler.scoring.policies.free import FreeTable
from scheduler.scoring.policies.policies import Chooser
from scheduler.scoring.policies.prices import Prices
from scheduler.simulate.replay_read import TraceNode, TracePod

POINTS = 200
"""The curve has about so many points."""

PERIOD = 128
"""So many arrivals are a period of the mix."""

LEARN_FIRST, LEARN_PART, LEARN_MOST = 4, 8, 256
"""Prices follow the mix when an eighth more has been asked for, and after 256 requests at the latest."""


class Placed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a pod went; no node where it was dropped."""

    pod: str
    node: str | None = None
    devices: tuple[int, ...] = ()


class Point(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The cluster after so many arrivals, in milli-GPU.

    `fragmented`: of what is free, how much an average request of the mix seen until then could not be given.
    """

    pods: int
    arrived_milli_gpu: int
    allocated_milli_gpu: int
    fragmented_milli_gpu: int


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all pods, in the order of arrival, and the curve on the way there."""

    policy: Policy
    nodes: int
    capacity_milli_gpu: int
    placements: tuple[Placed, ...]
    curve: tuple[Point, ...]

    @property
    def dropped(self) -> int:
        """Pods that had no room."""
        return sum(placed.node is None for placed in self.placements)


def table_of(nodes: Sequence[TraceNode]) -> FreeTable:
    """The nodes as a table, a row each, all of them empty."""
    gpus = np.array([node.gpus for node in nodes], dtype=np.int64)
    products = sorted({node.model for node in nodes if node.gpus})
    return FreeTable(
        milli_cpu=np.array([node.milli_cpu for node in nodes], dtype=np.int64),
        memory=np.array([node.memory_mib for node in nodes], dtype=np.int64),
        devices=(np.arange(max(1, gpus.max(initial=0))) < gpus[:, None]) * np.int64(MILLI_GPU),
        product=np.array([products.index(node.model) if node.gpus else -1 for node in nodes], dtype=np.int64),
        products=products,
    )


def replay(
    nodes: Sequence[TraceNode],
    pods: Sequence[TracePod],
    *,
    policy: Policy,
    tell: Callable[[int], None] = lambda _: None,
) -> Replay:
    """Place every pod in turn by `policy`; `tell` hears how many are done, every now and then."""
    table = table_of(nodes)
    prices, mix = Prices(table), Mix()
    learned = 0
    chooser = Chooser(table, policy, prices)
    placements: list[Placed] = []
    curve = [Point(pods=0, arrived_milli_gpu=0, allocated_milli_gpu=0, fragmented_milli_gpu=0)]
    arrived = allocated = 0
    every = max(1, len(pods) // POINTS)
    for count, pod in enumerate(pods, 1):
        request = pod.request
        mix.add(request, count // PERIOD)
        if policy is Policy.LEAST_FRAGMENTATION and count - learned >= min(
            LEARN_MOST, max(LEARN_FIRST, count // LEARN_PART)
        ):
            prices.learn(mix.kinds())
            learned = count
        arrived += request.milli_gpu
        chosen = chooser.place(request)
        if chosen is None:
            placements.append(Placed(pod=pod.name))
        else:
            allocated += request.milli_gpu
            placements.append(Placed(pod=pod.name, node=nodes[chosen[0]].name, devices=chosen[1]))
        if count % every == 0 or count == len(pods):
            curve.append(
                Point(
                    pods=count,
                    arrived_milli_gpu=arrived,
                    allocated_milli_gpu=allocated,
                    fragmented_milli_gpu=fragmented_milli(table, mix.kinds()),
                )
            )
            tell(count)
    return Replay(
        policy=policy,
        nodes=len(nodes),
        capacity_milli_gpu=int(table.gpu_capacity.sum()),
        placements=tuple(placements),
        curve=tuple(curve),
    )
