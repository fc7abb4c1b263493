"""Whether the demo came out as it promises."""

from collections.abc import Mapping
from typing import assert_never

from scheduler.demo.fabric import Fabric
from scheduler.demo.story import Story, Work, WorkName
from scheduler.demo.track import Trace

WHOLE_WITHIN_S = 2.0
"""A gang's pods get their nodes within this time of each other (budget: design.md §8)."""


def settled(story: Story, traces: Mapping[WorkName, Trace]) -> bool:
    """Whether every workload has come to its promised end."""
    return all(_at_end(work, traces[name]) for name, work in story.work.items())


def _at_end(work: Work, trace: Trace) -> bool:
    ends = work.promise.ends
    match ends:
        case "completed" | "running":
            return trace.state == ends and (not work.leaves or trace.lost_s is not None)
        case "waiting":
            return trace.state == "waiting" and any(reason in work.promise.waits for reason, _ in trace.reasons)
        case _:
            assert_never(ends)


def broken(story: Story, traces: Mapping[WorkName, Trace], fabric: Fabric) -> list[str]:
    """One sentence for each promise that was not kept; none where all is well."""
    return [text for work in story.work.values() for text in _broken(work, traces, fabric)]


def _broken(work: Work, traces: Mapping[WorkName, Trace], fabric: Fabric) -> list[str]:
    promise, trace = work.promise, traces[work.name]
    if promise.makes_way_for is not None and trace.lost_s is None:
        return [f"{work.name} should make way for {promise.makes_way_for}, but never left its nodes"]
    if promise.breaks and trace.lost_s is None:
        return [f"{work.name} should leave the node that fails ({promise.breaks}), but never did"]
    if not _at_end(work, trace):
        why = f" ({trace.reasons[-1][0]}: {trace.reasons[-1][1]})" if trace.reasons else ""
        return [f"{work.name} should be {promise.ends} in the end, but is {trace.state}{why}"]
    found: list[str] = []
    if promise.waits and all(reason not in promise.waits for reason, _ in trace.reasons):
        seen = ", ".join(reason for reason, _ in trace.reasons) or "no reason"
        found.append(f"{work.name} should wait for {' or '.join(promise.waits)}, but {seen} was given")
    if promise.starts_after is not None:
        before = traces[promise.starts_after].completed_s
        if before is None or trace.first_placed_s is None or trace.first_placed_s < before:
            found.append(f"{work.name} got a node before {promise.starts_after} had ended")
    if work.gang and trace.spread_s is not None and trace.spread_s > WHOLE_WITHIN_S:
        found.append(f"the gang {work.name} took {trace.spread_s:.1f} s from its first pod to its last")
    if promise.breaks and trace.nodes[0] in trace.latest_nodes:
        found.append(f"{work.name} should stay away from {trace.nodes[0]}, which failed, but came back to it")
    found += _misplaced(work, trace, fabric)
    return found


def _misplaced(work: Work, trace: Trace, fabric: Fabric) -> list[str]:
    wanted = work.promise
    found: list[str] = []
    if wanted.nodes and len(trace.nodes) != wanted.nodes:
        found.append(f"{work.name} should stand on {wanted.nodes} nodes, but stood on {', '.join(trace.nodes)}")
    racks = fabric.racks(trace.nodes)
    if wanted.racks and len(racks) != wanted.racks:
        found.append(f"{work.name} should stand in {wanted.racks} rack, but stood in {', '.join(racks)}")
    return found
