"""The reports that are taken in are whole, and all of them arrive."""

import pytest

from benchmarks import gpunode_intake
from scheduler.kube.translate_node import read_report
from scheduler.scoring.devices.machines import machine_graph


def test_the_reports_are_those_of_a_machine_with_all_its_links() -> None:
    first, second = (read_report(raw)[1] for raw in gpunode_intake.documents(2, changed=False))
    assert first.node != second.node
    assert [device.healthy for device in first.devices] == [True] * gpunode_intake.GPUS
    uuids = {device.uuid for seen in (first, second) for device in seen.devices}
    assert len(uuids) == 2 * gpunode_intake.GPUS
    assert first.links is not None
    known = machine_graph(gpunode_intake.MACHINE)
    assert known is not None
    assert first.links.nvlinks == known.nvlinks
    assert first.held == ()
    (changed,) = gpunode_intake.documents(1, changed=True)
    assert read_report(changed)[1].held == (("team/job-0", (0,)),)


def test_all_reports_are_taken_in_by_list_and_by_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpunode_intake, "FEW_NODES", 3)
    rows = gpunode_intake.run(quick=True)
    assert [row.what.split(",")[0] for row in rows[:2]] == ["list 3 GPUNodes", "watch 3 GPUNodes"]
    assert all(row.value is not None and row.value > 0 for row in rows)
    assert [row.limit is not None for row in rows] == [True, True, False, False]
