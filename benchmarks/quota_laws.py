"""What trees of queues promise, looked for in random small clusters that are played until they come to rest.

Each case is planned by the real planner, with eviction, for up to fifty rounds (`scheduler.simulate`), and again in
variations: with other names, with more nodes, with more quota. What could have run, and who could have been spared, is
found by trying everything. No cluster is needed: `python -m benchmarks quota_laws [--cases N]`.
"""

import gc
import itertools
import pickle
import sys
import time
from collections.abc import Iterator, Sequence
from random import Random

import msgspec

from benchmarks import table
from benchmarks.quota_cases import case
from benchmarks.quota_exact import could_claim, held_back, least_pods, most_added, spared, strict_lines
from benchmarks.quota_wider import FROM as WIDE_FROM
from benchmarks.quota_wider import wide_case
from scheduler.model.plan import Admit, Decision, Offer, Plan, Reclaim, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan
from scheduler.planning.holds import HOLDING
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from scheduler.scoring.rules.queue import needed
from scheduler.simulate.document import NodeDoc, QueueDoc, ScenarioDoc
from scheduler.simulate.run import Simulation

NAME = "quota_laws"

CASES = 2000

TOLD_EVERY = 1000
"""Cases after which it is told, on stderr, how it stands; what is found is told at once."""

LAWS = {
    "limits": "a queue above nominal and what it may borrow, or another rule broken",
    "returns": "lent quota that was not back after one round",
    "order": "work of a queue that keeps its order, started before what comes first there",
    "waste": "GPUs left idle that waiting work could use, more than the largest gang that waits",
    "rest": "evictions and plans that go on without outside change",
    "minimal": "a victim that could have been spared",
    "monotone": "work that more nodes or more quota kept from running",
    "names": "plans that depend on names or on the order in which things are heard of",
    "untouched": "snapshots changed by planning",
}
"""What is looked for, each a law broken."""

_EXACT = PlanSettings(solver_budget_ms=5000, reclaim=True, explained=0)

_NO_HOLDS = msgspec.structs.replace(_EXACT, hold_s=0)
"""Every second case is played without room that is kept for gangs; then nothing at all may be left idle."""

Broken = tuple[str, str]
"""A law of `LAWS`, and how it was broken."""


class Round(msgspec.Struct, frozen=True):
    """A plan, and what it was made of."""

    snapshot: Snapshot
    plan: Plan


def run(*, quick: bool = False, cases: int = CASES, first: int = 0) -> list[table.Row]:
    """How often each law was broken; `quick`: few cases. `first`: the number of the first case."""
    count = min(cases, 100) if quick else cases
    broken: dict[str, list[str]] = {law: [] for law in LAWS}
    # What is loaded by now stays: the collector need not look at it again and again.
    gc.freeze()
    began = time.perf_counter()
    for number, seed in enumerate(range(first, first + count)):
        if number and not number % TOLD_EVERY:
            print(_so_far(number, first, broken, time.perf_counter() - began), file=sys.stderr, flush=True)
        for law, how in broken_laws(seed):
            broken[law].append(f"case {seed}: {how}")
            print(f"{NAME}: {law}: {broken[law][-1]}", file=sys.stderr, flush=True)
    took_s = time.perf_counter() - began
    rows = [
        table.Row(
            benchmark=NAME,
            what=f"{what}, in {count} cases",
            unit="",
            value=len(broken[law]),
            limit=table.Limit(most=0),
            note=next(iter(broken[law]), ""),
            detail={"broken": broken[law]},
        )
        for law, what in LAWS.items()
    ]
    rows.append(table.Row(benchmark=NAME, what="cases a second", unit="/s", value=count / took_s))
    return rows


def _so_far(number: int, first: int, broken: dict[str, list[str]], took_s: float) -> str:
    """What is known before the end, for whom the end is far."""
    found = sum(map(len, broken.values()))
    return f"{NAME}: cases {first} to {first + number - 1}: {found} laws broken, {number / took_s:.1f} cases/s"


