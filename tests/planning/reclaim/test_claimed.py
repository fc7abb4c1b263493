"""Work makes way for pods that claim devices, and these get the very devices that become free."""

from msgspec.structs import replace

from scheduler.model.names import NodeName, QueueName
from scheduler.model.plan import Reclaim
from scheduler.model.queue import Queue, Quota
from scheduler.model.workload import GangClaim
from scheduler.planning.cycle import plan
from scheduler.scoring.rules.check import broken_rules
from tests.planning.reclaim.cases import SETTINGS
from tests.state.build import (
    Thing,
    claim,
    claiming,
    gpu_name,
    node,
    offer,
    state_of,
)

OWNER = Queue(name=QueueName("owner"), total=Quota(nominal_milli_gpu=16_000, borrowing_limit_milli_gpu=0))
GUEST = Queue(name=QueueName("guest"), total=Quota(nominal_milli_gpu=0))


def reclaimed(*things: Thing) -> dict[str, tuple[int, ...]]:
    """The GPUs of each pod for which work makes way."""
    snapshot = state_of(OWNER, GUEST, *things).snapshot()
    made = plan(snapshot, now_s=100, settings=SETTINGS)
    assert broken_rules(snapshot, made) == []
    return {
        a.pod: a.devices
        for decision in made.decisions
        if isinstance(decision, Reclaim)
        for a in decision.placement.assignments
    }


def test_a_gang_gets_the_gpus_of_those_that_borrow() -> None:
    things: list[Thing] = []
    for i, name in enumerate(("n0", "n1")):
        mine = tuple(gpu_name(name, gpu) for gpu in range(8))
        things += [node(name, gpus=0), offer(name)]
        guest, owner = (
            claiming(f"{who}{i}", f"{who}{i}", queue=QueueName(who), gang=GangClaim(name=who, size=2))
            for who in ("guest", "owner")
        )
        things += [replace(guest, node=NodeName(name), bound_s=10), owner]
        things += [claim(f"guest{i}", *mine, gpus=8), claim(f"owner{i}", gpus=8)]
    assert reclaimed(*things) == {f"owner{i}": tuple(range(8)) for i in range(2)}
