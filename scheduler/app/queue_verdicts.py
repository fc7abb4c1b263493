"""What is said of every Queue: whether its spec is in force as it is written, and whether work may start in it."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

import msgspec

from scheduler.model.names import QueueName
from scheduler.model.queue import Queue
from scheduler.planning.reasons.wording import gpus, listed, quota_amount
from scheduler.quota.forest import PARENT
from scheduler.quota.standing import Standing
from scheduler.quota.tree import Ledger

ACCEPTED = "Accepted"
"""The condition that says whether everything in the spec holds."""

SERVING = "Serving"
"""The condition that says whether new work may start, and how the queue stands."""

OVER_COMMITTED = "OverCommitted"
"""More is used in the queue than it may use: it was given less while work ran."""

REASONS_SHOWN = 3


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Status, reason and message of a condition. `alarm`: an Event tells it, and it is a warning."""

    status: Literal["True", "False"]
    reason: str
    message: str
    alarm: bool = False


def verdict_on(queue: Queue) -> Verdict:
    """Whether the spec holds as it is written."""
    told = "; ".join(str(problem) for problem in queue.problems)
    if any(problem.where != PARENT for problem in queue.problems):
        meanwhile = "nothing starts in it" if _never_was(queue) else "it stays as it was before"
        return _wrong("SpecRefused", f"{told}. Meanwhile {meanwhile}")
    if queue.problems:
        where = "at the top" if queue.parent is None else f"below {queue.parent}, as before"
        return _wrong("ParentRefused", f"{told}. Meanwhile the queue stands {where}")
    if queue.taken:
        others = "; ".join(f"namespace {namespace!r} is served by queue {name}" for namespace, name in queue.taken)
        allowed = "a namespace that a queue lists goes to the first such queue by name, before those that select it"
        return _wrong("NamespaceTaken", f"{others}; {allowed}. All else is in force")
    return Verdict(status="True", reason="InForce", message="the queue is in force")


def serving(
    queue: Queue, standing: Standing, ledger: Ledger, *, waits: Mapping[str, int], coming_milli_gpu: int
) -> Verdict:
    """Whether new work may start in the queue, and what people should know first of it.

    `waits`: how many workloads of it and of those below it wait for which reason. `coming_milli_gpu`: what other work
    is making way for.
    """
    runs = standing.running_workloads
    if queue.ending:
        on = "1 workload goes on to its end" if runs == 1 else f"{runs} workloads go on to their end"
        message = f"the queue was deleted: {on} in it, and nothing new starts"
        return Verdict(status="False", reason="Draining", message=message, alarm=True)
    if _never_was(queue):
        return Verdict(
            status="False", reason="SpecRefused", message="its spec was never in order: nothing starts in it"
        )
    over = _overdrawn(queue.name, ledger)
    if over is not None:
        return Verdict(status="False", reason=OVER_COMMITTED, message=over, alarm=True)
    if coming_milli_gpu:
        return _fine("Reclaiming", f"other work makes way for {gpus(coming_milli_gpu)} of its work")
    if waits:
        often = sorted(waits.items(), key=lambda item: (-item[1], item[0]))
        shown = [f"{count} {reason}" for reason, count in often[:REASONS_SHOWN]]
        rest = sum(count for _, count in often[REASONS_SHOWN:])
        return _fine(
            "Waiting", f"of its work waits: {listed([*shown, *([f'{rest} for other reasons'] if rest else [])])}"
        )
    if standing.borrowed_milli_gpu:
        borrowed = gpus(standing.borrowed_milli_gpu)
        return _fine("Borrowing", f"{borrowed} of what it uses are borrowed, and go back when their owner needs them")
    if standing.lent_milli_gpu:
        return _fine(
            "Lending", f"others use {gpus(standing.lent_milli_gpu)} of what it owns, and give them back for its work"
        )
    return _fine("Running", "all of its work runs") if runs else _fine("Idle", "it has no work")


def reasons_by_queue(ledger: Ledger, waiting: Mapping[tuple[QueueName, str], int]) -> Mapping[QueueName, Counter[str]]:
    """How many workloads wait for which reason in each queue and in those below it, from the same of each alone."""
    found: dict[QueueName, Counter[str]] = {}
    for (name, reason), count in waiting.items():
        for queue in ledger.forest.chain(name):
            found.setdefault(queue.name, Counter())[reason] += count
    return found


def _overdrawn(name: QueueName, ledger: Ledger) -> str | None:
    """The first limit, of the queue or of one above it, that is exceeded; None where none is."""
    for queue in ledger.forest.chain(name):
        used = ledger.used_by(queue.name)
        for flavor, quota in ((None, queue.total), *queue.flavors):
            most, uses = quota.ceiling_milli_gpu, used.total_milli_gpu if flavor is None else used.of(flavor)
            if most is not None and uses > most:
                whose = "the queue" if queue.name == name else f"queue {queue.name} above it"
                return (
                    f"{whose} uses {quota_amount(flavor, uses)} and may use {quota_amount(flavor, most)}: "
                    "what runs goes on, what others own is taken back, and nothing more starts until it is within that"
                )
    return None


def _never_was(queue: Queue) -> bool:
    """Whether the queue's spec never was in order, so that nothing starts."""
    wrong = any(problem.where != PARENT for problem in queue.problems)
    return wrong and queue.total.nominal_milli_gpu == 0 and queue.total.ceiling_milli_gpu == 0


def _wrong(reason: str, message: str) -> Verdict:
    return Verdict(status="False", reason=reason, message=message, alarm=True)


def _fine(reason: str, message: str) -> Verdict:
    return Verdict(status="True", reason=reason, message=message)
