"""What of the nodes changes rarely, as columns: labels, hard taints, products. One row a node, as in the snapshot."""

from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple, TypeVar, cast

import msgspec
import numpy as np
import numpy.typing as npt

from scheduler.model.alignment import ANYHOW, Alignment
from scheduler.model.claims import Capacity
from scheduler.model.links import LinkGraph
from scheduler.model.names import NodeName
from scheduler.model.node import CLIQUE_LABEL, Allocator, Device, Node, Taint
from scheduler.model.snapshot import Snapshot

Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Value = TypeVar("Value")

REMEMBERED = 1024
"""Masks and tables kept for one fleet; all are dropped when there are more. Only speed depends on it."""


class Column(msgspec.Struct, frozen=True):
    """A value of every node: `values[codes[row]]`, and code -1 where the node has none. `values` are sorted."""

    codes: Codes
    values: tuple[str, ...]

    def index_of(self, value: str) -> int | None:
        """The code of `value`; None where no node has it."""
        low, high = 0, len(self.values)
        while low < high:
            middle = (low + high) // 2
            if self.values[middle] < value:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self.values) and self.values[low] == value else None


class Wiring(NamedTuple):
    """How the GPUs of a node are connected, who chooses among them, and how the kubelet gathers them."""

    graph: LinkGraph
    allocator: Allocator
    alignment: Alignment


class Fleet:
    """Labels, taints and products of a snapshot's nodes as columns, made when first asked for and then remembered.

    A fleet is the same for all snapshots with equal `static_generation`; nothing that it tells depends on use.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.generation = snapshot.static_generation
        self.names = snapshot.columns.names
        self.row_of = snapshot.columns.row_of
        self._nodes: tuple[Node, ...] = tuple(snapshot.nodes[name] for name in self.names)
        self._labels: dict[str, Column] = {}
        self._products: Column | None = None
        self._taints: tuple[Codes, tuple[tuple[Taint, ...], ...]] | None = None
        self._remembered: dict[Hashable, object] = {}
        self.usable_devices: dict[int, tuple[tuple[Device, ...], int]] = {}
        """Per row the devices of a report and the set of those among them that may be planned on."""

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self.names)

    def is_of(self, snapshot: Snapshot) -> bool:
        """Whether this fleet is that of `snapshot`."""
        same = self.names is snapshot.columns.names or self.names == snapshot.columns.names
        return self.generation == snapshot.static_generation and same

    def label(self, key: str) -> Column:
        """The values of the label `key`."""
        column = self._labels.get(key)
        if column is None:
            column = _column(node.labels.get(key) for node in self._nodes)
            self._labels[key] = column
        return column

    def place(self, key: str) -> Column:
        """Where nodes stand at the topology level of the label `key`: its values, or what reports say instead."""
        if key != CLIQUE_LABEL or not any(node.clique for node in self._nodes):
            return self.label(key)
        return self.remember(("places", key), lambda: _column(node.place(key) or None for node in self._nodes))

    @property
    def products(self) -> Column:
        """The GPU products; nodes without GPUs have none."""
        if self._products is None:
            self._products = _column(node.product or None for node in self._nodes)
        return self._products

    @property
    def links(self) -> tuple[Codes, tuple["Wiring", ...]]:
        """A code per node, -1 where its links are not known; and what each code means."""

        def make() -> tuple[Codes, tuple[Wiring, ...]]:
            known: dict[tuple[int, Allocator, Alignment], int] = {}
            kinds: dict[Wiring, int] = {}
            codes = np.full(len(self._nodes), -1, dtype=np.int64)
            for row, node in enumerate(self._nodes):
                if node.links is not None:
                    by_plugin = node.allocator is Allocator.DEVICE_PLUGIN and node.replicas == 1
                    alignment = node.alignment if by_plugin else ANYHOW
                    # Equal nodes mostly share one record, and its identity is found faster than its value.
                    key = (id(node.links), node.allocator, alignment)
                    if key not in known:
                        wiring = Wiring(node.links, node.allocator, alignment)
                        known[key] = kinds.setdefault(wiring, len(kinds))
                    codes[row] = known[key]
            return codes, tuple(kinds)

        return self.remember("links", make)

    @property
    def replicas(self) -> Codes:
        """Into how many parts the plugin of each node divides its GPUs; 1 where it does not."""

        def make() -> Codes:
            return np.array([node.replicas for node in self._nodes], dtype=np.int64)

        return self.remember("replicas", make)

    @property
    def claimable(self) -> Mask:
        """The nodes whose devices pods can claim."""
        return self._which("claimable", lambda node: node.claimable)

    @property
    def claims_only(self) -> Mask:
        """The nodes whose GPUs only pods get that claim them."""
        return self._which("claims only", lambda node: node.claims_only)

    @property
    def gpu_memory_mib(self) -> Codes:
        """What each GPU of a node has at least, of those that pods can claim."""

        def make() -> Codes:
            named = [[d.memory_mib for d in node.devices if d.claimed_as is not None] for node in self._nodes]
            return np.array([min(some, default=0) for some in named], dtype=np.int64)

        return self.remember("GPU memory", make)

    @property
    def capacities(self) -> tuple[Codes, tuple[tuple[Capacity, ...], ...]]:
        """A code per node, and for each code what claims share of each GPU; empty where they share none."""

        def make() -> tuple[Codes, tuple[tuple[Capacity, ...], ...]]:
            known: dict[tuple[Capacity, ...], int] = {}
            codes = [known.setdefault(node.capacities, len(known)) for node in self._nodes]
            return np.array(codes, dtype=np.int64), tuple(known)

        return self.remember("capacities", make)

    def _which(self, key: str, holds: Callable[[Node], bool]) -> Mask:
        def make() -> Mask:
            mask = np.array([holds(node) for node in self._nodes], dtype=np.bool_)
            mask.setflags(write=False)
            return mask

        return self.remember(key, make)

    @property
    def hard_taints(self) -> tuple[Codes, tuple[tuple[Taint, ...], ...]]:
        """A code per node, and for each code the taints that keep pods off (`NoSchedule`, `NoExecute`)."""
        if self._taints is None:
            known: dict[tuple[Taint, ...], int] = {}
            codes = np.empty(len(self._nodes), dtype=np.int64)
            for row, node in enumerate(self._nodes):
                hard = tuple(t for t in node.taints if t.effect != "PreferNoSchedule") if node.taints else ()
                codes[row] = known.setdefault(hard, len(known))
            self._taints = (codes, tuple(known))
        return self._taints

    def rows(self, names: Iterable[NodeName]) -> list[int]:
        """The rows of those `names` that are in the fleet, ascending."""
        return sorted(self.row_of[name] for name in names if name in self.row_of)

    def remember(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """`make()`, or what it gave when it was first asked for under `key`."""
        found = self._remembered.get(key)
        if found is None:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            found = make()
            self._remembered[key] = found
        # A key is used for one kind of value only.
        return cast("Value", found)


def _column(values: Iterable[str | None]) -> Column:
    listed = list(values)
    distinct = tuple(sorted({value for value in listed if value is not None}))
    code_of = {value: code for code, value in enumerate(distinct)}
    codes = np.fromiter((-1 if v is None else code_of[v] for v in listed), dtype=np.int64, count=len(listed))
    codes.setflags(write=False)
    return Column(codes, distinct)
