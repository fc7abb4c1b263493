"""Asking a service: over a real gRPC connection to one that gives prepared answers."""

# The stubs of grpc leave the types of handlers open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Callable, Iterator

import grpc
import pytest

from scheduler.cli.explained import Explanation, NotFound, Start, people_text
from scheduler.cli.output import BadInputError, CommandError
from scheduler.cli.remote import METHOD, ask
from scheduler.rpc import bayplan_pb2 as pb
from tests.cli.prepared import prepared

Answer = pb.ExplainResponse | tuple[grpc.StatusCode, str]
Serve = Callable[[Callable[[pb.ExplainRequest], Answer]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server whose Explain is the given function, and says where it is."""
    with prepared(METHOD, pb.ExplainRequest, pb.ExplainResponse) as start:
        yield start


def test_a_gang_that_waits(serve: Serve) -> None:
    wait = pb.Wait(
        reason="QuotaExhausted",
        message="the queue's quota is used up",
        detail="needs 16, 8 are left",
        unblock="Wait.",
        blocking=[
            pb.Blocker(kind="quota", subject="a", needed=16000, available=8000, unit="milli-GPU"),
            pb.Blocker(kind="weather", subject="rain"),
        ],
        reservation=pb.Reservation(
            made_s=100, start_s=7300, latest_s=7300, sure=True, nodes=["n1"], after=["vision/old"]
        ),
    )
    response = pb.ExplainResponse(
        text=[
            "vision/train waits: the queue's quota is used up.",
            "label x ('y') is not honoured: z",
            "Note: the filter f is left out.",
        ],
        queue="a",
        decision=pb.Decision(workload="vision/train", is_gang=True, wait=wait),
    )
    seen: list[str] = []

    def explain(request: pb.ExplainRequest) -> Answer:
        seen.append(request.gang)
        return response

    found = ask(serve(explain), "vision", "train")
    assert seen == ["vision/train"]
    assert isinstance(found, list)
    assert isinstance(found[0], Explanation)
    assert (found[0].kind, found[0].name, found[0].state, found[0].reason) == (
        "gang",
        "vision/train",
        "waiting",
        "QuotaExhausted",
    )
    assert found[0].blocking == ("quota of queue a: needs 16 GPUs, has 8 GPUs", "weather rain")
    assert people_text(found[0]).splitlines() == [
        "vision/train waits: the queue's quota is used up (quota of queue a: needs 16 GPUs, has 8 GPUs; weather rain).",
        "label x ('y') is not honoured: z",
        "Note: the filter f is left out.",
        "now:      needs 16, 8 are left",
        "it helps: Wait.",
        "starts:   in about 2 h, when vision/old ends; room is kept on n1",
        "queue:    a",
    ]
    assert found[0].start == Start(
        start_s=7300, latest_s=7300, in_s=7200, sure=True, after=("vision/old",), nodes=("n1",)
    )


def test_work_that_others_make_way_for_is_starting(serve: Serve) -> None:
    decision = pb.Decision(workload="vision/train", is_gang=True, reclaim=pb.Reclaim())
    found = ask(
        serve(lambda _: pb.ExplainResponse(text=["vision/train starts."], decision=decision)), "vision", "train"
    )
    assert isinstance(found, list)
    assert (found[0].state, found[0].start) == ("starting", None)


def test_a_pod_is_asked_for_when_no_gang_has_the_name(serve: Serve) -> None:
    def explain(request: pb.ExplainRequest) -> Answer:
        if request.gang:
            return grpc.StatusCode.NOT_FOUND, "no such gang"
        standing = [pb.Assignment(pod_uid="u", node="n1")]
        return pb.ExplainResponse(text=[f"{request.pod} runs."], queue="a", standing=standing)

    found = ask(serve(explain), "default", "web-0")
    assert isinstance(found, list)
    assert (found[0].state, dict(found[0].nodes)) == ("running", {"n1": ("u",)})


def test_a_name_that_the_service_does_not_know(serve: Serve) -> None:
    found = ask(serve(lambda _: (grpc.StatusCode.NOT_FOUND, "unknown")), "default", "nobody")
    assert found == NotFound(namespace="default", name="nobody")


@pytest.mark.parametrize(
    ("code", "error"),
    [(grpc.StatusCode.UNAVAILABLE, CommandError), (grpc.StatusCode.INVALID_ARGUMENT, BadInputError)],
)
def test_other_answers_are_errors(serve: Serve, code: grpc.StatusCode, error: type[CommandError]) -> None:
    with pytest.raises(error, match=f"answers {code.name}: not leading") as raised:
        ask(serve(lambda _: (code, "not leading")), "default", "x")
    assert type(raised.value) is error


def test_no_service_at_all_is_an_error() -> None:
    with pytest.raises(CommandError, match="UNAVAILABLE"):
        ask("127.0.0.1:1", "default", "x")