def broken_laws(seed: int) -> list[Broken]:
    """What a case breaks."""
    doc = case(seed) if seed < WIDE_FROM else wide_case(seed)
    return laws_broken_by(doc, Random(-1 - seed), holds=bool(seed % 2))


def laws_broken_by(doc: ScenarioDoc, chance: Random, *, holds: bool) -> list[Broken]:
    """What a scenario breaks. `chance` draws its variations; `holds`: room is kept for gangs that wait."""
    settings = _EXACT if holds else _NO_HOLDS
    rounds: list[Round] = []
    ticks = itertools.count()
    game = Simulation(
        doc,
        settings=settings,
        stable_rounds=2,
        clock_ns=lambda: next(ticks),
        watch=lambda seen, made: rounds.append(Round(seen, made)),
    )
    before, now_s = pickle.dumps(game.snapshot), game.now_s
    outcome = game.run()
    found: list[Broken] = [("limits", what) for what in outcome.violations]
    found += [("limits", what) for what in _above(rounds)]
    found += [("order", what) for each in rounds for what in _out_of_turn(each)]
    if not outcome.stable:
        found.append(("rest", f"after {outcome.rounds} rounds it goes on"))
    found += [("minimal", what) for what in _sparable(rounds, holds=holds)]
    found += [("returns", what) for what in _late(rounds, holds=holds)]
    if outcome.stable:
        found += [("returns", what) for what in _owed(rounds[-1], holds=holds)]
        found += [("waste", what) for what in _wasted(rounds[-1].snapshot, holds=holds)]
    if pickle.dumps(rounds[0].snapshot) != before:
        found.append(("untouched", "the plan of the first round changed its snapshot"))
    found += _varied(doc, rounds[0].plan, chance, now_s=now_s, settings=settings)
    return found


# Limits, by sums of their own


def _above(rounds: list[Round]) -> Iterator[str]:
    before: dict[str, int] = {}
    for number, each in enumerate(rounds):
        used = _used(each.snapshot)
        for name, queue in each.snapshot.queues.items():
            limit = queue.total.borrowing_limit_milli_gpu
            most = None if limit is None else queue.total.nominal_milli_gpu + limit
            if most is not None and used.get(name, 0) > max(most, before.get(name, 0) if number else used.get(name, 0)):
                yield f"queue {name} uses {used[name]} milli-GPU of at most {most} in round {number}"
        before = used


def _used(snapshot: Snapshot) -> dict[str, int]:
    used: dict[str, int] = {}
    for workload in snapshot.workloads.values():
        amount = sum(1000 * pod.shape.requests.gpus for pod in workload.placed)
        at = workload.queue
        while at is not None and at in snapshot.queues:
            used[at] = used.get(at, 0) + amount
            at = snapshot.queues[at].parent
    return used


def _out_of_turn(each: Round) -> Iterator[str]:
    """What starts in a queue that keeps its order although what comes before it there does not."""
    starts = {d.workload for d in each.plan.decisions if isinstance(d, Admit | Reclaim | Offer)}
    for name, line in strict_lines(each.snapshot).items():
        waits = next((at for at, key in enumerate(line) if key not in starts), len(line))
        for key in line[waits + 1 :]:
            if key in starts:
                yield f"{key} starts before {line[waits]} of queue {name}"


# Who makes way


def _sparable(rounds: list[Round], *, holds: bool) -> Iterator[str]:
    for number, each in enumerate(rounds):
        decisions = each.plan.decisions
        for at, claim in enumerate(decisions):
            # Room that is kept for a gang ahead is not to be had.
            kept = holds and any(isinstance(d, Wait) and d.reason in HOLDING for d in decisions[:at])
            if isinstance(claim, Reclaim) and claim.victims and not kept:
                victim = spared(each.snapshot, decisions[:at], claim)
                if victim is not None:
                    yield f"{victim.workload} was evicted for {claim.workload} in round {number} without need"


