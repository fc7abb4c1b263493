"""The benchmark of refusals: its clusters are what it says they are."""

import pytest

from benchmarks import refuse
from benchmarks.refuse import CASES, Case


@pytest.mark.parametrize("case", CASES[:2])
def test_every_node_is_full_and_someone_is_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    filling = refuse.filling(case)
    assert sum(pod.shape.requests.gpus for gang in filling for pod in gang.placed) == 8 * case.nodes
    monkeypatch.setattr(refuse, "CASES", (case,))
    row = refuse.refusals(repetitions=1)[0]
    assert "ended" in row.detail["detail"]
    assert row.limit is not None
