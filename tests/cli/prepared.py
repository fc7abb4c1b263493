"""A real gRPC server that gives prepared answers."""

# The stubs of grpc leave the types of handlers open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, Self, TypeVar

import grpc


class _Message(Protocol):
    @classmethod
    def FromString(cls, s: bytes, /) -> Self: ...  # noqa: N802  protobuf's spelling

    def SerializeToString(self) -> bytes: ...  # noqa: N802  protobuf's spelling


Asked = TypeVar("Asked", bound=_Message)
Answered = TypeVar("Answered", bound=_Message)


@contextmanager
def prepared(
    path: str, asked: type[Asked], answered: type[Answered]
) -> Generator[Callable[[Callable[[Asked], Answered | tuple[grpc.StatusCode, str]]], str]]:
    """Starts servers whose method `path` is the function given, and says where each is; they end at the end."""
    servers: list[grpc.Server] = []

    def start(answer: Callable[[Asked], Answered | tuple[grpc.StatusCode, str]]) -> str:
        def handle(request: Asked, context: grpc.ServicerContext) -> Answered:
            found = answer(request)
            if isinstance(found, tuple):
                context.abort(*found)
            return found

        _, service, method = path.split("/")
        handler = grpc.unary_unary_rpc_method_handler(
            handle, request_deserializer=asked.FromString, response_serializer=answered.SerializeToString
        )
        server = grpc.server(ThreadPoolExecutor(1))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    try:
        yield start
    finally:
        for server in servers:
            server.stop(None).wait()
