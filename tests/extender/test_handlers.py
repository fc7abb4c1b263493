import json
import logging

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.extender import handlers, verbs
from scheduler.extender.guard import BindRequest, Ruling
from scheduler.extender.handlers import Handlers
from scheduler.model.names import NodeName, PodUid
from scheduler.telemetry import Telemetry
from tests.extender.fakes import UNTOUCHED, WAITING, FakeGuard, args, bind_args, offered, planned, pod

TELEMETRY = Telemetry()


def serve(guard: FakeGuard) -> Handlers:
    return Handlers(guard, TELEMETRY)


def test_filter_answers_on_the_wire_as_go_reads_it() -> None:
    answer = json.loads(serve(FakeGuard({"u1": planned("n2")})).filter(args(["n1", "n2"])))
    assert answer == {"NodeNames": ["n2"], "FailedNodes": {}, "FailedAndUnresolvableNodes": {}, "Error": ""}


def test_an_empty_answer_is_a_list_and_not_null() -> None:
    answer = json.loads(serve(FakeGuard({"u1": WAITING})).filter(args(["n1"])))
    assert answer["NodeNames"] == []
    assert answer["FailedAndUnresolvableNodes"] == {"n1": verbs.WAITS}


def test_prioritize_answers_a_bare_list() -> None:
    answer = serve(FakeGuard({"u1": offered(n1=3)})).prioritize(args(["n1", "n2"]))
    assert json.loads(answer) == [{"Host": "n1", "Score": 3}]


def test_an_unknown_pod_is_judged_by_its_json() -> None:
    guard = FakeGuard(otherwise=WAITING)
    serve(guard).filter(args(["n1"], uid="new"))
    assert [json.loads(j) for j in guard.judged] == [pod("new")]


def test_a_known_pod_is_not_judged_again() -> None:
    guard = FakeGuard({"u1": UNTOUCHED})
    serve(guard).filter(args(["n1"]))
    assert guard.judged == []


def test_a_refused_plan_is_reported_with_pod_and_node() -> None:
    guard = FakeGuard({"u1": planned("n9")})
    serve(guard).filter(args(["n1", "n2"]))
    assert guard.refusals == [("u1", "n9")]


def test_an_old_nomination_is_not_reported_as_a_refusal() -> None:
    guard = FakeGuard({"u1": planned("n9")})
    answer = json.loads(serve(guard).filter(args(["n1"], nominated="n1")))
    assert answer["NodeNames"] == []
    assert guard.refusals == []


def test_nodes_instead_of_names_are_answered_with_what_to_set() -> None:
    body = json.dumps({"Pod": pod(), "Nodes": {"items": [{"metadata": {"name": "n1"}}]}, "NodeNames": None}).encode()
    assert "nodeCacheCapable: true" in json.loads(serve(FakeGuard()).filter(body))["Error"]
    assert serve(FakeGuard({"u1": planned("n1")})).prioritize(body) == b"[]"


def test_preempt_echoes_the_victims_of_pods_that_are_not_ours() -> None:
    victims = {"n1": {"Pods": [{"UID": "v1"}], "NumPDBViolations": 2}}
    body = json.dumps(
        {"Pod": pod(), "NodeNameToVictims": None, "NodeNameToMetaVictims": victims | {"n2": None}}
    ).encode()
    assert json.loads(serve(FakeGuard()).preempt(body)) == {"NodeNameToMetaVictims": victims}
    assert json.loads(serve(FakeGuard({"u1": WAITING})).preempt(body)) == {"NodeNameToMetaVictims": {}}


async def test_bind_passes_the_pod_on_and_says_bound() -> None:
    guard = FakeGuard()
    assert json.loads(await serve(guard).bind(bind_args("u7", "n3"))) == {"Error": ""}
    assert guard.asked == [BindRequest(pod=PodUid("u7"), namespace="team", name="pod-u7", node=NodeName("n3"))]


@pytest.mark.parametrize("why", ["the gang lost a member", ""])
async def test_a_bind_that_did_not_happen_is_never_answered_as_success(why: str) -> None:
    guard = FakeGuard()
    guard.why_not = why
    error = json.loads(await serve(guard).bind(bind_args()))["Error"]
    assert error == (why or "not bound")


async def test_a_guard_that_fails_is_logged_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    guard = FakeGuard()
    guard.error = RuntimeError("table lost")
    server = serve(guard)
    with caplog.at_level(logging.ERROR):
        assert json.loads(server.filter(args(["n1"])))["Error"] == handlers.INTERNAL
        assert server.prioritize(args(["n1"])) == b"[]"
        assert json.loads(server.preempt(args(["n1"]))) == {"NodeNameToMetaVictims": {}}
        assert json.loads(await server.bind(bind_args()))["Error"] == handlers.INTERNAL
    assert caplog.text.count("table lost") == 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["Pod", "Nodes", "NodeNames", "NodeNameToMetaVictims", "PodName", "PodNamespace", "PodUID", "Node"]
almost_right = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(KEYS, JSON)
    | {
        "Pod": JSON | st.fixed_dictionaries({}, optional={"metadata": JSON | st.just({"uid": "u1"}), "status": JSON}),
        "NodeNames": JSON | st.lists(st.sampled_from(["n1", "n2"]), max_size=3),
        "NodeNameToMetaVictims": JSON | st.dictionaries(st.text(max_size=3), JSON, max_size=3),
    },
).map(lambda value: json.dumps(value).encode())
whole = st.sampled_from([args(["n1", "n2"]), bind_args()])
cut = st.tuples(whole, st.integers(0, 400)).map(lambda pair: pair[0][: pair[1]])
bodies = st.binary(max_size=64) | almost_right | cut


@given(bodies, st.sampled_from([planned("n1"), offered(n2=1), WAITING, UNTOUCHED]))
async def test_every_body_gets_an_answer_go_can_read(body: bytes, ruling: Ruling) -> None:
    server = serve(FakeGuard({"u1": ruling}))
    filtered = json.loads(server.filter(body))
    assert isinstance(filtered["NodeNames"], list)
    assert set(filtered) == {"NodeNames", "FailedNodes", "FailedAndUnresolvableNodes", "Error"}
    assert isinstance(json.loads(server.prioritize(body)), list)
    preempted = json.loads(server.preempt(body))["NodeNameToMetaVictims"]
    assert all(entry and entry["Pods"] for entry in preempted.values())
    assert isinstance(json.loads(await server.bind(body))["Error"], str)
    named = set(filtered["NodeNames"]) | set(filtered["FailedAndUnresolvableNodes"])
    if named:
        assert named <= set(msgspec.json.decode(body)["NodeNames"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"Pod":',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"Pod":' * 50_000,
        b'{"Pod":[],"NodeNames":["n1"]}',
    ],
    ids=lambda b: repr(b[:20]),
)
async def test_nonsense_is_answered_with_an_error(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(FakeGuard())
    assert json.loads(server.filter(body))["Error"]
    assert json.loads(await server.bind(body))["Error"]
    assert server.prioritize(body) == b"[]"
    assert json.loads(server.preempt(body)) == {"NodeNameToMetaVictims": {}}
    assert "Traceback" not in caplog.text
