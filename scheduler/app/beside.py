"""Work that goes on beside: nobody waits for its end, so the service ends where it breaks.

What broke may have left a plan half carried out, or a pod counted as on its way for good. Only a start from scratch
puts that right, and all that lasts is in the API.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_MARK = "beside"

T = TypeVar("T")


def beside(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Begin the work. If it breaks, its loop hears of that, see `broken`; being cancelled is no break."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(_ended)
    return task


def broken(loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
    """Fails as soon as work beside breaks on this loop, with the exception that broke it first."""
    found: asyncio.Future[None] = loop.create_future()

    def hear(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if _MARK in context and not found.done():
            found.set_exception(context["exception"])
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(hear)
    return found


async def first(stop: asyncio.Event, *others: asyncio.Future[Any]) -> None:
    """Until `stop` is set or one of the others ends; what they raise is raised."""
    stopped = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait({stopped, *others}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopped}:
            task.result()
    finally:
        stopped.cancel()


def _ended(task: asyncio.Task[Any]) -> None:
    if task.cancelled() or (err := task.exception()) is None:
        return
    context = {"message": "work beside broke", "exception": err, "task": task, _MARK: True}
    task.get_loop().call_exception_handler(context)