def _late(rounds: list[Round], *, holds: bool) -> Iterator[str]:
    """Claims of the second round that the first could have made when it decided that the workload waits."""
    first, second = rounds[:2]
    stood = {pod.uid for workload in first.snapshot.workloads.values() for pod in workload.placed}
    waited = {d.workload for d in first.plan.decisions if isinstance(d, Wait)}
    claims = [d for d in second.plan.decisions if isinstance(d, Reclaim) and d.victims and d.workload in waited]
    if not claims:
        return
    # Gangs grow, and are laid out anew for that, after all who wait were decided.
    snapshot = _as_needed(first.snapshot)
    lean = plan(snapshot, now_s=first.plan.now_s, settings=_EXACT if holds else _NO_HOLDS)
    at = {d.workload: number for number, d in enumerate(lean.decisions) if isinstance(d, Wait)}
    for claim in claims:
        gone = {uid for victim in claim.victims for uid in victim.pods}
        earlier = lean.decisions[: at.get(claim.workload, 0)]
        # Room that is kept for a gang ahead is not to be had; nor does a queue that keeps its order let others by.
        kept = holds and any(isinstance(d, Wait) and d.reason in HOLDING for d in earlier)
        kept = kept or claim.workload in held_back(snapshot)
        if gone <= stood and not kept and not broken_rules(snapshot, _longer(lean, earlier, claim)):
            yield f"{claim.workload} had to wait for a second round to have {len(gone)} pods leave"


def _longer(made: Plan, earlier: Sequence[Decision], claim: Reclaim) -> Plan:
    return msgspec.structs.replace(made, decisions=(*earlier, claim))


def _as_needed(snapshot: Snapshot) -> Snapshot:
    """Without members that wait and that their gangs can do without."""
    lean = dict(snapshot.workloads)
    for key, workload in snapshot.workloads.items():
        least = needed(workload, workload.pending)
        if workload.is_gang and 0 < len(least) < len(workload.pending):
            members = tuple(pod for pod in workload.members if pod.node is not None or pod.uid in least)
            lean[key] = msgspec.structs.replace(workload, members=members, size=len(members))
    return msgspec.structs.replace(snapshot, workloads=lean)


def _owed(last: Round, *, holds: bool) -> Iterator[str]:
    """At rest: who waits although work could lawfully make way."""
    snapshot = last.snapshot
    at_s = max((pod.bound_s or pod.created_s for w in snapshot.workloads.values() for pod in w.members), default=0)
    waits = [d for d in last.plan.decisions if isinstance(d, Wait)]
    first = next((at for at, d in enumerate(waits) if d.reason in HOLDING), len(waits)) if holds else len(waits)
    # Room that is kept for a gang ahead is not to be had.
    behind = {d.workload for d in waits[first + 1 :]} | held_back(snapshot)
    for key, workload in sorted(snapshot.workloads.items()):
        if workload.pending and key not in behind:
            found = could_claim(snapshot, workload, at_s)
            if found is not None:
                yield f"{key} waits at rest although {' and '.join(found)} could make way"


# What is left idle


def _wasted(snapshot: Snapshot, *, holds: bool) -> Iterator[str]:
    added = most_added(snapshot)
    gangs = [
        sum(pod.shape.requests.gpus for pod in least_pods(w))
        for w in snapshot.workloads.values()
        if holds and w.pending and w.is_gang
    ]
    most = max(gangs, default=0)
    if added > most:
        yield f"{added} GPUs more could be in use; the largest gang that waits is of {most}"


# Variations of the first round


def _varied(doc: ScenarioDoc, made: Plan, chance: Random, *, now_s: int, settings: PlanSettings) -> Iterator[Broken]:
    other = plan(_first(_renamed(doc, chance))[0], now_s=now_s, settings=settings)
    if sorted(map(_told, made.decisions)) != sorted(_told(d, 1) for d in other.decisions):
        yield "names", "the plan of the first round is another one"
    waiting = [w for w in doc.workloads if all(group.nodes is None for group in w.pods)]
    if not waiting:
        return
    one = chance.choice(waiting)
    alone = msgspec.structs.replace(doc, workloads=[w for w in doc.workloads if w is one or w not in waiting])
    if not _runs(alone, one.name):
        return
    for what, more in _more(alone, one.queue or "").items():
        if not _runs(more, one.name):
            yield "monotone", f"{one.name} alone could run, but not with {what}"


