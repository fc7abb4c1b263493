"""Plans for pods that claim devices, on states made of what was seen."""

from msgspec.structs import replace

from scheduler.model.plan import Admit, Plan, Reason, Wait
from scheduler.model.queue import Quota
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from scheduler.state.cluster import ClusterState
from tests.state.build import Thing, queue, state_of

QUEUE = replace(queue(), total=Quota(nominal_milli_gpu=100_000))
MADE_SMALL = ((0, "1g.10gb", 0), (0, "1g.10gb", 1), (1, "1g.10gb", 0))
"""The smallest slices of `presliced`."""


def planned(state: ClusterState, *, reclaim: bool = False) -> tuple[Snapshot, Plan]:
    snap = state.snapshot()
    made = plan(snap, now_s=100, settings=PlanSettings(solver_budget_ms=500, reclaim=reclaim))
    assert broken_rules(snap, made) == []
    return snap, made


def starts(*things: Thing) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Which pod starts where, on which GPUs."""
    _, made = planned(state_of(QUEUE, *things))
    return {a.pod: (a.node, a.devices) for d in made.decisions if isinstance(d, Admit) for a in d.placement.assignments}


def waits(*things: Thing) -> list[tuple[Reason, str, str]]:
    _, made = planned(state_of(QUEUE, *things))
    return [(d.reason, d.message, d.detail) for d in made.decisions if isinstance(d, Wait)]
