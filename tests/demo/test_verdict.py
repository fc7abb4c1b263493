import msgspec
import pytest

from scheduler.demo.story import Promise, WorkName
from scheduler.demo.track import Trace
from scheduler.demo.verdict import broken, settled
from tests.demo.cases import FABRIC, story, work

FIRST, SECOND = WorkName("team/first"), WorkName("team/second")
STORY = story(
    work(Promise(name=FIRST, what="", ends="completed", nodes=2, racks=1)),
    work(Promise(name=SECOND, what="", ends="completed", waits=["QuotaExhausted"], starts_after=FIRST)),
)
GOOD = {
    FIRST: Trace(submitted_s=0, first_placed_s=1, started_s=1, completed_s=9, nodes=("a-0", "a-1"), state="completed"),
    SECOND: Trace(
        submitted_s=2,
        first_placed_s=9,
        started_s=9.5,
        completed_s=12,
        nodes=("a-0", "a-1"),
        reasons=(("QuotaExhausted", "m"),),
        state="completed",
    ),
}


def test_all_kept() -> None:
    assert settled(STORY, GOOD)
    assert broken(STORY, GOOD, FABRIC) == []


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        (FIRST, {"state": "running"}, "team/first should be completed in the end, but is running"),
        (
            SECOND,
            {"state": "waiting"},
            "team/second should be completed in the end, but is waiting (QuotaExhausted: m)",
        ),
        (SECOND, {"reasons": ()}, "team/second should wait for QuotaExhausted, but no reason was given"),
        (
            SECOND,
            {"reasons": (("Fragmented", "m"),)},
            "team/second should wait for QuotaExhausted, but Fragmented was given",
        ),
        (SECOND, {"first_placed_s": 8.9}, "team/second got a node before team/first had ended"),
        (SECOND, {"started_s": 11.5}, "the gang team/second took 2.5 s from its first pod to its last"),
        (FIRST, {"nodes": ("a-0",)}, "team/first should stand on 2 nodes, but stood on a-0"),
        (FIRST, {"nodes": ("a-0", "b-0")}, "team/first should stand in 1 rack, but stood in rack-a, rack-b"),
    ],
)
def test_a_promise_that_was_not_kept_is_named(name: WorkName, change: dict[str, object], sentence: str) -> None:
    traces = {**GOOD, name: msgspec.structs.replace(GOOD[name], **change)}
    assert broken(STORY, traces, FABRIC) == [sentence]


def test_one_that_is_to_make_way_has_to_come_back() -> None:
    told = story(work(Promise(name=FIRST, what="", ends="running", makes_way_for=SECOND)))
    stays = Trace(first_placed_s=1, started_s=1, state="running")
    assert not settled(told, {FIRST: stays})
    assert broken(told, {FIRST: stays}, FABRIC) == [
        "team/first should make way for team/second, but never left its nodes"
    ]
    left = msgspec.structs.replace(stays, lost_s=3.0, state="waiting")
    assert not settled(told, {FIRST: left})
    assert broken(told, {FIRST: left}, FABRIC) == ["team/first should be running in the end, but is waiting"]
    back = msgspec.structs.replace(left, state="running")
    assert settled(told, {FIRST: back})
    assert broken(told, {FIRST: back}, FABRIC) == []


def test_one_whose_node_fails_has_to_come_back_elsewhere() -> None:
    told = story(work(Promise(name=FIRST, what="", ends="running", breaks="lost:2")))
    stays = Trace(first_placed_s=1, started_s=1, state="running", nodes=("a-0", "a-1"), latest_nodes=("a-0", "a-1"))
    assert not settled(told, {FIRST: stays})
    assert broken(told, {FIRST: stays}, FABRIC) == [
        "team/first should leave the node that fails (lost:2), but never did"
    ]
    again = msgspec.structs.replace(stays, lost_s=3.0)
    assert broken(told, {FIRST: again}, FABRIC) == [
        "team/first should stay away from a-0, which failed, but came back to it"
    ]
    assert broken(told, {FIRST: msgspec.structs.replace(again, latest_nodes=("a-1", "b-0"))}, FABRIC) == []


def test_one_that_is_to_wait_for_good_has_to_say_why() -> None:
    told = story(work(Promise(name=FIRST, what="", ends="waiting", waits=["QuotaExhausted"])))
    waits = Trace(state="waiting")
    assert not settled(told, {FIRST: waits})
    said = msgspec.structs.replace(waits, reasons=(("QuotaExhausted", "m"),))
    assert settled(told, {FIRST: said})
    assert broken(told, {FIRST: said}, FABRIC) == []
