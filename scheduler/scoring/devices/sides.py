"""Nodes whose GPUs are given out by claims and otherwise: who may have any of them, as a plan gives them away."""

from collections.abc import Sequence

import numpy as np

from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import PodShape
from scheduler.scoring.fleet import Codes, Fleet, Mask


class Sides:
    """Who is kept off which nodes, so that no GPU is given twice; it changes with the plan.

    What gives out GPUs to pods that do not claim them knows of no claims. So a plan puts only one sort on a node of
    both, and beside what stands there only where the snapshot does not close it.
    """

    def __init__(self, snapshot: Snapshot, fleet: Fleet) -> None:
        """As the snapshot has it."""
        self._both: Mask = fleet.claimable & ~fleet.claims_only
        self.any: bool = bool(self._both.any() or snapshot.closed)
        """Whether anybody is kept off any node, or may come to be."""
        self._off: dict[bool, Codes] = {by_claim: np.zeros(len(fleet), dtype=np.int64) for by_claim in (False, True)}
        if self.any:
            for name, closed in snapshot.closed.items():
                row = fleet.row_of.get(name)
                if row is not None:
                    self._off[True][row] += closed.to_claims
                    self._off[False][row] += closed.to_others

    def limit(self, fits: Codes, rows: Codes | None, shape: PodShape) -> None:
        """No pod of `shape` fits on those of `rows` (all where None) that it is kept off."""
        if self.any and shape.requests.wants_devices:
            off = self._off[shape.by_claim]
            fits[(off if rows is None else off[rows]) > 0] = 0

    def off(self, shape: PodShape) -> Mask:
        """The nodes that pods of `shape` are kept off."""
        kept = self._off[shape.by_claim] > 0
        return kept if shape.requests.wants_devices else np.zeros_like(kept)

    def take(self, rows: Codes, counts: Codes, shape: PodShape) -> None:
        """So many pods of `shape` come to these nodes; negative numbers take that back."""
        if self.any and shape.requests.wants_devices:
            both = self._both[rows]
            np.add.at(self._off[not shape.by_claim], rows[both], counts[both])

    def clashing(self, shapes: Sequence[PodShape], groups: Sequence[tuple[Codes, Codes]]) -> list[int]:
        """Rows of a layout (`groups[g]`: rows, and pods of `shapes[g]` on each) to which pods of both sorts come."""
        come = {False: set[int](), True: set[int]()}
        for shape, (rows, counts) in zip(shapes, groups, strict=True):
            if shape.requests.wants_devices:
                come[shape.by_claim].update(rows[(counts > 0) & self._both[rows]].tolist())
        return sorted(come[False] & come[True])
