"""In which order workloads are decided.

By priority; within one, those that their queue's nominal quota covers go before those that borrow; then the older
ones; then by key. A queue's use grows as the plan goes, so who borrows is judged when a workload's turn comes.
"""

from collections.abc import Iterable
from itertools import groupby

from scheduler.planning.candidate import Candidate


def by_turn(candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    """Candidates of equal priority together, the highest first, each list by age and key."""
    ordered = sorted(candidates, key=_turn)
    return [list(group) for _, group in groupby(ordered, key=lambda c: c.workload.priority)]


def _turn(candidate: Candidate) -> tuple[int, int, str]:
    workload = candidate.workload
    return -workload.priority, workload.created_s, workload.key
