"""How commands speak."""

import json

import pytest

from scheduler.cli.output import facts, one_line, print_json, table


def test_one_line_has_no_line_breaks() -> None:
    assert one_line(" a\n\tb  c\n") == "a b c"


def test_json_keeps_the_order_of_keys(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"b": 1, "a": [None, "é"]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"b": 1, "a": [None, "é"]}
    assert out.index('"b"') < out.index('"a"')


def test_table_columns_stand_under_each_other_without_trailing_blanks() -> None:
    assert table(("NAME", "N"), [("a", "10"), ("longer", "")]) == "NAME    N\na       10\nlonger"


def test_facts_leave_out_what_is_empty() -> None:
    assert facts({"state": "waits", "node": "", "queue": "a"}) == "state: waits\nqueue: a"