def _first(doc: ScenarioDoc) -> tuple[Snapshot, int]:
    """The snapshot of the first round, and when that is."""
    game = Simulation(doc, settings=_EXACT, clock_ns=lambda: 0)
    return game.snapshot, game.now_s


def _runs(doc: ScenarioDoc, name: str) -> bool:
    snapshot, now = _first(doc)
    starts = {
        str(d.workload).partition("/")[2]
        for d in plan(snapshot, now_s=now, settings=_EXACT).decisions
        if isinstance(d, Admit | Reclaim | Offer)
    }
    return name in starts or f"{name}-0" in starts


def _more(doc: ScenarioDoc, queue: str) -> dict[str, ScenarioDoc]:
    extra = NodeDoc(name="z", gpus=8, model=doc.nodes[0].model, labels={"rack": "r0"})
    by_name = {q.name: q for q in doc.queues}
    way: list[str] = []
    at: str | None = queue
    while at is not None and at in by_name:
        way.append(at)
        at = by_name[at].parent
    return {
        "one node more": msgspec.structs.replace(doc, nodes=[*doc.nodes, extra]),
        "4 GPUs of quota more": msgspec.structs.replace(
            doc, queues=[_richer(q) if q.name in way else q for q in doc.queues]
        ),
    }


def _richer(queue: QueueDoc) -> QueueDoc:
    """The queue with more of all that it states."""
    flavors = {
        name: msgspec.structs.replace(f, nominal=None if f.nominal is None else f.nominal + 4)
        for name, f in queue.flavors.items()
    }
    nominal = None if queue.nominal is None else queue.nominal + 4
    cpu, memory = (
        each if each is None or each.nominal is None else msgspec.structs.replace(each, nominal=each.nominal + 4)
        for each in (queue.cpu, queue.memory_gib)
    )
    return msgspec.structs.replace(queue, nominal=nominal, flavors=flavors, cpu=cpu, memory_gib=memory)


def _renamed(doc: ScenarioDoc, chance: Random) -> ScenarioDoc:
    """Other names that sort as before, and everything in another order."""
    nodes = [msgspec.structs.replace(n, name="x" + n.name) for n in doc.nodes]
    queues = [
        msgspec.structs.replace(q, name="x" + q.name, parent=None if q.parent is None else "x" + q.parent)
        for q in doc.queues
    ]
    workloads = [
        msgspec.structs.replace(
            w,
            name="x" + w.name,
            queue=None if w.queue is None else "x" + w.queue,
            pods=[
                msgspec.structs.replace(
                    g, nodes=None if g.nodes is None else [None if n is None else "x" + n for n in g.nodes]
                )
                for g in w.pods
            ],
        )
        for w in doc.workloads
    ]
    # In which order running pods are heard of decides which GPUs of their nodes they have.
    idle = [w for w in workloads if all(group.nodes is None for group in w.pods)]
    return msgspec.structs.replace(
        doc,
        nodes=chance.sample(nodes, len(nodes)),
        queues=chance.sample(queues, len(queues)),
        workloads=[w for w in workloads if w not in idle] + chance.sample(idle, len(idle)),
    )


def _told(decision: Decision, cut: int = 0) -> str:
    """What a decision comes to; `cut`: letters that every name has in front."""

    def short(name: str) -> str:
        kind, _, rest = name.rpartition("/")
        return f"{kind}/{rest[cut:]}" if kind else rest[cut:]

    def pod(uid: str) -> str:
        return uid[cut:]

    match decision:
        case Admit() | Reclaim():
            where = sorted((pod(a.pod), a.node[cut:], a.devices) for a in decision.placement.assignments)
            gone = sorted(pod(uid) for v in getattr(decision, "victims", ()) for uid in v.pods)
            return f"{short(decision.workload)}: {type(decision).__name__} {where} {gone}"
        case Wait():
            return f"{short(decision.workload)}: waits, {decision.reason.value}"
        case _:
            return f"{short(decision.workload)}: {type(decision).__name__}"
