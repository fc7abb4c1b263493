"""Nodes that refused a planned pod, for as long as that is to be remembered."""

from collections.abc import Iterable, Iterator

from scheduler.model.names import NodeName, WorkloadKey
from scheduler.state.events import NodeRefused


class RefusalBook:
    """Refusals by workload and node. The methods that forget return the workloads that this changes."""

    def __init__(self) -> None:
        """No refusal."""
        self._until_s: dict[WorkloadKey, dict[NodeName, int]] = {}
        self._by_node: dict[NodeName, set[WorkloadKey]] = {}

    def remember(self, refused: NodeRefused) -> None:
        """The node is avoided for the workload from now on; of two refusals the one that ends later counts."""
        nodes = self._until_s.setdefault(refused.workload, {})
        nodes[refused.node] = max(refused.until_s, nodes.get(refused.node, refused.until_s))
        self._by_node.setdefault(refused.node, set()).add(refused.workload)

    def avoid(self, workload: WorkloadKey) -> frozenset[NodeName]:
        """The nodes that are avoided for the workload."""
        nodes = self._until_s.get(workload)
        return frozenset(nodes) if nodes else frozenset()

    def node_changed(self, node: NodeName) -> Iterable[WorkloadKey]:
        """The node may take now what it refused before."""
        workloads = self._by_node.pop(node, None)
        if workloads is None:
            return ()
        for workload in workloads:
            self._drop(workload, node)
        return workloads

    def workload_gone(self, workload: WorkloadKey) -> None:
        """Nobody is left to avoid anything."""
        for node in self._until_s.pop(workload, ()):
            self._unlink(node, workload)

    def ended(self, now_s: int) -> Iterable[WorkloadKey]:
        """Time passed."""
        over = [(w, n) for w, nodes in self._until_s.items() for n, until_s in nodes.items() if until_s <= now_s]
        for workload, node in over:
            self._drop(workload, node)
            self._unlink(node, workload)
        return {w for w, _ in over}

    def facts(self) -> Iterator[NodeRefused]:
        """What is remembered, as events that would bring it about."""
        for workload, nodes in self._until_s.items():
            for node, until_s in nodes.items():
                yield NodeRefused(workload=workload, node=node, until_s=until_s)

    def _drop(self, workload: WorkloadKey, node: NodeName) -> None:
        nodes = self._until_s[workload]
        del nodes[node]
        if not nodes:
            del self._until_s[workload]

    def _unlink(self, node: NodeName, workload: WorkloadKey) -> None:
        workloads = self._by_node[node]
        workloads.discard(workload)
        if not workloads:
            del self._by_node[node]
