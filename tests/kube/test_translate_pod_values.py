"""Values on pods: what they mean, and what is said of those that cannot be read."""

import pytest

from scheduler.model.policy import POLICY_NAMES
from scheduler.model.workload import GangClaim, Pod
from tests.kube.pods import annotated, read


def said(pod: Pod) -> list[str]:
    return [str(p) for p in pod.problems]


SIZE = "annotation bayplan.dev/gang-size"
MODELS = "GPU models separated by commas, as the node label nvidia.com/gpu.product gives them"
LEVEL = "the name of a topology level, or a node label key"
TIME = "a time above 0 as in 45s, 90m, 2h30m or 3d, at most 3650d"


@pytest.mark.parametrize("text", ["four", "0", "-1", "4.0", "1e3", "150001", "99999999999999999999", "٤", " 4", ""])
def test_a_gang_size_that_is_none_is_quoted(text: str) -> None:
    pod = annotated({"bayplan.dev/gang-size": text}, {"bayplan.dev/gang": "g"})
    assert pod.gang == GangClaim(name="g", size=None)
    assert said(pod) == [f"{SIZE} is {text!r}; allowed: a whole number from 1 to 150000"]


@pytest.mark.parametrize(
    ("annotations", "labels", "sentence"),
    [
        (
            {"bayplan.dev/gang-size": "4"},
            {},
            f"{SIZE} is '4'; allowed: only beside the label bayplan.dev/gang with the gang's name",
        ),
        ({}, {"bayplan.dev/gang": ""}, "label bayplan.dev/gang is ''; allowed: the gang's name"),
        (
            {"bayplan.dev/linked": "yes"},
            {},
            "annotation bayplan.dev/linked is 'yes'; allowed: required or preferred",
        ),
        (
            {"bayplan.dev/gpu-model": "H100,,A100"},
            {},
            "annotation bayplan.dev/gpu-model is 'H100,,A100'; allowed: " + MODELS,
        ),
        (
            {"bayplan.dev/placement-policy": "BestFit"},
            {},
            "annotation bayplan.dev/placement-policy is 'BestFit'; allowed: " + POLICY_NAMES,
        ),
        (
            {"bayplan.dev/topology-required": " "},
            {},
            "annotation bayplan.dev/topology-required is ' '; allowed: " + LEVEL,
        ),
    ],
)
def test_what_cannot_be_read_is_quoted(annotations: dict[str, str], labels: dict[str, str], sentence: str) -> None:
    assert said(annotated(annotations, labels)) == [sentence]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45),
        ("90m", 5400),
        ("2h30m", 9000),
        ("3d", 259_200),
        ("1d2h3m4s", 93_784),
        ("3650d", 315_360_000),
        ("3651d", None),
        ("3600", None),
        ("0s", None),
        ("", None),
        ("30m2h", None),
        ("1.5h", None),
        ("-1h", None),
        ("99999999999s", None),
        ("soon", None),
    ],
)
def test_durations(text: str, seconds: int | None) -> None:
    pod = annotated({"bayplan.dev/duration": text})
    assert pod.duration_s == seconds
    wrong = f"annotation bayplan.dev/duration is {text!r}; allowed: {TIME}"
    assert said(pod) == ([] if seconds is not None else [wrong])


@pytest.mark.parametrize(
    ("told", "seconds"), [({}, 600), ({"bayplan.dev/duration": "5m"}, 300), ({"bayplan.dev/duration": "1h"}, 600)]
)
def test_what_is_ended_after_some_time_runs_no_longer(told: dict[str, str], seconds: int) -> None:
    assert read(meta={"annotations": told}, activeDeadlineSeconds=600).duration_s == seconds


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({"nvidia.com/gpu": "2"}, False),
        ({"nvidia.com/mig-1g.10gb": "1"}, False),
        ({"nvidia.com/mig-1g.10gb": "2"}, True),
        ({"nvidia.com/gpu.shared": "2"}, True),
        ({"nvidia.com/gpu": "1", "nvidia.com/mig-1g.10gb": "1"}, True),
    ],
)
def test_links_cannot_be_required_of_slices_and_parts(asked: dict[str, str], refused: bool) -> None:
    container = {"name": "main", "resources": {"requests": asked}}
    pod = read(containers=[container], meta={"annotations": {"bayplan.dev/linked": "required"}})
    wrong = (
        "annotation bayplan.dev/linked is 'required'; allowed: preferred, for a pod of MIG slices or parts of GPUs: "
        "these are never connected by NVLink"
    )
    assert said(pod) == ([wrong] if refused else [])


def test_a_very_long_value_is_quoted_in_part() -> None:
    assert len(said(annotated({"bayplan.dev/linked": "x" * 10_000}))[0]) < 300


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:01:40Z", 100),
        ("1970-01-01T01:01:40.75+01:00", 100),
        ("1970-01-01t00:01:40z", 100),
        ("1970-01-01T00:01:40", None),
        ("1970-02-31T00:01:40Z", None),
        ("1970-01-01", None),
        ("100", None),
        ("", None),
    ],
)
def test_when_a_pod_last_saved_its_work(text: str, seconds: int | None) -> None:
    pod = annotated({"bayplan.dev/checkpointed-at": text})
    assert pod.checkpointed_s == seconds
    wrong = f"annotation bayplan.dev/checkpointed-at is {text!r}; allowed: "
    assert [str(p).startswith(wrong) for p in pod.problems] == ([] if seconds is not None else [True])
