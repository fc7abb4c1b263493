"""Snapshots of any content, every field of every record drawn by its type: what is written is read again as it was."""

# ruff: noqa: ANN401  types and values of any kind

import types
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benchmarks.determinism import NOW_S, planned
from scheduler.model.demand import Kind, Request
from scheduler.model.names import NodeName
from scheduler.model.node import Node
from scheduler.model.queue import Queue
from scheduler.model.snapshot import BASE_RESOURCES, Columns, Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.simulate.snapshot import SnapshotFile, digest, read_snapshot, write_snapshot
from scheduler.simulate.snapshot_mask import masked
from tests.simulate.test_snapshot_mask import outlines
from tests.state.build import content

TEXTS = st.text(max_size=5)
WHOLE = st.integers(-(2**53), 2**53)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXTS,
    bool: st.booleans(),
    int: WHOLE,
    type(None): st.none(),
    Kind: st.builds(
        Kind,
        st.builds(
            Request,
            milli_cpu=st.integers(0, 2**53),
            memory=st.integers(0, 2**53),
            devices=st.integers(1, 2**53),
            share_milli=st.integers(1, 1000),
            models=st.lists(TEXTS, max_size=2).map(tuple),
        ),
        st.integers(1, 2**53),
    ),
}


@cache
def of_kind(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type that stands in the records of the model; records with every field drawn, defaults or not."""
    kind = getattr(kind, "__supertype__", kind)
    if kind in PLAIN:
        return PLAIN[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in {Union, types.UnionType}:
        return st.one_of([of_kind(each) for each in arguments])
    if origin is tuple and arguments[1:] != (Ellipsis,):
        return st.tuples(*map(of_kind, arguments))
    if origin is tuple:
        return st.lists(of_kind(arguments[0]), max_size=2).map(tuple)
    if origin is not None and issubclass(origin, AbstractSet):
        return st.frozensets(of_kind(arguments[0]), max_size=3)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(of_kind(arguments[0]), of_kind(arguments[1]), max_size=2)
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    assert issubclass(kind, msgspec.Struct), kind
    return st.builds(kind, **{name: of_kind(hint) for name, hint in get_type_hints(kind).items()})


TABLES = {"nodes", "columns", "workloads", "queues"}
"""Fields of a snapshot that have to fit each other; all others are drawn freely."""


@st.composite
def arrays(draw: st.DrawFn, values: st.SearchStrategy[Any], kind: npt.DTypeLike, *shape: int) -> npt.NDArray[Any]:
    size = int(np.prod(shape))
    made: npt.NDArray[Any] = np.array(draw(st.lists(values, min_size=size, max_size=size)), dtype=kind).reshape(shape)
    made.setflags(write=False)
    return made


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    names = tuple(map(NodeName, sorted(draw(st.frozensets(TEXTS, max_size=3)))))
    resources = (*BASE_RESOURCES, *sorted(draw(st.frozensets(TEXTS, max_size=2)) - set(BASE_RESOURCES)))
    wide = st.integers(-(2**63), 2**63 - 1)
    nodes, workloads, queues = of_kind(Node), of_kind(Workload), of_kind(Queue)
    others = {name: hint for name, hint in get_type_hints(Snapshot).items() if name not in TABLES}
    waiting: list[Workload] = draw(st.lists(workloads, max_size=2))
    quotas: list[Queue] = draw(st.lists(queues, max_size=2))
    return Snapshot(
        **{name: draw(of_kind(hint)) for name, hint in others.items()},
        nodes={name: replace(draw(nodes), name=name) for name in names},
        columns=Columns(
            names=names,
            row_of={name: row for row, name in enumerate(names)},
            resources=resources,
            allocatable=draw(arrays(wide, np.int64, len(names), len(resources))),
            used=draw(arrays(wide, np.int64, len(names), len(resources))),
            usable=draw(arrays(st.booleans(), np.bool_, len(names))),
        ),
        workloads={w.key: w for w in waiting},
        queues={q.name: q for q in quotas},
    )


@pytest.mark.long
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(snapshot=snapshots(), how=of_kind(PlanSettings))
def test_any_snapshot_is_read_as_it_was_written(snapshot: Snapshot, how: PlanSettings) -> None:
    file = SnapshotFile(now_s=1, settings=how, snapshot=snapshot)
    data = write_snapshot(file, compress=False)
    again = read_snapshot(data)
    assert isinstance(again, SnapshotFile), again
    assert content(again.snapshot) == content(snapshot)
    assert again.settings == how
    assert (again.snapshot.generation, again.snapshot.static_generation) == (
        snapshot.generation,
        snapshot.static_generation,
    )
    assert write_snapshot(again, compress=False) == data


@pytest.mark.parametrize("seeds", [range(at, at + 20) for at in range(0, 80, 20)], ids=str)
def test_the_plan_of_what_was_heard_of_is_made_again_bit_for_bit(seeds: range) -> None:
    for seed in seeds:
        snapshot, made = planned(seed)
        data = write_snapshot(SnapshotFile(now_s=NOW_S, snapshot=snapshot, plan_sha256=digest(made)), compress=True)
        file = read_snapshot(data)
        assert isinstance(file, SnapshotFile), file
        again = plan(file.snapshot, now_s=file.now_s, settings=file.settings)
        assert (again, digest(again)) == (made, file.plan_sha256)


@pytest.mark.parametrize("seeds", [range(at, at + 20) for at in range(0, 80, 20)], ids=str)
def test_the_masked_plan_of_what_was_heard_of_is_the_same_up_to_names(seeds: range) -> None:
    for seed in seeds:
        snapshot, _ = planned(seed)
        assert outlines(masked(snapshot)) == outlines(snapshot), seed
