"""Reads the node and pod lists of an openb trace (alibaba/clusterdata, cluster-trace-gpu-v2023), or says why not."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from scheduler.model.demand import Request
from scheduler.model.resources import MILLI_GPU
from scheduler.simulate.refusal import Refused

MOST_GPUS = 128
"""More GPUs in one node than this are taken for a mistake."""

_MOST = 2**40
"""Amounts above this are taken for a mistake; sums of many such still fit in 64 bits."""

Read = TypeVar("Read")


class TraceNode(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A node of a trace, empty at the start."""

    name: str
    milli_cpu: int
    memory_mib: int
    gpus: int
    model: str


class TracePod(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A pod of a trace; its request's memory is in MiB."""

    name: str
    request: Request


class _BadCellError(ValueError):
    """A cell that cannot be used: the column, what stands there, what is allowed."""

    def __init__(self, column: str, value: str, allowed: str) -> None:
        super().__init__(f"{column} is {value!r}; allowed: {allowed}")


def read_nodes(text: str) -> list[TraceNode] | Refused:
    """The nodes of `sn,cpu_milli,memory_mib,gpu,model`, sorted by name."""
    nodes = _read(text, ("sn", "cpu_milli", "memory_mib", "gpu", "model"), _node, lambda node: node.name)
    if isinstance(nodes, Refused):
        return nodes
    if not any(node.gpus for node in nodes):
        return Refused(where="", why="no node with a GPU is listed; a replay needs one")
    return sorted(nodes, key=lambda node: node.name)


def read_pods(text: str) -> list[TracePod] | Refused:
    """The pods of `name,cpu_milli,memory_mib,num_gpu,gpu_milli[,gpu_spec]`, in the order of the file."""
    return _read(text, ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"), _pod, lambda pod: pod.name)


def _node(row: dict[str, str]) -> TraceNode:
    return TraceNode(
        name=_name(row, "sn"),
        milli_cpu=_whole(row, "cpu_milli"),
        memory_mib=_whole(row, "memory_mib"),
        gpus=_whole(row, "gpu", most=MOST_GPUS),
        model=row["model"].strip(),
    )


def _pod(row: dict[str, str]) -> TracePod:
    """As the trace's own tools read it: no share is meant where no GPU is, and a share is at most a whole GPU."""
    gpus = _whole(row, "num_gpu", most=MOST_GPUS)
    share = min(_whole(row, "gpu_milli", empty=0), MILLI_GPU) if gpus else MILLI_GPU
    if gpus and not share:
        raise _BadCellError("gpu_milli", row["gpu_milli"], f"1 to {MILLI_GPU} where num_gpu is above 0")
    models = {model for model in row.get("gpu_spec", "").split("|") if model} if gpus else set[str]()
    return TracePod(
        name=_name(row, "name"),
        request=Request(
            milli_cpu=_whole(row, "cpu_milli"),
            memory=_whole(row, "memory_mib"),
            devices=gpus,
            share_milli=share,
            models=tuple(sorted(models)),
        ),
    )


def _read(
    text: str, columns: Sequence[str], make: Callable[[dict[str, str]], Read], name: Callable[[Read], str]
) -> list[Read] | Refused:
    """One record a line; names may stand only once."""
    try:
        lines = list(_lines(text))
    except csv.Error as err:
        return Refused(where="", why=f"no readable CSV: {err}")
    if not lines:
        return Refused(where="", why=f"empty; the first line has to name the columns {','.join(columns)}")
    (_, head), *rest = lines
    missing = [column for column in columns if column not in head]
    if missing:
        return Refused(
            where="line 1", why=f"the columns are {','.join(head)!r}; {','.join(missing)} must be among them"
        )
    found: dict[str, Read] = {}
    for number, cells in rest:
        where = f"line {number}"
        if len(cells) != len(head):
            return Refused(where=where, why=f"{len(cells)} cells; allowed: {len(head)}, as in the first line")
        try:
            record = make(dict(zip(head, cells, strict=True)))
        except _BadCellError as err:
            return Refused(where=where, why=str(err))
        if name(record) in found:
            return Refused(where=where, why=f"the name {name(record)!r} stands twice; allowed: once")
        found[name(record)] = record
    return list(found.values())


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Every line that is not blank, with its number."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def _name(row: dict[str, str], column: str) -> str:
    value = row[column].strip()
    if not value:
        raise _BadCellError(column, row[column], "a name")
    return value


def _whole(row: dict[str, str], column: str, *, empty: int | None = None, most: int = _MOST) -> int:
    """The whole number of a cell; one with a decimal point is rounded down, as the trace writes some."""
    text = row[column].strip()
    if not text and empty is not None:
        return empty
    try:
        value = int(text) if text.isdecimal() else int(float(text))
    except (ValueError, OverflowError):
        value = -1
    if not 0 <= value <= most or text.startswith("-"):
        raise _BadCellError(column, row[column], f"a whole number from 0 to {most}")
    return value
