"""Asking a running service for moves over gRPC."""

from collections.abc import Callable
from typing import cast

import grpc

from scheduler.cli.output import BadInputError, CommandError
from scheduler.planning.defrag.advice import Advice, NoAdvice, Target
from scheduler.rpc import bayplan_pb2
from scheduler.rpc.convert_defrag import defrag_answer, defrag_request

Call = Callable[..., bayplan_pb2.DefragResponse]
METHOD = "/bayplan.v1alpha1.Bayplan/Defrag"

PATIENCE = 20
"""An answer may take so many times its budget, which is in the solver's own time, and may have to wait its turn."""

ANSWER_WITHIN_S = 30.0
"""Besides."""


def ask(server: str, target: Target, *, let_wait: bool, budget_ms: int) -> Advice | NoAdvice:
    """What the service at `server` (HOST:PORT) says has to move for `target`.

    Raises:
        BadInputError: the service cannot understand the question.
        CommandError: no answer, or the service is not ready.
    """
    with grpc.insecure_channel(server) as channel:
        defrag = cast(
            "Call",
            channel.unary_unary(  # pyright: ignore[reportUnknownMemberType]  the stubs leave the types open
                METHOD,
                request_serializer=bayplan_pb2.DefragRequest.SerializeToString,
                response_deserializer=bayplan_pb2.DefragResponse.FromString,
            ),
        )
        question = defrag_request(target, let_wait=let_wait, budget_ms=budget_ms)
        try:
            answer = defrag(question, timeout=ANSWER_WITHIN_S + PATIENCE * budget_ms / 1000)
        except grpc.RpcError as err:
            # Every error of a call is a Call too (grpc/_channel.py, `_InactiveRpcError`).
            call = cast("grpc.Call", err)
            text = f"{server} answers {call.code().name}: {call.details()}"
            wrong = BadInputError if call.code() is grpc.StatusCode.INVALID_ARGUMENT else CommandError
            raise wrong(text) from err
    return defrag_answer(target, answer)
