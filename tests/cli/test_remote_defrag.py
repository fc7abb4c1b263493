"""Asking a service for moves: over a real gRPC connection to one that gives prepared answers."""

# The stubs of grpc leave the types of handlers open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Callable, Iterator

import grpc
import pytest

from scheduler.cli.main import main
from scheduler.cli.output import BadInputError, CommandError
from scheduler.cli.remote_defrag import METHOD, ask
from scheduler.planning.defrag.advice import MakeFit, NoAdvice
from scheduler.rpc import bayplan_pb2 as pb
from tests.cli.prepared import prepared

Answer = pb.DefragResponse | tuple[grpc.StatusCode, str]
Serve = Callable[[Callable[[pb.DefragRequest], Answer]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server whose Defrag is the given function, and says where it is."""
    with prepared(METHOD, pb.DefragRequest, pb.DefragResponse) as start:
        yield start


def test_the_question_arrives_and_the_answer_is_shown(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[pb.DefragRequest] = []

    def defrag(request: pb.DefragRequest) -> Answer:
        seen.append(request)
        move = pb.Move(
            workload="team/a",
            is_gang=True,
            queue="q",
            pods=[pb.PodMove(pod_uid="u", pod="a-0", source="n1", target="n2")],
            milli_gpu=1000,
            running_s=59,
            lost_gpu_seconds=59,
        )
        proof = pb.Proof(status="budget hit", cost=59, bound=5)
        advice = pb.Advice(
            moves=[move], domain="r3", opens=["n1"], open_gpus=8, lost_gpu_seconds=59, proof=proof, generation=4
        )
        return pb.DefragResponse(advice=advice)

    where = serve(defrag)
    assert main(["defrag", "--open", "rack=r3", "--let-wait", "--budget-ms", "70", "--server", where]) == 0
    assert seen == [pb.DefragRequest(open=pb.OpenDomain(level="rack", domain="r3"), let_wait=True, budget_ms=70)]
    shown = capsys.readouterr().out
    assert shown.startswith(
        "To open rack r3, 1 workload moves and 59 GPU-seconds are lost. "
        "Cheaper moves may exist (the solver's budget ended): at least 5 GPU-seconds are lost (proven).\n"
    )
    assert "team/a  q      1     1     59s      59 GPU-seconds  n1    n2" in shown


def test_a_refusal_is_an_answer(serve: Serve) -> None:
    where = serve(lambda _: pb.DefragResponse(none=pb.NoAdvice(message="no", certain=True)))
    assert ask(where, MakeFit(workload="a/b"), let_wait=False, budget_ms=10) == NoAdvice(message="no")


@pytest.mark.parametrize(
    ("code", "error"),
    [(grpc.StatusCode.UNAVAILABLE, CommandError), (grpc.StatusCode.INVALID_ARGUMENT, BadInputError)],
)
def test_errors_say_who_answers_what(serve: Serve, code: grpc.StatusCode, error: type[CommandError]) -> None:
    where = serve(lambda _: (code, "because"))
    with pytest.raises(error, match=rf"{where} answers {code.name}: because") as caught:
        ask(where, MakeFit(workload="a/b"), let_wait=False, budget_ms=10)
    assert type(caught.value) is error
