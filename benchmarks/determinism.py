"""Whether equal input gives equal plans: 1,000 random clusters, each heard of in three orders and planned each time.

In the other orders all objects come mixed, and the entries of every mapping of the snapshot are mixed too. For some
of the clusters plans are made by further processes as well, in which Python gives strings other hashes, so that sets
are in another order. All plans are checked by code that knows no solver. No cluster is needed:
`python -m benchmarks.determinism [--clusters N]`.
"""

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from benchmarks import table
from benchmarks.random_input import events
from scheduler.model.plan import Plan
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from scheduler.simulate.snapshot import digest
from scheduler.state.cluster import ClusterState
from scheduler.state.events import Event, NodeRefused, Reserved

NAME = "determinism"

CLUSTERS = 1000
ORDERS = 2
"""Other orders in which each cluster is heard of."""

HASHED = 100
"""Clusters that are planned by further processes too."""

HASH_SEEDS = (1, 2, 3)
"""`PYTHONHASHSEED` of each of these processes."""

NOW_S = 100
_SETTINGS = PlanSettings()

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def run(*, quick: bool = False, clusters: int = CLUSTERS) -> list[table.Row]:
    """All figures; `quick`: few clusters."""
    count = 40 if quick else clusters
    hashed = min(HASHED // 5 if quick else HASHED, count)
    kinds: Counter[str] = Counter()
    proofs: Counter[str] = Counter()
    differing: list[int] = []
    broken: dict[int, str] = {}
    digests: list[str] = []
    began = time.perf_counter()
    for seed in range(count):
        snapshot, made = planned(seed)
        kinds.update(type(decision).__name__ for decision in made.decisions)
        proofs.update(status for d in made.decisions if (status := _status(d)) is not None)
        digests.append(digest(made))
        if any(digest(planned(seed, order=order)[1]) != digests[-1] for order in range(1, ORDERS + 1)):
            differing.append(seed)
        if wrong := broken_rules(snapshot, made):
            broken[seed] = wrong[0]
    took_s = time.perf_counter() - began
    decisions = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    return [
        _row(
            f"plans that differ of {count}, input in {ORDERS} other orders",
            differing,
            note=f"{decisions}; {table.figure(took_s)} s",
            detail={"decisions": dict(kinds), "proofs": dict(proofs), "clusters": count},
        ),
        _row(
            f"plans that differ of {hashed}, strings hashed in {len(HASH_SEEDS)} other ways",
            _differing_by_hash(digests[:hashed]),
        ),
        _row(f"plans that break a rule, of {count}", list(broken), note=next(iter(broken.values()), "")),
    ]


def planned(seed: int, *, order: int = 0) -> tuple[Snapshot, Plan]:
    """The plan of the cluster `seed`, heard of in some order; 0 is the one in which it was made."""
    happened = events(seed)
    if order:
        chance = Random(1_000_003 * order + seed)
        snapshot = _stirred(_snapshot(_reordered(happened, chance)), chance)
    else:
        snapshot = _snapshot(happened)
    # The generation counts what was heard.
    snapshot = replace(snapshot, generation=1)
    return snapshot, plan(snapshot, now_s=NOW_S, settings=_SETTINGS)


def _snapshot(happened: Sequence[Event]) -> Snapshot:
    state = ClusterState()
    for event in happened:
        state.apply(event)
    return state.snapshot()


def _reordered(happened: Sequence[Event], chance: Random) -> list[Event]:
    """Watches of several kinds of objects keep no order among each other; what the planner did comes after both."""
    own = [event for event in happened if isinstance(event, Reserved | NodeRefused)]
    objects = [event for event in happened if event not in own]
    return [*chance.sample(objects, len(objects)), *chance.sample(own, len(own))]


def _stirred(snapshot: Snapshot, chance: Random) -> Snapshot:
    """The same snapshot with every mapping in another order."""
    values: dict[str, Any] = {name: getattr(snapshot, name) for name in snapshot.__struct_fields__}
    mappings = {
        name: _mixed(cast("Mapping[Any, Any]", value), chance)
        for name, value in values.items()
        if isinstance(value, Mapping)
    }
    nodes = {name: replace(node, labels=_mixed(node.labels, chance)) for name, node in mappings.pop("nodes").items()}
    row_of = _mixed(snapshot.columns.row_of, chance)
    return replace(snapshot, nodes=nodes, columns=replace(snapshot.columns, row_of=row_of), **mappings)


def _mixed(mapping: Mapping[_Key, _Value], chance: Random) -> dict[_Key, _Value]:
    return dict(chance.sample(list(mapping.items()), len(mapping)))


def _status(decision: object) -> str | None:
    placement = getattr(decision, "placement", None)
    return None if placement is None else placement.proof.status


def _differing_by_hash(digests: Sequence[str]) -> list[int]:
    """Clusters of which some other process makes another plan."""
    found: set[int] = set()
    for seed in HASH_SEEDS:
        made = subprocess.run(
            [sys.executable, "-m", "benchmarks.determinism", "--digests", "--clusters", str(len(digests))],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            stdout=subprocess.PIPE,
            check=True,
        )
        others = msgspec.json.decode(made.stdout, type=list[str])
        found |= {at for at, (one, other) in enumerate(zip(digests, others, strict=True)) if one != other}
    return sorted(found)


def _row(what: str, found: Sequence[int], *, note: str = "", detail: Mapping[str, Any] | None = None) -> table.Row:
    which = f"clusters {', '.join(map(str, found[:5]))}" if found else ""
    return table.Row(
        benchmark=NAME,
        what=what,
        unit="",
        value=len(found),
        limit=table.Limit(most=0),
        note="; ".join(filter(None, [which, note])),
        detail={"found": list(found), **(detail or {})},
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run it by itself."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.determinism", description=__doc__)
    parser.add_argument("--clusters", type=int, default=CLUSTERS, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--digests", action="store_true", help="print the digests of the plans, as JSON, and no more")
    arguments = parser.parse_args(argv)
    if arguments.digests:
        made = [digest(planned(seed)[1]) for seed in range(arguments.clusters)]
        sys.stdout.buffer.write(msgspec.json.encode(made))
        return 0
    rows = run(clusters=arguments.clusters)
    print(table.text(table.machine(), rows))
    return int(any(row.verdict == "over" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
