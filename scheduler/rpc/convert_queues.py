"""How queues stand, as messages of the gRPC API and back: fields of the same names, absent where there is None."""

from collections.abc import Sequence

import msgspec
from google.protobuf import json_format

from scheduler.planning.overview.records import QueueDetail, QueueStand
from scheduler.rpc import bayplan_pb2 as pb


class UnreadableError(Exception):
    """The answer holds something that this version does not know; the text says what."""


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    queues: tuple[QueueStand, ...] = ()
    detail: QueueDetail | None = None


def queues_response(stands: Sequence[QueueStand], detail: QueueDetail | None) -> pb.QueuesResponse:
    """The answer."""
    plain = msgspec.to_builtins(_Answer(queues=tuple(stands), detail=detail))
    return json_format.ParseDict(plain, pb.QueuesResponse())


def queues_answer(response: pb.QueuesResponse) -> tuple[Sequence[QueueStand], QueueDetail | None]:
    """All queues, and the one that was asked for, if there is one of that name.

    Raises:
        UnreadableError: a newer service knows words that this version does not.
    """
    plain = json_format.MessageToDict(
        response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    try:
        # 64-bit integers are texts in protobuf's JSON.
        answer = msgspec.convert(plain, _Answer, strict=False)
    except msgspec.ValidationError as err:
        raise UnreadableError(str(err)) from err
    return answer.queues, answer.detail
