import json

import pytest

from benchmarks.table import Limit, Row, Verdict, cells, document, figure, machine, ratio, text


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0, "0"), (0.01234, "0.0123"), (1.5, "1.5"), (2, "2"), (12.345, "12.3"), (1234.5, "1234"), (600, "600")],
)
def test_three_digits(amount: float, shown: str) -> None:
    assert figure(amount) == shown


@pytest.mark.parametrize(
    ("row", "verdict", "budget"),
    [
        pytest.param(Row(benchmark="b", what="w", unit="s", value=9), "", "", id="no budget"),
        pytest.param(
            Row(benchmark="b", what="w", unit="s", value=2, limit=Limit(most=2)), "ok", "≤ 2 s", id="at the limit"
        ),
        pytest.param(
            Row(benchmark="b", what="w", unit="s", value=2.1, limit=Limit(most=2)), "over", "≤ 2 s", id="above"
        ),
        pytest.param(
            Row(benchmark="b", what="w", unit="s", value=9, ratio=1.5, limit=Limit(most=1.5, of_ratio=True)),
            "ok",
            "≤ 1.5 x",
            id="the ratio counts",
        ),
        pytest.param(
            Row(benchmark="b", what="w", unit="1/s", value=9, ratio=0.4, limit=Limit(least=0.5, of_ratio=True)),
            "over",
            "≥ 0.5 x",
            id="below the least",
        ),
        pytest.param(
            Row(benchmark="b", what="w", unit="s", value=None, limit=Limit(most=2)), "over", "≤ 2 s", id="no figure"
        ),
    ],
)
def test_a_budget_is_kept_or_not(row: Row, verdict: Verdict, budget: str) -> None:
    assert row.verdict == verdict
    assert cells(row)[5] == budget


def test_a_ratio_needs_both_figures() -> None:
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(None, 2.0) is None
    assert ratio(3.0, None) is None
    assert ratio(3.0, 0.0) is None


def test_the_table_and_the_document_say_the_same() -> None:
    row = Row(benchmark="b", what="all bound", unit="s", value=3.0, baseline=2.0, ratio=1.5, detail={"runs": [3.0]})
    facts = machine()
    assert int(facts["cores"]) >= 1
    lines = text(facts, [row]).splitlines()
    assert lines[-1].split() == ["b", "all", "bound", "3", "s", "2", "s", "1.50", "x"]
    read = json.loads(document(facts, [row]))
    assert read["rows"][0]["ratio"] == 1.5
    assert read["rows"][0]["verdict"] == ""
    assert read["machine"] == facts
