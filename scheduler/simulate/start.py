"""How a scenario stands before anything is planned."""

from scheduler.model.snapshot import Snapshot
from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.world import World
from scheduler.state.cluster import ClusterState


def at_start(doc: ScenarioDoc) -> tuple[Snapshot, int]:
    """The scenario's cluster, and its now in seconds since 1970."""
    world, state = World(doc), ClusterState()
    for event in world.seen_at_start():
        state.apply(event)
    return state.snapshot(), world.now_s
