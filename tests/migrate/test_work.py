"""Pods and templates of pods in manifests for other schedulers."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scheduler.migrate.collect import Unreadable, manifests_of, plain
from scheduler.migrate.records import Found, Manifest
from scheduler.migrate.report import report
from tests.migrate.odd import ODD, places


def found_in(text: str) -> list[Found]:
    manifests = manifests_of("f", text)
    assert not isinstance(manifests, Unreadable), manifests
    return list(report(manifests, scheduler_name="bayplan").found)


def job(limits: dict[str, object] | None = None, annotations: dict[str, str] | None = None) -> str:
    container = {"name": "c", "image": "i", "resources": {"limits": limits or {}}}
    template = {
        "metadata": {"annotations": annotations or {}},
        "spec": {"schedulerName": "kai-scheduler", "containers": [container]},
    }
    return yaml.safe_dump(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": template}}
    )


def test_a_plain_job_stays_the_same() -> None:
    (found,) = found_in(job({"nvidia.com/gpu": 8}))
    assert (found.kind, found.name, found.dialect, found.schedulers, found.notes) == (
        "Job",
        "j",
        "",
        ("kai-scheduler",),
        (),
    )
    assert found.becomes == "pods that stand alone"


def test_a_key_that_is_not_honoured_is_quoted_with_the_reason() -> None:
    (found,) = found_in(job({"nvidia.com/gpu": 1}, {"kai.scheduler/preemption-delay": "5m"}))
    (note,) = found.notes
    assert (note.kind, note.path, note.value) == (
        "no equivalent",
        "annotation kai.scheduler/preemption-delay",
        "'5m'",
    )
    assert note.why


def test_a_resource_of_another_scheduler_is_quoted() -> None:
    (found,) = found_in(job({"volcano.sh/vgpu-memory": 4000}))
    assert [(note.path, note.value) for note in found.notes] == [("resources[volcano.sh/vgpu-memory]", "4000")]


def test_a_value_that_cannot_be_read_is_quoted_with_what_is_allowed() -> None:
    (found,) = found_in(job(annotations={"bayplan.dev/duration": "6 horses"}))
    (note,) = found.notes
    assert (note.kind, note.value) == ("unreadable", "'6 horses'")
    assert "bayplan.dev/duration" in note.path
    assert note.why.startswith("allowed: ")


def test_a_pod_that_is_none_is_told() -> None:
    (found,) = found_in(job({"nvidia.com/gpu": "eight"}))
    assert [note.kind for note in found.notes] == ["unreadable"]
    assert "'eight'" in found.notes[0].why


VCJOB = """
apiVersion: batch.volcano.sh/v1alpha1
kind: Job
metadata: {name: train}
spec:
  minAvailable: 3
  queue: vision
  tasks:
  - name: worker
    replicas: 3
    template: {spec: {schedulerName: volcano, containers: [{name: c, resources: {limits: {nvidia.com/gpu: 8}}}]}}
"""


def test_a_gang_says_what_it_becomes() -> None:
    (found,) = found_in(VCJOB)
    assert (found.dialect, found.queue, found.notes) == ("", "vision", ()) or found.dialect == "Volcano"
    assert found.becomes.startswith("gang volcano/train")
    assert "in queue vision" in found.becomes


def test_a_queue_that_no_manifest_has_is_told_where_there_are_queues() -> None:
    queue = "{apiVersion: scheduling.volcano.sh/v1beta1, kind: Queue, metadata: {name: nlp}, spec: {weight: 1}}"
    (_, found) = found_in(f"{queue}\n---\n{VCJOB}")
    assert [(note.path, note.value) for note in found.notes] == [("queue", '"vision"')]
    (_, found) = found_in(f"{queue.replace('nlp', 'vision')}\n---\n{VCJOB}")
    assert found.notes == ()


def test_what_says_nothing_of_pods_is_counted_alone() -> None:
    manifests = manifests_of("f", "{apiVersion: v1, kind: Service, metadata: {name: s}}")
    assert not isinstance(manifests, Unreadable)
    made = report(manifests, scheduler_name="bayplan")
    assert (made.found, made.others) == ((), {"Service": 1})


@pytest.mark.parametrize(
    "text", [VCJOB, job({"nvidia.com/gpu": 1}, {"kai.scheduler/topology": "x"})], ids=["vc", "job"]
)
@given(data=st.data())
def test_whatever_stands_in_a_manifest_nothing_crashes(text: str, data: st.DataObject) -> None:
    document: Any = plain(yaml.safe_load(text))
    *way, last = data.draw(st.sampled_from([way for way in places(document) if way[0] in ("metadata", "spec")]))
    inside: Any = document
    for key in way:
        inside = inside[key]
    inside[last] = data.draw(ODD)
    report([Manifest(where="f", body=document)], scheduler_name="bayplan")
