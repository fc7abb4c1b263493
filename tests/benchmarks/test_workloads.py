import json
from pathlib import Path

import pytest

from benchmarks.workloads import (
    BadWorkloadError,
    Case,
    batch,
    fill,
    own_dialect,
    read_cases,
    read_dialect,
    setup_objects,
)

CASE = Case(name="c", what="w", nodes=2, pods=3, gpus=8, gang=True, repetitions=1)


def test_the_cases_are_those_with_budgets_and_grow() -> None:
    cases = read_cases(quick=False)
    assert [case.nodes for case in cases] == sorted(case.nodes for case in cases)
    assert {(case.pods, case.nodes) for case in cases} == {(512, 512), (512, 5000), (2000, 512)}
    assert all(case.pods * case.gpus <= case.nodes * 8 for case in [*cases, *read_cases(quick=True)])


def test_every_scheduler_gets_the_same_pods_but_for_its_marks() -> None:
    plain = [json.loads(pod) for pod in batch(CASE, own_dialect("default"), "r").pods]
    ours = [json.loads(pod) for pod in batch(CASE, own_dialect("bayplan"), "r").pods]
    assert [p["metadata"]["name"] for p in ours] == ["r-0000", "r-0001", "r-0002"]
    assert ours[0]["metadata"]["labels"] == {"run": "r", "bayplan.dev/gang": "r"}
    assert ours[0]["metadata"]["annotations"] == {"bayplan.dev/gang-size": "3"}
    assert ours[0]["spec"].pop("schedulerName") == "bayplan"
    assert plain[0]["spec"].pop("schedulerName") == "default-scheduler"
    assert ours[0]["spec"] == plain[0]["spec"]
    assert plain[0]["metadata"]["labels"] == {"run": "r"}


def test_pods_of_no_gang_carry_no_marks_of_one() -> None:
    alone = Case(name="c", what="w", nodes=2, pods=3, gpus=1, repetitions=1)
    made = batch(alone, own_dialect("volcano"), "r")
    assert list(made.objects) == []
    pod = json.loads(made.pods[0])
    assert pod["metadata"]["annotations"] == {"scheduling.volcano.sh/queue-name": "default"}


def test_objects_of_a_gang_know_its_size_as_a_number() -> None:
    (group,) = batch(CASE, own_dialect("volcano"), "r").objects
    assert group["metadata"] == {"name": "r", "namespace": "bench"}
    assert group["spec"]["minMember"] == 3


@pytest.mark.parametrize("name", ["default", "bayplan", "volcano", "kai", "coscheduling"])
def test_every_dialect_is_read_and_filled(name: str) -> None:
    dialect = own_dialect(name)
    text = json.dumps([setup_objects(dialect), [p.decode() for p in batch(CASE, dialect, "r").pods]])
    assert "{gang}" not in text
    assert "{size}" not in text
    assert "{namespace}" not in text


def test_filling_keeps_types_and_leaves_others_alone() -> None:
    template = {"a": "{n}", "b": ["x-{n}", 7, None, "{other}"], "c": {"d": "{t}"}}
    assert fill(template, {"n": 3, "t": "u"}) == {"a": 3, "b": ["x-3", 7, None, "{other}"], "c": {"d": "u"}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("schedulerName: x\ngnag: {}", "unknown field `gnag`"),
        ("gang: {}", "required field `schedulerName`"),
        ("{", "is no YAML"),
    ],
)
def test_a_dialect_that_cannot_be_used_is_refused_by_name(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "dialect.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadWorkloadError, match=words):
        read_dialect(path)


def test_a_dialect_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadWorkloadError, match=r"cannot read .*nothing\.yaml.*No such file"):
        read_dialect(tmp_path / "nothing.yaml")
