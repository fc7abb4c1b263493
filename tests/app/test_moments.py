"""When protection from reclaim ends."""

from scheduler.app.moments import protection_ends_s
from scheduler.model.names import QueueName
from scheduler.model.queue import Queue
from tests.state.build import N1, node, pod, state_of

TEAM, ORG = QueueName("team"), QueueName("org")


def test_it_is_the_first_that_is_still_to_come_of_any_queue_on_the_way_up() -> None:
    org, team = Queue(name=ORG, min_runtime_s=100), Queue(name=TEAM, parent=ORG, min_runtime_s=10)
    early = pod("early", queue=TEAM, node=N1, bound_s=1000)
    late = pod("late", queue=TEAM, node=N1, bound_s=1050)
    waits = pod("waits", queue=TEAM, created_s=1)
    snapshot = state_of(node(), org, team, early, late, waits).snapshot()
    found = [protection_ends_s(snapshot, now_s) for now_s in (0, 1010, 1060, 1100, 1150)]
    assert found == [1010, 1060, 1100, 1150, None]


def test_nothing_is_protected_where_no_queue_says_so() -> None:
    snapshot = state_of(node(), Queue(name=TEAM), pod("p", queue=TEAM, node=N1, bound_s=9)).snapshot()
    assert protection_ends_s(snapshot, 0) is None
