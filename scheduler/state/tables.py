"""Per-node amounts as NumPy tables, changed row by row and handed out as read-only copies."""

from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from scheduler.model.names import NodeName
from scheduler.model.resources import GPU, Resources
from scheduler.model.snapshot import BASE_RESOURCES, Columns

LIMIT = 2**61
"""Amounts end here, so that differences of two of them stay within int64."""

Cell = TypeVar("Cell", bound=np.generic)

EMPTY = Columns(
    names=(),
    row_of={},
    resources=BASE_RESOURCES,
    allocatable=np.zeros((0, len(BASE_RESOURCES)), np.int64),
    used=np.zeros((0, len(BASE_RESOURCES)), np.int64),
    usable=np.zeros(0, np.bool_),
)


class Tables:
    """Working tables of all nodes; `columns` copies what changed since the last time."""

    def __init__(self) -> None:
        """No nodes."""
        self._handed_out = EMPTY
        self._names: tuple[NodeName, ...] = ()
        self._row_of: Mapping[NodeName, int] = {}
        self._resources: tuple[str, ...] = BASE_RESOURCES
        self._column_of: dict[str, int] = {}
        self._allocatable = EMPTY.allocatable
        self._used = EMPTY.used
        self._usable = EMPTY.usable
        self._changed = False

    @property
    def extended(self) -> Collection[str]:
        """The extended resources that the tables are laid out for."""
        return self._column_of.keys()

    def shape(self, names: Collection[NodeName], extended: Collection[str]) -> bool:
        """Lay the tables out for these nodes and extended resources; whether every row has to be set again."""
        ordered = tuple(sorted(names))
        resources = (*BASE_RESOURCES, *sorted(extended))
        widened = resources != self._resources
        kept = [(row, self._row_of[name]) for row, name in enumerate(ordered) if name in self._row_of]
        pairs = np.array(kept if not widened else [], np.intp).reshape(-1, 2)
        self._allocatable = _moved(self._allocatable, np.zeros((len(ordered), len(resources)), np.int64), pairs)
        self._used = _moved(self._used, np.zeros((len(ordered), len(resources)), np.int64), pairs)
        self._usable = _moved(self._usable, np.zeros(len(ordered), np.bool_), pairs)
        self._names = ordered
        self._row_of = {name: row for row, name in enumerate(ordered)}
        self._resources = resources
        self._column_of = {name: len(BASE_RESOURCES) + i for i, name in enumerate(resources[len(BASE_RESOURCES) :])}
        self._changed = True
        return widened

    def set_node(self, name: NodeName, allocatable: Resources, *, gpus: int, usable: bool) -> None:
        """What a node has. `gpus` are the whole GPUs that may be planned on."""
        row = self._row_of[name]
        amounts = self._amounts([allocatable])
        if GPU in self._column_of:
            amounts[self._column_of[GPU]] = gpus
        self._allocatable[row] = amounts
        self._usable[row] = usable
        self._changed = True

    def set_used(self, name: NodeName, parts: Sequence[Resources]) -> None:
        """What is used on a node, in parts."""
        self._used[self._row_of[name]] = self._amounts(parts)
        self._changed = True

    def columns(self) -> Columns:
        """The tables as they are now, read-only."""
        if self._changed:
            self._changed = False
            before = self._handed_out
            self._handed_out = Columns(
                names=self._names,
                row_of=self._row_of,
                resources=self._resources,
                allocatable=_frozen(self._allocatable, before.allocatable),
                used=_frozen(self._used, before.used),
                usable=_frozen(self._usable, before.usable),
            )
        return self._handed_out

    def _amounts(self, parts: Sequence[Resources]) -> list[int]:
        total = [0] * len(self._resources)
        column_of = self._column_of
        for part in parts:
            total[0] += part.milli_cpu
            total[1] += part.memory_bytes
            total[2] += part.ephemeral_bytes
            total[3] += part.pods
            for name, count in part.extended:
                column = column_of.get(name)
                if column is not None:
                    total[column] += count
        return [min(n, LIMIT) for n in total]


def _moved(table: npt.NDArray[Cell], fresh: npt.NDArray[Cell], pairs: npt.NDArray[np.intp]) -> npt.NDArray[Cell]:
    """`fresh` with rows of `table`; `pairs` holds the new row and the old one."""
    if len(pairs):
        fresh[pairs[:, 0]] = table[pairs[:, 1]]
    return fresh


def _frozen(table: npt.NDArray[Cell], before: npt.NDArray[Cell]) -> npt.NDArray[Cell]:
    if table.shape == before.shape and np.array_equal(table, before):
        return before
    copy = table.copy()
    copy.flags.writeable = False
    return copy
