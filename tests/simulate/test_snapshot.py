"""Snapshot files: what is written is read again, the same plan comes of it, and bad files are said in one sentence."""

import gzip
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.simulate.refusal import Refused
from scheduler.simulate.snapshot import SnapshotFile, digest, document, read_snapshot, write_snapshot
from tests.planning.random_clusters import Cluster, clusters
from tests.state.build import content, job, node, pod, queue, report, reserved, state_of

SETTINGS = PlanSettings(solver_budget_ms=500, seed=3)


def file_of(snapshot: Snapshot, **more: Any) -> SnapshotFile:  # noqa: ANN401  fields of a record
    return SnapshotFile(now_s=100, settings=SETTINGS, snapshot=snapshot, **more)


def read(data: bytes) -> SnapshotFile:
    file = read_snapshot(data)
    assert isinstance(file, SnapshotFile), file
    return file


def live() -> Snapshot:
    """A state as watches fill it: reports, foreign pods, a plan under way, a gang that a Job speaks for."""
    return state_of(
        node("n1", labels={"zone": "b"}),
        node("n2", labels={"zone": "a"}),
        report("n1", sick=[3], held=(0, 1)),
        queue("default", "a"),
        job("j", completions=2),
        pod("held", gpus=2, node="n1", bound_s=5),
        pod("j-0", owner_uid="j", index=0, gated=True, topology_required="zone"),
        pod("j-1", owner_uid="j", index=1, gated=True, topology_required="zone"),
        pod("flying", gpus=4),
        pod("waiting", gpus=8),
        reserved("pod:a/flying", ("flying", "n2", ()), milli_gpu=4000),
    ).snapshot()


@pytest.mark.parametrize("compress", [False, True])
def test_a_live_state_is_read_as_it_was_written(compress: bool) -> None:
    snapshot = live()
    file = read(write_snapshot(file_of(snapshot), compress=compress))
    assert content(file.snapshot) == content(snapshot)
    assert (file.snapshot.generation, file.settings, file.now_s) == (snapshot.generation, SETTINGS, 100)
    then, now = (plan(each, now_s=100, settings=SETTINGS) for each in (snapshot, file.snapshot))
    assert {type(d).__name__ for d in then.decisions} == {"Admit", "Wait"}
    assert now == then
    assert digest(now) == digest(then)


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(cluster=clusters())
def test_the_same_plan_comes_of_what_is_read(cluster: Cluster) -> None:
    snapshot = cluster.snapshot()
    data = write_snapshot(file_of(snapshot), compress=False)
    again = read(data)
    assert write_snapshot(again, compress=False) == data
    assert plan(again.snapshot, now_s=100, settings=again.settings) == plan(snapshot, now_s=100, settings=SETTINGS)


def test_what_is_read_cannot_be_changed() -> None:
    columns = read(write_snapshot(file_of(live()), compress=False)).snapshot.columns
    assert not any(table.flags.writeable for table in (columns.allocatable, columns.used, columns.usable))


def test_the_digest_tells_plans_apart() -> None:
    made = plan(live(), now_s=100, settings=SETTINGS)
    assert digest(made) != digest(msgspec.structs.replace(made, decisions=made.decisions[:-1]))
    assert [d["kind"] for d in document(made)["decisions"]] == [type(d).__name__ for d in made.decisions]


def spoilt(change: dict[str, Any], *path: str) -> bytes:
    """A file's text with `change` merged into the mapping at `path`."""
    whole: dict[str, Any] = msgspec.json.decode(write_snapshot(file_of(live()), compress=False))
    place = whole
    for step in path:
        place = place[step]
    place.update(change)
    return msgspec.json.encode(whole)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no snapshot file: Input data was truncated"),
        (b"name: a scenario", "no snapshot file: JSON is malformed: invalid character (byte 4)"),
        (b"\xff\xfe", "no snapshot file: JSON is malformed: invalid character (byte 0)"),
        (b"[]", "no snapshot file: Expected `object`, got `array`"),
        (b"{}", "no snapshot file: Object missing required field `format`"),
        (gzip.compress(b"{}" * 999, mtime=0)[:-9], "damaged gzip data: Compressed file ended before"),
        (spoilt({"format": "other"}), "format: 'other'; allowed: 'bayplan-snapshot'"),
        (spoilt({"version": 2, "written_by": "9.0"}), "version: 2 (written by Bayplan 9.0); this Bayplan reads"),
        (spoilt({"now_s": "soon"}), "a damaged snapshot: Expected `int`, got `str` - at `$.now_s`"),
        (spoilt({"used": {"shape": [2, 2], "values": [1]}}, "snapshot", "columns"), "a damaged snapshot: cannot resh"),
        (spoilt({"used": {"shape": [1], "values": [2**63]}}, "snapshot", "columns"), "a damaged snapshot: values are"),
        (spoilt({"usable": {"shape": [2], "values": [1, 0]}}, "snapshot", "columns"), "a damaged snapshot: values ar"),
        (spoilt({"usable": {"shape": [1], "values": [True]}}, "snapshot", "columns"), "snapshot.columns.usable.shape"),
        (spoilt({"names": ["n2", "n1"]}, "snapshot", "columns"), "snapshot.columns.names: not sorted"),
        (spoilt({"row_of": {"n1": 1, "n2": 0}}, "snapshot", "columns"), "snapshot.columns.row_of: not the rows"),
        (spoilt({"resources": ["pods"]}, "snapshot", "columns"), "snapshot.columns.resources: pods; allowed: milli_c"),
        (spoilt({"name": "n9"}, "snapshot", "nodes", "n1"), "snapshot.nodes.n1.name: 'n9'; allowed: 'n1'"),
        (spoilt({"n9": {"name": "n9"}}, "snapshot", "nodes"), "snapshot.nodes: node 'n9' is either here or in"),
        (spoilt({"name": "b"}, "snapshot", "queues", "default"), "snapshot.queues.default.name: 'b'; allowed: 'defau"),
        (spoilt({"demand": [{"request": {}, "weight": 1}]}, "snapshot"), "snapshot.demand[0]: it asks for no GPU, or"),
        (spoilt({"color": 1}, "snapshot", "nodes", "n2"), "snapshot.nodes.n2.color: unknown key; the file may come"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(data: bytes, said: str) -> None:
    refused = read_snapshot(data)
    assert isinstance(refused, Refused), refused
    assert str(refused).startswith(said), refused
    assert "\n" not in str(refused)


def test_a_field_that_the_file_does_not_have_takes_its_default() -> None:
    whole: dict[str, Any] = msgspec.json.decode(write_snapshot(file_of(live()), compress=False))
    del whole["snapshot"]["nodes"]["n1"]["machine"]
    assert read(msgspec.json.encode(whole)).snapshot.nodes[node().name].machine == ""


def test_no_nodes_at_all() -> None:
    snapshot = state_of(pod("waiting"), queue("default")).snapshot()
    assert content(read(write_snapshot(file_of(snapshot), compress=False)).snapshot) == content(snapshot)
