"""When running work is expected to end."""

import msgspec

from scheduler.model.workload import Workload

NEVER = 1 << 60
"""Later than any time: the end of work of which nobody knows how long it runs."""


class Length(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How long a workload runs from when it got its nodes, in seconds: in half of all cases, and in nine of ten.

    `sure`: whoever submitted it said so, or Kubernetes ends it then; both figures are the same. Otherwise it is what
    such work took before.
    """

    median_s: int
    high_s: int
    sure: bool = True


class End(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """When running work is expected to be gone, in seconds since 1970; `high_s` holds in nine of ten cases."""

    median_s: int
    high_s: int
    sure: bool = True


def length_of(workload: Workload) -> Length | None:
    """How long the workload runs: as it says, else as earlier runs of its like did; None where nobody knows."""
    if workload.duration_s is None:
        learned = workload.learned
        if learned is None:
            return None
        return Length(median_s=max(learned.median_s, 1), high_s=max(learned.high_s, 1), sure=False)
    return Length(median_s=max(workload.duration_s, 1), high_s=max(workload.duration_s, 1))


def started_s(workload: Workload) -> int | None:
    """When the last of the members that stand got its node; None where none stands or that is not known of each."""
    latest: int | None = None
    for pod in workload.members:
        if pod.node is None or pod.deleting:
            continue
        if pod.bound_s is None:
            return None
        latest = pod.bound_s if latest is None else max(latest, pod.bound_s)
    return latest


def end_of(started: int | None, length: Length | None, now_s: int) -> End | None:
    """When work that started then and takes so long is gone; None where that is not known.

    Work that outlives what was said of it is taken to need as long again, and that is no longer sure.
    """
    if started is None or length is None:
        return None
    if started + length.median_s > now_s:
        high = max(started + length.high_s, started + length.median_s)
        return End(median_s=started + length.median_s, high_s=high, sure=length.sure)
    longer = length.median_s
    while started + longer <= now_s:
        longer *= 2
    return End(median_s=started + longer, high_s=started + 2 * longer, sure=False)
