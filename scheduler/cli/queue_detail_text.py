"""One queue with its work, as people read it."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from scheduler.cli.output import facts, table
from scheduler.cli.queue_text import number
from scheduler.planning.defrag.text import span
from scheduler.planning.overview.records import Amounts, Partner, QueueDetail, QueueStand, ResourceAmounts, Work
from scheduler.planning.reasons.wording import gpus, listed

NOBODY = "nobody by name"
"""Pods that do not say whose they are count as those of one user."""

SHOWN = 20
"""Rows of running and of waiting work, unless all are asked for."""


def detail_text(detail: QueueDetail, *, now_s: int, everything: bool = False) -> str:
    """One queue: how it stands in a sentence, its quota, with whom it shares, and its work."""
    stand = detail.stand
    blocks = [
        _sentence(detail),
        _amounts(stand),
        facts(
            {
                **{each.resource: _resource(each) for each in stand.resources},
                "parent": stand.parent or "",
                "below": ", ".join(detail.below),
                "namespaces": ", ".join(stand.namespaces),
                "rules": _rules(stand),
                "users": _users(detail),
                "not in force": "; ".join(stand.problems),
            }
        ),
    ]
    runs = [work for work in detail.work if work.milli_gpu or not work.pending_milli_gpu]
    waits = [work for work in detail.work if work.pending_milli_gpu]
    if runs:
        head = ("RUNNING", "QUEUE", "GPUS", "BORROWED", "PRIORITY", "SINCE", "PODS")
        blocks.append(_listed(head, [_running(some, now_s) for some in _alike(runs)], everything=everything))
    if waits:
        head = ("WAITING", "QUEUE", "GPUS", "PRIORITY", "SINCE", "STARTS", "WHY")
        blocks.append(_listed(head, [_waiting(some, now_s) for some in _alike(waits)], everything=everything))
    return "\n\n".join(block for block in blocks if block)


def _sentence(detail: QueueDetail) -> str:
    total = detail.stand.total
    said = f"{detail.stand.name} {_uses(total)}"
    if detail.borrows_from:
        said += f"; what it borrows is lent by {_partners(detail.borrows_from)}"
    if detail.lends_to:
        said += f"; what it lends is used by {_partners(detail.lends_to)}"
    if total.pending_milli_gpu:
        count = detail.stand.pending_workloads
        said += f"; {gpus(total.pending_milli_gpu)} of {count} workload{'' if count == 1 else 's'} wait"
    return f"{said}."


def _uses(total: Amounts) -> str:
    used, own, borrowed = total.used_milli_gpu, total.nominal_milli_gpu, total.borrowed_milli_gpu
    if not own:
        said = f"owns no GPU and uses {gpus(used) if used else 'none'}"
        return f"{said}, all of them borrowed" if used else said
    if borrowed:
        return f"uses {gpus(used)}: the {number(own)} that it owns, and {number(borrowed)} that it borrows"
    said = f"uses {number(used) if used else 'none'} of the {gpus(own)} that it owns"
    return f"{said}, and lends {number(total.lent_milli_gpu)}" if total.lent_milli_gpu else said


def _amounts(stand: QueueStand) -> str:
    head = ("GPUS", "USED", "OWNS", "BORROWS", "AT MOST", "LENDS", "AT MOST", "WAITING", "FAIR SHARE")
    return table(head, [_amounts_row(amounts) for amounts in (stand.total, *stand.flavors)])


def _amounts_row(amounts: Amounts) -> tuple[str, ...]:
    return (
        amounts.flavor or "all",
        number(amounts.used_milli_gpu),
        number(amounts.nominal_milli_gpu),
        number(amounts.borrowed_milli_gpu),
        _limit(amounts.borrowing_limit_milli_gpu),
        number(amounts.lent_milli_gpu),
        _limit(amounts.lending_limit_milli_gpu),
        number(amounts.pending_milli_gpu),
        number(amounts.fair_share_milli_gpu),
    )


def _resource(amounts: ResourceAmounts) -> str:
    name, divisor = ("cores", 1000) if amounts.resource == "cpu" else ("GiB", 1024)
    used, own, borrowed = (f"{amount / divisor:.10g}" for amount in (amounts.used, amounts.nominal, amounts.borrowed))
    said = f"{used} of {own} {name} in use"
    if amounts.borrowed:
        said = f"{used} {name} in use: the {own} that it owns, and {borrowed} that it borrows"
    limit = amounts.borrowing_limit
    return said if limit is None else f"{said}; at most {(amounts.nominal + limit) / divisor:.10g}"


def _limit(milli_gpu: int | None) -> str:
    return "no limit" if milli_gpu is None else f"{milli_gpu / 1000:.10g}"


def _rules(stand: QueueStand) -> str:
    safe = f"work is safe from reclaim for {span(stand.min_runtime_s)}" if stand.min_runtime_s else ""
    policy = f"placement {stand.policy}" if stand.policy else ""
    user = "" if stand.user_limit_milli_gpu is None else f"one user at most {gpus(stand.user_limit_milli_gpu)}"
    said = (f"order {stand.order}", f"weight {stand.weight}", f"priority {stand.priority}", policy, safe, user)
    return ", ".join(part for part in said if part)


def _users(detail: QueueDetail) -> str:
    """What each user has, where users are limited; those first who have most."""
    if detail.stand.user_limit_milli_gpu is None:
        return ""
    used, waits = Counter[str](), Counter[str]()
    for work in detail.work:
        used[work.user or NOBODY] += work.milli_gpu
        waits[work.user or NOBODY] += work.pending_milli_gpu
    said = [
        f"{user} {number(used[user]) if used[user] else 'none'}"
        + (f" and waits for {number(waits[user])}" if waits[user] else "")
        for user in sorted(used, key=lambda user: (-used[user], user))
        if used[user] or waits[user]
    ]
    return ", ".join(said)


def _partners(partners: Sequence[Partner]) -> str:
    return listed([f"{partner.queue} ({gpus(partner.milli_gpu)})" for partner in partners])


def _alike(work: Sequence[Work]) -> list[list[Work]]:
    """Pods of one owner that follow each other and differ in nothing that is shown, as one."""

    def key(one: Work) -> tuple[object, ...]:
        mine = one.owner if one.kind == "pod" and one.owner else one.name
        return mine, one.queue, one.state, one.priority, one.message, bool(one.borrowed_milli_gpu)

    return [list(some) for _, some in groupby(work, key=key)]


def _running(some: Sequence[Work], now_s: int) -> tuple[str, ...]:
    first = some[0]
    placed, size = sum(work.placed for work in some), sum(work.size for work in some)
    return (
        _name(some),
        first.queue,
        number(sum(work.milli_gpu for work in some)),
        number(sum(work.borrowed_milli_gpu for work in some)),
        str(first.priority),
        first.state if first.state != "running" else f"{span(max(now_s - first.since_s, 0))} ago",
        str(placed) if placed == size else f"{placed} of {size}",
    )


def _waiting(some: Sequence[Work], now_s: int) -> tuple[str, ...]:
    first = some[0]
    at = first.estimated_start_s
    return (
        _name(some),
        first.queue,
        number(sum(work.pending_milli_gpu for work in some)),
        str(first.priority),
        f"{span(max(now_s - first.since_s, 0))} ago",
        "-" if at is None else f"in {span(max(at - now_s, 0))}",
        first.message or {"starting": "it is being started", "running": "more of it may run"}.get(first.state, "-"),
    )


def _name(some: Sequence[Work]) -> str:
    first = some[0]
    if len(some) == 1:
        return first.name
    return f"{first.name.partition('/')[0]}/{first.owner} ({len(some)} pods)"


def _listed(head: Sequence[str], rows: Sequence[Sequence[str]], *, everything: bool) -> str:
    queues = {row[1] for row in rows}
    if len(queues) == 1:
        head, rows = [head[0], *head[2:]], [[row[0], *row[2:]] for row in rows]
    shown = rows if everything else rows[:SHOWN]
    more = f"\nand {len(rows) - len(shown)} more (--all shows them)" if len(rows) > len(shown) else ""
    return table(head, shown) + more
