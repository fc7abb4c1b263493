"""Files that hold all input of one plan, so that the plan can be made again elsewhere, bit for bit.

A file is one JSON document, gzip-compressed or not: what kind of file it is and of which version, the time and the
settings that were planned with, the names of the rules of the administrator's own, the digest of the plan that was
made, and the `Snapshot` with the field names of `scheduler.model`. A NumPy table is `{"shape": [rows, columns],
"values": [...]}`, row by row. Keys of mappings are sorted, so equal snapshots give equal bytes.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast, get_args, get_origin

import msgspec
import numpy as np
import numpy.typing as npt

from scheduler.model.plan import Plan
from scheduler.model.resources import MILLI_GPU
from scheduler.model.snapshot import BASE_RESOURCES, Columns, Snapshot
from scheduler.planning.settings import PlanSettings
from scheduler.simulate.refusal import Refused

FORMAT: Literal["bayplan-snapshot"] = "bayplan-snapshot"

VERSION = 1
"""Raised when an older reader would take a file for something else than it means."""

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_LEVEL = 6


class SnapshotFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds. `now_s`: seconds since 1970 that were planned with. `written_by`: the version of Bayplan.

    `filters` and `scores`: the rules of the administrator's own that took part, by name. `plan_sha256`: `digest` of
    the plan; empty where none was made. `masked`: names and texts are replaced.
    """

    format: Literal["bayplan-snapshot"] = FORMAT
    version: int = VERSION
    written_by: str = ""
    now_s: int
    masked: bool = False
    settings: PlanSettings = PlanSettings()
    filters: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    plan_sha256: str = ""
    snapshot: Snapshot


class _Head(msgspec.Struct):
    """What tells whether the rest can be read."""

    format: str
    version: int
    written_by: str = ""


