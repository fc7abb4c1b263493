"""Queues as the API server has them: what is read, and what is refused by name."""

import json
from typing import Any

import pytest

from scheduler.kube.translate_queue import read_queue
from scheduler.model.queue import Queue, Quota
from scheduler.model.workload import Requirement


def queue(spec: Any, *, name: str = "team") -> Queue:  # noqa: ANN401  whatever people write
    document = {"metadata": {"name": name, "generation": 3}, "spec": spec}
    return read_queue(json.dumps(document).encode())[1].queue


def test_cpu_and_memory_are_flavors_in_units_of_their_own() -> None:
    read = queue({"cpu": {"nominal": 4, "borrowingLimit": 0}, "memory": {"lendingLimit": 2}})
    assert read.flavors == (
        ("cpu", Quota(nominal_milli_gpu=4000, borrowing_limit_milli_gpu=0)),
        ("memory", Quota(given=False, lending_limit_milli_gpu=2048)),
    )


def test_a_selector_is_a_list_of_requirements() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["gold", "red"]},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    read = queue({"namespaceSelector": {"matchLabels": {"team": "vision"}, "matchExpressions": expressions}})
    assert read.namespace_selector == (
        Requirement(key="old", operator="DoesNotExist"),
        Requirement(key="team", operator="In", values=("vision",)),
        Requirement(key="tier", operator="In", values=("gold", "red")),
    )
    assert (queue({}).namespace_selector, queue({"namespaceSelector": {}}).namespace_selector) == (None, ())


def test_a_user_limit_is_in_gpus() -> None:
    assert queue({"userLimit": 4}).user_limit_milli_gpu == 4000
    assert queue({}).user_limit_milli_gpu is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"nominal": "8"}, "spec.nominal is '8'; allowed: a whole number, or left out"),
        ({"nominal": 1.5}, "spec.nominal is '1.5'; allowed: a whole number, or left out"),
        ({"nominal": -1}, "spec.nominal is '-1'; allowed: a whole number from 0 to 1000000, or left out"),
        (
            {"borrowingLimit": 2**63},
            f"spec.borrowingLimit is '{2**63}'; allowed: a whole number from 0 to 1000000, or left out",
        ),
        (
            {"flavors": [{"name": "H100", "lendingLimit": -2}]},
            "spec.flavors[H100].lendingLimit is '-2'; allowed: a whole number from 0 to 1000000, or left out",
        ),
        ({"flavors": [{"name": "H"}, {"name": "H"}]}, "spec.flavors is 'H'; allowed: each kind of GPU once"),
        (
            {"flavors": [{"name": "cpu"}]},
            "spec.flavors is 'cpu'; allowed: GPU models and MIG profiles; use spec.cpu",
        ),
        ({"cpu": {"nominal": -4}}, "spec.cpu.nominal is '-4'; allowed: a whole number from 0 to 1000000, or left out"),
        ({"parent": "team"}, "spec.parent is 'team'; allowed: another queue, or none"),
        ({"weight": 0}, "spec.weight is '0'; allowed: a whole number from 1 to 1000000, or left out"),
        (
            {"priority": 10**12},
            f"spec.priority is '{10**12}'; allowed: a whole number from -1000000000 to 1000000000, or left out",
        ),
        (
            {"minRuntimeSeconds": -1},
            "spec.minRuntimeSeconds is '-1'; allowed: a whole number from 0 to 315360000, or left out",
        ),
        ({"userLimit": -1}, "spec.userLimit is '-1'; allowed: a whole number from 0 to 1000000, or left out"),
        ({"order": "Random"}, "spec.order is 'Random'; allowed: Fair or StrictFIFO"),
        ({"policy": "Any"}, "spec.policy is 'Any'; allowed: TopologyPreserving"),
        ({"namespaces": "vision"}, "spec.namespaces is 'vision'; allowed: a list"),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}},
            "spec.namespaceSelector.matchExpressions[0].operator is 'Is'; allowed: In or NotIn or Exists",
        ),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
            "spec.namespaceSelector.matchExpressions[0].values is ''; allowed: at least one value for In and NotIn",
        ),
        ([], "spec is '[]'; allowed: a mapping"),
    ],
)
def test_what_cannot_be_used_is_quoted(spec: Any, said: str) -> None:  # noqa: ANN401  whatever people write
    read = queue(spec)
    assert [str(problem)[: len(said)] for problem in read.problems] == [said]
    assert read.generation == 3


@pytest.mark.parametrize("spec", [{}, {"nominal": -1}, {"nominal": "8"}])
def test_what_keeps_a_queue_and_whether_it_was_deleted_is_read_whatever_its_spec(spec: Any) -> None:  # noqa: ANN401
    meta = {"name": "team", "uid": "u", "finalizers": ["x", "bayplan.dev/in-use"]}
    deleted = {**meta, "deletionTimestamp": "2026-11-21T20:00:00Z"}
    alive, ending, free = (
        read_queue(json.dumps({"metadata": each, "spec": spec}).encode())[1].queue
        for each in (meta, deleted, {"name": "team", "finalizers": ["x"]})
    )
    assert (alive.uid, alive.held, alive.ending) == ("u", True, False)
    assert (ending.held, ending.ending) == (True, True)
    assert (free.uid, free.held, free.ending) == ("", False, False)


def test_below_which_queue_it_was_said_to_stand_is_read_back() -> None:
    document = {"metadata": {"name": "team"}, "spec": {"parent": "nowhere"}, "status": {"parent": "org"}}
    read = read_queue(json.dumps(document).encode())[1].queue
    assert (read.parent, read.parent_before, queue({}).parent_before) == ("nowhere", "org", None)


def test_the_time_to_save_work_may_be_left_to_others() -> None:
    assert queue({"evictionGraceSeconds": 0}).eviction_grace_s == 0
    assert queue({"evictionGraceSeconds": 30}).eviction_grace_s == 30
    assert queue({}).eviction_grace_s is None
    (problem,) = queue({"evictionGraceSeconds": 86_401}).problems
    assert str(problem) == (
        "spec.evictionGraceSeconds is '86401'; allowed: a whole number from 0 to 86400, or left out"
    )
