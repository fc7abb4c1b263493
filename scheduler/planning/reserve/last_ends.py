"""Until when each node is in use: work of known length goes where it keeps a node in use no longer than it is anyway.

So nodes become free as a whole, and gangs find whole nodes: beside work that ends later a short job costs nobody a
node, on a node that is about to be empty it does.
"""

import numpy as np

from scheduler.model.ends import NEVER
from scheduler.planning.candidate import Candidate
from scheduler.planning.desk import Desk
from scheduler.planning.reserve.passing import expected_end
from scheduler.scoring.fleet import Codes
from scheduler.scoring.rules.queue import nodes_of


def keys_by_ends(desk: Desk, candidate: Candidate, rows: Codes, free: Codes, capacity: Codes) -> Codes | None:
    """A key of each of `rows`, lower is better, equal ones are as good; None where the candidate's length is unknown.

    Nodes in use go before whole ones; of these those that it keeps in use for the shortest time beyond what runs there,
    then those with least free, then those that what runs there leaves soonest afterwards.
    """
    end_s = expected_end(candidate.workload, desk.now_s)
    if end_s == NEVER or not len(rows):
        return None
    last = _last_ends(desk)[rows]
    whole = (free >= capacity).astype(np.int64)
    longer = np.where(whole, 0, np.maximum(end_s - last, 0))
    after = np.where(whole, 0, np.maximum(last - end_s, 0))
    table = np.stack([whole, longer, free, after])
    order = np.lexsort(table[::-1])
    steps = (table[:, order[1:]] != table[:, order[:-1]]).any(axis=0)
    keys = np.zeros(len(rows), dtype=np.int64)
    keys[order] = np.concatenate([[0], np.cumsum(steps)])
    return keys


def _last_ends(desk: Desk) -> Codes:
    """When the last of what runs on each node is expected to end, with what this plan started; 0 where nothing runs."""
    ends = desk.last_ends
    if ends is None:
        ends = desk.last_ends = desk.timeline.last_ends(len(desk.fleet))
    for decision in desk.decisions[desk.last_ends_seen :]:
        if nodes := nodes_of(decision):
            end_s = expected_end(desk.snapshot.workloads[decision.workload], desk.now_s)
            rows = desk.fleet.rows(nodes.values())
            ends[rows] = np.maximum(ends[rows], end_s)
    desk.last_ends_seen = len(desk.decisions)
    return ends