class _Array(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A NumPy array in a file."""

    shape: tuple[int, ...]
    values: list[int | float | bool]


def write_snapshot(file: SnapshotFile, *, compress: bool) -> bytes:
    """The file's bytes; equal for equal content."""
    text = _encoder.encode(file)
    return gzip.compress(text, _GZIP_LEVEL, mtime=0) if compress else text


def read_snapshot(data: bytes) -> SnapshotFile | Refused:
    """The content of a file, or in one sentence why it cannot be used."""
    try:
        text = gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data
    except (OSError, EOFError, zlib.error) as err:
        return Refused(where="", why=f"damaged gzip data: {err}")
    try:
        head = msgspec.json.decode(text, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        return Refused(where="", why=f"no snapshot file: {err}")
    if head.format != FORMAT:
        return Refused(where="format", why=f"{head.format!r}; allowed: {FORMAT!r}")
    if head.version != VERSION:
        by = f" (written by Bayplan {head.written_by})" if head.written_by else ""
        return Refused(where="version", why=f"{head.version}{by}; this Bayplan reads version {VERSION}")
    try:
        file = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        return Refused(where="", why=f"a damaged snapshot: {err}")
    return next(_wrong(file.snapshot), None) or _lost(file, text) or file


def document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON's kinds of values, each decision with its `kind`."""
    decisions = [{"kind": type(d).__name__, **msgspec.to_builtins(d)} for d in plan.decisions]
    return {**msgspec.to_builtins(plan), "decisions": decisions}


def digest(plan: Plan) -> str:
    """SHA-256 of `document`, in hexadecimal: equal for equal plans only."""
    return hashlib.sha256(msgspec.json.encode(document(plan))).hexdigest()


def _wrong(snapshot: Snapshot) -> Iterator[Refused]:
    """What cannot be in a snapshot; each step may rely on what the steps before it found to be right."""
    columns = snapshot.columns
    if list(columns.names) != sorted(set(columns.names)):
        yield Refused(where="snapshot.columns.names", why="not sorted, or a name stands twice")
    if dict(columns.row_of) != {name: row for row, name in enumerate(columns.names)}:
        yield Refused(where="snapshot.columns.row_of", why="not the rows of names")
    if set(snapshot.nodes) != set(columns.names):
        odd = min(set(snapshot.nodes) ^ set(columns.names))
        yield Refused(where="snapshot.nodes", why=f"node {odd!r} is either here or in columns.names, not in both")
    for key, node in snapshot.nodes.items():
        if node.name != key:
            yield Refused(where=f"snapshot.nodes.{key}.name", why=f"{node.name!r}; allowed: {key!r}")
    for key, workload in snapshot.workloads.items():
        if workload.key != key:
            yield Refused(where=f"snapshot.workloads.{key}.key", why=f"{workload.key!r}; allowed: {key!r}")
    for key, queue in snapshot.queues.items():
        if queue.name != key:
            yield Refused(where=f"snapshot.queues.{key}.name", why=f"{queue.name!r}; allowed: {key!r}")
    yield from _wrong_demand(snapshot)
    yield from _wrong_tables(columns)


def _wrong_demand(snapshot: Snapshot) -> Iterator[Refused]:
    for at, kind in enumerate(snapshot.demand):
        request = kind.request
        amounts = min(kind.weight, request.devices) > 0 and min(request.milli_cpu, request.memory) >= 0
        if not amounts or not 0 < request.share_milli <= MILLI_GPU:
            yield Refused(where=f"snapshot.demand[{at}]", why="it asks for no GPU, or for an amount that cannot be")


def _wrong_tables(columns: Columns) -> Iterator[Refused]:
    named = columns.resources
    if named[: len(BASE_RESOURCES)] != BASE_RESOURCES or len(set(named)) != len(named):
        why = f"{', '.join(named)}; allowed: {', '.join(BASE_RESOURCES)}, and others once each"
        yield Refused(where="snapshot.columns.resources", why=why)
    nodes, resources = len(columns.names), len(named)
    wanted = {"allocatable": (nodes, resources), "used": (nodes, resources), "usable": (nodes,)}
    for name, shape in wanted.items():
        has: tuple[int, ...] = getattr(columns, name).shape
        if has != shape:
            yield Refused(where=f"snapshot.columns.{name}.shape", why=f"{list(has)}; allowed: {list(shape)}")


def _lost(file: SnapshotFile, text: bytes) -> Refused | None:
    """The first key of `text` that the records here do not have: passing it over could change the plan."""
    again = _encoder.encode(file)
    if again == text:
        return None
    return next(_unknown(msgspec.json.decode(text), msgspec.json.decode(again), ""), None)


def _unknown(given: object, kept: object, path: str) -> Iterator[Refused]:
    if isinstance(given, dict) and isinstance(kept, dict):
        known = cast("Mapping[str, object]", kept)
        for key, value in cast("Mapping[str, object]", given).items():
            here = f"{path}.{key}" if path else key
            if key not in known:
                yield Refused(where=here, why="unknown key; the file may come from a newer Bayplan")
            else:
                yield from _unknown(value, known[key], here)
    elif isinstance(given, list) and isinstance(kept, list):
        pairs = zip(cast("list[object]", given), cast("list[object]", kept), strict=False)
        for at, (one, other) in enumerate(pairs):
            yield from _unknown(one, other, f"{path}[{at}]")


def _encode_array(value: object) -> object:
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(f"a {type(value).__name__} cannot be written")
    array = cast("npt.NDArray[Any]", value)
    return {"shape": list(array.shape), "values": array.ravel().tolist()}


def _decode_array(kind: Any, value: object) -> object:  # noqa: ANN401  a type, as msgspec calls it
    if get_origin(kind) is not np.ndarray:
        raise NotImplementedError(f"a {kind} cannot be read")
    (wanted,) = get_args(get_args(kind)[1])
    array = msgspec.convert(value, _Array)
    made = np.array(array.values)
    # Only of no values the kind cannot be told.
    if made.size and made.dtype != wanted:
        raise ValueError(f"values are {made.dtype}; allowed: {np.dtype(wanted)}")
    table = made.astype(wanted).reshape(array.shape)
    table.setflags(write=False)
    return table


_encoder = msgspec.json.Encoder(enc_hook=_encode_array, order="deterministic")
_decoder = msgspec.json.Decoder(SnapshotFile, dec_hook=_decode_array)
