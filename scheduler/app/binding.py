"""Writes that are repeated until they took place, were refused for good, or stopped making sense."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import assert_never

from scheduler.kube.effects import Done, Effects, Fenced, Gone, Outcome, PodRef, Refused, Unreachable
from scheduler.model.names import NodeName

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
BIND_PATIENCE_S = 25.0
"""How long binding is retried against a failing API server; below the extender's httpTimeout of 30 s."""

REFUSAL_PATIENCE_S = 10.0
"""How long a write is repeated that is refused for a reason that may pass."""

GONE = "a member is gone"

NOT_LEADING = "this replica does not lead any more"


async def insist(write: Callable[[], Awaitable[Outcome]]) -> str | None:
    """Repeat a write until it took place; None then, otherwise one sentence on why it never will."""
    loop = asyncio.get_running_loop()
    pause_s = FIRST_PAUSE_S
    give_up_s = loop.time() + REFUSAL_PATIENCE_S
    while True:
        outcome = await write()
        match outcome:
            case Done():
                return None
            case Gone():
                return GONE
            case Fenced():
                return NOT_LEADING
            case Refused(status=0, message=message):
                return message
            case Refused(passing=passing, message=message) if not passing or loop.time() > give_up_s:
                return f"the API server refused a write: {message}"
            case Refused() | Unreachable():
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            case _:
                assert_never(outcome)


async def bind_for_good(effects: Effects, pod: PodRef, node: NodeName) -> str | None:
    """Bind the pod; None once the API server has it on `node`, otherwise why it will not be."""
    loop = asyncio.get_running_loop()
    pause_s = FIRST_PAUSE_S
    give_up_s = loop.time() + BIND_PATIENCE_S
    while True:
        outcome = await effects.bind(pod, node)
        if isinstance(outcome, Done):
            return None
        # A repeated bind after a lost answer finds the pod bound by ourselves.
        if isinstance(outcome, Refused) and outcome.status == 409 and await effects.bound_node(pod) == node:
            return None
        if (why := _final(outcome, pod)) is not None:
            return why
        if loop.time() > give_up_s:
            return f"the API server did not take the binding of {pod.namespace}/{pod.name}"
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _final(outcome: Gone | Fenced | Refused | Unreachable, pod: PodRef) -> str | None:
    """Why a bind that failed so will never succeed; None where it may yet."""
    match outcome:
        case Gone():
            return f"pod {pod.namespace}/{pod.name} is gone"
        case Fenced():
            return NOT_LEADING
        case Refused(passing=False, message=message):
            return message
        case Refused(status=409, message=message) if "being deleted" in message or "already assigned" in message:
            return message
        case Refused() | Unreachable():
            return None
        case _:
            assert_never(outcome)
