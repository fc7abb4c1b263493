"""Asking a running service over gRPC."""

from collections.abc import Callable
from typing import cast

import grpc
import msgspec

from scheduler.cli.explained import Explanation, NotFound, Start, State
from scheduler.cli.output import BadInputError, CommandError
from scheduler.model.plan import Blocker
from scheduler.planning.reasons.explain import in_the_way
from scheduler.rpc import bayplan_pb2

Call = Callable[..., bayplan_pb2.ExplainResponse]
METHOD = "/bayplan.v1alpha1.Bayplan/Explain"
ANSWER_WITHIN_S = 10.0
NOTE = "Note: "
"""How lines begin that concern the whole plan (`rule_lines`)."""
NOT_HONOURED = " is not honoured: "
"""What lines say of another scheduler's words."""


def ask(server: str, namespace: str, name: str) -> list[Explanation] | NotFound:
    """What the service at `server` (HOST:PORT) says of the gang or pod `name`.

    Raises:
        BadInputError: the service cannot understand the question.
        CommandError: no answer, or the service is not ready.
    """
    subject = f"{namespace}/{name}"
    with grpc.insecure_channel(server) as channel:
        explain = cast(
            "Call",
            channel.unary_unary(  # pyright: ignore[reportUnknownMemberType]  the stubs leave the types open
                METHOD,
                request_serializer=bayplan_pb2.ExplainRequest.SerializeToString,
                response_deserializer=bayplan_pb2.ExplainResponse.FromString,
            ),
        )
        for question in (bayplan_pb2.ExplainRequest(gang=subject), bayplan_pb2.ExplainRequest(pod=subject)):
            try:
                answer = explain(question, timeout=ANSWER_WITHIN_S)
            except grpc.RpcError as err:
                # Every error of a call is a Call too (grpc/_channel.py, `_InactiveRpcError`).
                call = cast("grpc.Call", err)
                if call.code() is grpc.StatusCode.NOT_FOUND:
                    continue
                text = f"{server} answers {call.code().name}: {call.details()}"
                wrong = BadInputError if call.code() is grpc.StatusCode.INVALID_ARGUMENT else CommandError
                raise wrong(text) from err
            return [explanation(subject, answer)]
    return NotFound(namespace=namespace, name=name)


def explanation(subject: str, answer: bayplan_pb2.ExplainResponse) -> Explanation:
    """The service's answer about `subject` as an explanation."""
    decision = answer.decision
    wait = decision.wait
    outcome = decision.WhichOneof("outcome")
    states: dict[str | None, State] = {
        None: "running" if answer.standing else "starting",
        "admit": "starting",
        "offer": "starting",
        "wait": "waiting",
        "roll_back": "leaving",
        "reclaim": "starting",
    }
    nodes: dict[str, tuple[str, ...]] = {}
    for assignment in answer.standing:
        nodes[assignment.node] = (*nodes.get(assignment.node, ()), assignment.pod_uid)
    return Explanation(
        kind="gang" if decision.is_gang else "pod",
        name=decision.workload or subject,
        state=states[outcome],
        lines=tuple(answer.text),
        notes=tuple(line for line in answer.text if line.startswith(NOTE) or NOT_HONOURED in line),
        queue=answer.queue or None,
        reason=wait.reason or None,
        message=wait.message,
        detail=wait.detail,
        blocking=tuple(_phrase(blocker) for blocker in wait.blocking),
        unblock=wait.unblock,
        start=_start(wait.reservation) if wait.HasField("reservation") else None,
        nodes=nodes,
    )


def _start(kept: bayplan_pb2.Reservation) -> Start:
    return Start(
        start_s=kept.start_s,
        latest_s=kept.latest_s,
        in_s=kept.start_s - kept.made_s,
        sure=kept.sure,
        after=tuple(kept.after),
        nodes=tuple(kept.nodes),
        learned_runs=kept.learned_runs,
    )


def _phrase(blocker: bayplan_pb2.Blocker) -> str:
    fields = {name: getattr(blocker, name) for name in Blocker.__struct_fields__}
    try:
        return in_the_way(msgspec.convert(fields, Blocker))
    except msgspec.ValidationError:
        # A newer service may know more kinds.
        return f"{blocker.kind} {blocker.subject}"
