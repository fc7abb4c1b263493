"""The benchmark of refusals: its clusters are what it says they are."""

import pytest

from benchmarks import claims, refuse
from benchmarks.refuse import CASES, Case


@pytest.mark.parametrize("case", CASES[:2])
def test_every_node_is_full_and_someone_is_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    filling = refuse.filling(case)
    assert sum(pod.shape.requests.gpus for gang in filling for pod in gang.placed) == 8 * case.nodes
    monkeypatch.setattr(refuse, "CASES", (case,))
    row = refuse.refusals(repetitions=1)[0]
    assert "ended" in row.detail["detail"]
    assert row.limit is not None


@pytest.mark.long
def test_work_makes_way_where_it_may_and_nowhere_else() -> None:
    rows = claims.rows(2, benchmark="refuse", limit_ms=1e9, nodes=160)
    assert [row.detail["victims"] for row in rows] == [0, 0, 8, 512, 8]
    assert [row.limit is not None for row in rows] == [True, True, False, False, False]
