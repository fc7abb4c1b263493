"""Asking a running service about queues over gRPC."""

from collections.abc import Callable, Sequence
from typing import cast

import grpc

from scheduler.cli.output import BadInputError, CommandError
from scheduler.planning.overview.records import QueueDetail, QueueStand
from scheduler.rpc import bayplan_pb2
from scheduler.rpc.convert_queues import UnreadableError, queues_answer

Call = Callable[..., bayplan_pb2.QueuesResponse]
METHOD = "/bayplan.v1alpha1.Bayplan/Queues"
ANSWER_WITHIN_S = 10.0
ANSWER_BYTES = 64 << 20
"""Room for some hundred thousand workloads; gRPC's own limit is 4 MiB."""


def ask(server: str, queue: str = "") -> tuple[Sequence[QueueStand], QueueDetail | None]:
    """How queues stand by the service at `server` (HOST:PORT), and `queue` with its work, if there is one.

    Raises:
        BadInputError: the service cannot understand the question.
        CommandError: no answer, or the service is not ready.
    """
    with grpc.insecure_channel(server, options=[("grpc.max_receive_message_length", ANSWER_BYTES)]) as channel:
        queues = cast(
            "Call",
            channel.unary_unary(  # pyright: ignore[reportUnknownMemberType]  the stubs leave the types open
                METHOD,
                request_serializer=bayplan_pb2.QueuesRequest.SerializeToString,
                response_deserializer=bayplan_pb2.QueuesResponse.FromString,
            ),
        )
        try:
            return queues_answer(queues(bayplan_pb2.QueuesRequest(queue=queue), timeout=ANSWER_WITHIN_S))
        except grpc.RpcError as err:
            # Every error of a call is a Call too (grpc/_channel.py, `_InactiveRpcError`).
            call = cast("grpc.Call", err)
            text = f"{server} answers {call.code().name}: {call.details()}"
            wrong = BadInputError if call.code() is grpc.StatusCode.INVALID_ARGUMENT else CommandError
            raise wrong(text) from err
        except UnreadableError as err:
            raise CommandError(f"{server} answers what this version cannot read: {err}") from err
