from scheduler.demo.sight import Sight
from scheduler.demo.story import WorkName
from scheduler.demo.track import Tracker
from tests.demo.cases import story, work

NAME = WorkName("team/train")


def test_the_course_of_a_workload() -> None:
    tracker = Tracker(story(work()))
    tracker.submitted(NAME, 1.0)
    looks = [
        Sight(state="waiting"),
        Sight(state="waiting", reason="QuotaExhausted", message="first words"),
        Sight(state="waiting", reason="QuotaExhausted", message="other words"),
        Sight(state="waiting", reason="Fragmented", message="m"),
        Sight(state="starting", placed=1, nodes=("a-0",)),
        Sight(state="running", placed=2, nodes=("a-0", "a-1")),
        Sight(state="completed", placed=1, nodes=("a-0",)),
    ]
    changes = [len(tracker.saw({NAME: seen}, 2.0 + at)) for at, seen in enumerate(looks)]
    assert changes == [1] * 7
    trace = tracker.traces[NAME]
    assert (trace.first_placed_s, trace.started_s, trace.completed_s) == (6.0, 7.0, 8.0)
    assert (trace.wait_s, trace.spread_s) == (6.0, 1.0)
    assert trace.nodes == ("a-0", "a-1")
    assert trace.reasons == (("QuotaExhausted", "first words"), ("Fragmented", "m"))


def test_who_had_to_leave_is_known_from_then_on() -> None:
    tracker = Tracker(story(work()))
    looks = [
        Sight(state="running", placed=2, nodes=("a-0", "a-1")),
        Sight(state="starting", placed=1, nodes=("a-0",)),
        Sight(state="waiting"),
        Sight(state="running", placed=2, nodes=("a-0", "b-0")),
    ]
    changes = [tracker.saw({NAME: seen}, 1.0 + at)[0] for at, seen in enumerate(looks)]
    assert [change.evicted for change in changes] == [False, True, True, True]
    trace = tracker.traces[NAME]
    assert (trace.started_s, trace.lost_s, trace.state, trace.nodes) == (1.0, 2.0, "running", ("a-0", "a-1"))


def test_who_stands_elsewhere_at_the_next_look_had_to_leave() -> None:
    tracker = Tracker(story(work()))
    for at, nodes in enumerate((("a-0", "a-1"), ("a-0",), ("a-0", "a-1"))):
        tracker.saw({NAME: Sight(state="running", placed=len(nodes), nodes=nodes)}, 1.0 + at)
    assert tracker.traces[NAME].lost_s == 3.0
    assert tracker.traces[NAME].latest_nodes == ("a-0", "a-1")


def test_what_ends_has_not_had_to_leave() -> None:
    tracker = Tracker(story(work()))
    for seen in (Sight(state="running", placed=2), Sight(state="completed", placed=1), Sight(state="expected")):
        tracker.saw({NAME: seen}, 1.0)
    assert tracker.traces[NAME].lost_s is None


def test_what_looks_the_same_is_no_change() -> None:
    tracker = Tracker(story(work()))
    assert len(tracker.saw({NAME: Sight(state="waiting")}, 1.0)) == 1
    assert tracker.saw({NAME: Sight(state="waiting")}, 2.0) == []
    assert tracker.traces[NAME].wait_s is None


def test_one_that_was_never_seen_running_has_its_times_too() -> None:
    tracker = Tracker(story(work()))
    tracker.saw({NAME: Sight(state="completed", placed=2, nodes=("a-0", "a-1"))}, 3.0)
    trace = tracker.traces[NAME]
    assert (trace.first_placed_s, trace.started_s, trace.completed_s) == (3.0, 3.0, 3.0)
