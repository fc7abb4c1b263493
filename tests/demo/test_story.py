from pathlib import Path

import pytest

from scheduler.config import load_settings
from scheduler.demo.story import SETTINGS, Work, WorkName, read_story
from scheduler.model.resources import GPU
from tests.demo.cases import work

DATA = Path(__file__).parents[2] / "scheduler" / "demo" / "data"
PROMISES = """
timeLimitSeconds: 9
workloads: [{{name: team/a, what: job, ends: completed{more}}}]
"""
POD = """
kind: Pod
metadata: {name: a, namespace: team, labels: {app: a}}
spec: {containers: [{resources: {limits: {nvidia.com/gpu: "1"}}}]}
"""


def files(folder: Path, *, more: str = "", pod: str = POD) -> Path:
    (folder / "story.yaml").write_text(PROMISES.format(more=more), encoding="utf-8")
    (folder / "workloads.yaml").write_text(pod, encoding="utf-8")
    (folder / "teams.yaml").write_text("kind: Namespace\nmetadata: {name: team}\n", encoding="utf-8")
    return folder


def test_the_story_has_what_the_demo_is_to_show() -> None:
    told = read_story()
    assert list(told.namespaces) == ["language", "vision", "search"]
    first, second = told.work[WorkName("language/pretrain")], told.work[WorkName("language/finetune")]
    assert first.gang
    assert second.gang
    assert first.asks == second.asks == "4 x 8 GPU"
    assert second.promise.starts_after == first.name
    assert told.work[WorkName("search/embedder")].asks == "6 x mig-1g.10gb"
    assert told.work[WorkName("vision/notebook-ada")].asks == "1 GPU"
    assert not told.work[WorkName("search/reindex")].gang
    borrower = told.work[WorkName("search/crawler")]
    assert (borrower.gang, borrower.promise.makes_way_for) == (True, "language/label")
    failing = told.work[WorkName("language/translator")]
    assert (failing.gang, failing.leaves) == (True, "left a node that failed (lost:2)")
    assert load_settings(SETTINGS).on_failing_devices == "replan"
    assert {w.promise.ends for w in told.work.values()} == {"completed", "running", "waiting"}


def test_every_pod_is_found_by_its_label() -> None:
    for name, told in read_story().work.items():
        manifest = told.manifest
        template = manifest if manifest["kind"] == "Pod" else manifest["spec"]["template"]
        assert f"{told.team}/{template['metadata']['labels']['app']}" == name
        assert template["spec"]["schedulerName"] == "bayplan"


def test_what_is_promised_must_be_there_and_what_is_there_must_be_promised(tmp_path: Path) -> None:
    assert list(read_story(files(tmp_path)).work) == ["team/a"]
    other = POD + "---" + POD.replace("name: a", "name: b")
    with pytest.raises(ValueError, match=r"team/b stands in one of story\.yaml and workloads\.yaml only"):
        read_story(files(tmp_path, pod=other))


@pytest.mark.parametrize("more", [", after: [team/nobody]", ", startsAfter: team/nobody", ", makesWayFor: team/nobody"])
def test_a_promise_about_nobody_is_refused(tmp_path: Path, more: str) -> None:
    with pytest.raises(ValueError, match=r"team/a names team/nobody, which is no workload"):
        read_story(files(tmp_path, more=more))


def test_a_fault_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'fault "lots:2" is unknown; allowed: lost'):
        read_story(files(tmp_path, more=', breaks: "lots:2"'))


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (work(pods=1, per_pod=1), "1 GPU"),
        (work(pods=4, per_pod=8), "4 x 8 GPU"),
        (work(pods=1, per_pod=2, device="nvidia.com/mig-1g.10gb"), "2 mig-1g.10gb"),
        (work(pods=6, per_pod=1, device="nvidia.com/mig-1g.10gb"), "6 x mig-1g.10gb"),
    ],
)
def test_what_it_asks_for_in_words(asked: Work, text: str) -> None:
    assert asked.asks == text
    assert asked.device.startswith(GPU) or "mig" in text
