"""ResourceSlices: which GPUs of which node pods can claim."""

from collections.abc import Iterator, Mapping

from scheduler.model.claims import DeviceName, Offered
from scheduler.model.names import NodeName
from scheduler.model.resources import GPU
from scheduler.state.claims import Pool
from scheduler.state.events import DeviceClassGone, DeviceClassSeen, SliceSeen
from scheduler.state.kinds import Kinds, alike

Offer = tuple[tuple[DeviceName, Offered], ...]
"""The GPUs of a node by name."""


class OfferBook:
    """Slices by pool, and classes. A pool that is not complete in its newest generation offers nothing (KEP-4381)."""

    def __init__(self) -> None:
        """No slices."""
        self._slices: dict[str, SliceSeen] = {}
        self._pools: dict[Pool, dict[str, SliceSeen]] = {}
        self._of_node: dict[NodeName, set[Pool]] = {}
        self._node_of: dict[Pool, NodeName] = {}
        self._classes: dict[str, DeviceClassSeen] = {}
        self.kinds = Kinds()

    def take_class(self, event: DeviceClassSeen | DeviceClassGone) -> set[NodeName] | None:
        """A DeviceClass as it is now, or is no more: the nodes for which that matters, None where it is no news."""
        old, before = self._classes.get(event.uid), self.served
        if isinstance(event, DeviceClassSeen):
            self._classes[event.uid] = event
        else:
            self._classes.pop(event.uid, None)
        if old == self._classes.get(event.uid):
            return None
        return set(self._of_node) if before != self.served else set()

    @property
    def served(self) -> bool:
        """Whether kube-scheduler gives out devices to pods that ask for whole GPUs as an extended resource."""
        return any(each.resource == GPU for each in self._classes.values())

    def see(self, seen: SliceSeen) -> set[NodeName] | None:
        """A slice as it is now: the nodes whose offers may be others now, None where it is no news."""
        old = self._slices.get(seen.uid)
        if old == seen:
            return None
        touched = self._drop(seen.uid)
        self._slices[seen.uid] = seen
        pool = (seen.driver, seen.pool)
        self._pools.setdefault(pool, {})[seen.uid] = seen
        return touched | self._renew(pool)

    def forget(self, uid: str) -> set[NodeName] | None:
        """A slice is gone: the nodes whose offers may be others now, None where it was not known."""
        return self._drop(uid) if uid in self._slices else None

    @property
    def node_of(self) -> Mapping[Pool, NodeName]:
        """Where the devices of each complete pool are."""
        return self._node_of

    def pools_of(self, node: NodeName) -> set[Pool]:
        """The complete pools of a node."""
        return self._of_node.get(node, set())

    def of(self, node: NodeName) -> Offer:
        """The GPUs of a node that pods can claim, by name."""
        return tuple(
            (DeviceName(driver=pool[0], pool=pool[1], device=device.name), device)
            for pool in sorted(self.pools_of(node))
            for device in sorted((d for s in self._newest(pool) for d in s.devices), key=lambda d: d.name)
        )

    def in_pool(self, pool: Pool) -> Iterator[Offered]:
        """The GPUs and slices that a pool offers."""
        return (device for seen in self._newest(pool) for device in seen.devices)

    def unclear(self) -> list[str]:
        """Of pools that offer nothing, why that is, one sentence each; drivers that have no GPUs are left out."""
        found: list[str] = []
        drivers = {each.driver for each in self._slices.values() if each.devices}
        for pool in sorted(pool for pool in self._pools.keys() - self._node_of.keys() if pool[0] in drivers):
            slices = self._pools[pool].values()
            newest = max(s.generation for s in slices)
            there = [s for s in slices if s.generation == newest]
            what = f"pool {pool[1]} of driver {pool[0]} in generation {newest}"
            nodes = {s.node for s in there}
            if any(s.slices != len(there) for s in there):
                wanted = max(s.slices for s in there)
                found.append(f"{what} has {len(there)} of {wanted} ResourceSlices; its devices are not given out")
            elif len(nodes) > 1:
                found.append(f"{what} has devices of {len(nodes)} nodes; only pools of one node are given out")
        for node in sorted(self._of_node):
            offer = self.of(node)
            shared = [name.device for name, gpu in offer if gpu.shared]
            if shared and not alike(offer):
                found.append(
                    f"{node} has GPUs that claims share, as {shared[0]}, but not all of its GPUs are shared in the "
                    "same capacities; these are not given out"
                )
        return found

    def facts(self) -> Iterator[SliceSeen | DeviceClassSeen]:
        """All slices and classes."""
        yield from self._slices.values()
        yield from self._classes.values()

    def _drop(self, uid: str) -> set[NodeName]:
        old = self._slices.pop(uid, None)
        if old is None:
            return set()
        pool = (old.driver, old.pool)
        del self._pools[pool][uid]
        if not self._pools[pool]:
            del self._pools[pool]
        return self._renew(pool)

    def _newest(self, pool: Pool) -> list[SliceSeen]:
        """The slices of a pool that count: none where it is not complete."""
        there = self._pools.get(pool, {}).values()
        newest = max((s.generation for s in there), default=0)
        found = [s for s in there if s.generation == newest]
        return found if all(s.slices == len(found) for s in found) else []

    def _renew(self, pool: Pool) -> set[NodeName]:
        """Note where a pool is; the nodes where it was, and is now."""
        before = self._node_of.pop(pool, None)
        touched: set[NodeName] = set()
        if before is not None:
            touched.add(before)
            self._of_node[before].discard(pool)
            if not self._of_node[before]:
                del self._of_node[before]
        # Devices of several nodes in one pool are not local to any.
        newest = self._newest(pool)
        nodes = {s.node for s in newest}
        node = nodes.pop() if len(nodes) == 1 else None
        self.kinds.put(pool, (d for s in newest for d in s.devices) if node is not None else ())
        if node is not None:
            self._node_of[pool] = node
            self._of_node.setdefault(node, set()).add(pool)
            touched.add(node)
        return touched
