"""Pods and templates of pods in manifests for other schedulers."""

import yaml

from scheduler.migrate.collect import Unreadable, manifests_of
from scheduler.migrate.records import Found
from scheduler.migrate.report import report


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


def test_a_key_that_is_not_read_is_quoted() -> None:
    (found,) = found_in(job(annotations={"gpu-fraction": "0.5"}))
    assert found.dialect == "KAI"
    (note,) = found.notes
    assert (note.kind, note.path, note.value) == ("no equivalent", "annotations[gpu-fraction]", '"0.5"')


def test_a_resource_of_another_scheduler_is_quoted() -> None:
    (found,) = found_in(job({"volcano.sh/vgpu-memory": 4000}))
    assert [(note.path, note.value) for note in found.notes] == [("resources[volcano.sh/vgpu-memory]", "4000")]


def test_a_value_of_our_own_that_cannot_be_read_is_quoted() -> None:
    (found,) = found_in(job(annotations={"bayplan.dev/duration": "6 horses"}))
    (note,) = found.notes
    assert (note.kind, note.value) == ("unreadable", '"6 horses"')
    assert note.path.startswith("spec.template.")


def test_a_template_that_is_no_pod_is_told() -> None:
    (found,) = found_in(job({"nvidia.com/gpu": "eight"}))
    assert [note.kind for note in found.notes] == ["unreadable"]


def test_templates_are_found_wherever_they_stand() -> None:
    text = """
    apiVersion: ray.io/v1
    kind: RayCluster
    metadata: {name: r, labels: {kueue.x-k8s.io/cluster-name: x}}
    spec:
      headGroupSpec: {template: {spec: {schedulerName: a, containers: [{name: c}]}}}
      workerGroupSpecs:
      - replicas: 2
        template:
          metadata: {annotations: {mps: "true", gpu-memory: "100"}}
          spec: {containers: [{name: c}]}
    """
    (found,) = found_in(text)
    assert found.schedulers == ("a", "default-scheduler")
    assert found.dialect == "KAI and Kueue"
    assert {note.path for note in found.notes} == {
        "annotations[gpu-memory]",
        "metadata.labels[kueue.x-k8s.io/cluster-name]",
    }


def test_what_says_nothing_of_pods_is_counted_alone() -> None:
    manifests = manifests_of("f", "{apiVersion: v1, kind: Service, metadata: {name: s}}")
    assert not isinstance(manifests, Unreadable)
    made = report(manifests, scheduler_name="bayplan")
    assert (made.found, made.others) == ((), {"Service": 1})
