"""Topology objects, and the levels that hold."""

from collections.abc import Iterator

from scheduler.model.node import TopologyLevel
from scheduler.scoring.found_levels import found_levels
from scheduler.state.events import TopologyGone, TopologySeen
from scheduler.state.nodes import NodeViews


class TopologyBook:
    """The levels that people named, or else those that the labels of nodes tell of."""

    def __init__(self) -> None:
        """Nobody named any."""
        self._topologies: dict[str, tuple[TopologyLevel, ...]] = {}
        self._found: tuple[int, tuple[TopologyLevel, ...]] = (0, ())

    def take(self, event: TopologySeen | TopologyGone) -> bool:
        """An object as it is now, or is no more; whether that is news."""
        if isinstance(event, TopologyGone):
            return self._topologies.pop(event.name, None) is not None
        changed = self._topologies.get(event.name) != event.levels
        self._topologies[event.name] = event.levels
        return changed

    @property
    def named(self) -> bool:
        """Whether people named any levels."""
        return bool(self._topologies)

    def levels(self, views: NodeViews) -> tuple[TopologyLevel, ...]:
        """Those of the first object by name, or those found."""
        if self._topologies:
            return self._topologies[min(self._topologies)]
        if self._found[0] != views.static_generation:
            self._found = (views.static_generation, found_levels(views.nodes.values()))
        return self._found[1]

    def facts(self) -> Iterator[TopologySeen]:
        """All objects."""
        for name, levels in self._topologies.items():
            yield TopologySeen(name=name, levels=levels)
