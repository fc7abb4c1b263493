"""Where a pod's rank is read."""

from collections.abc import Mapping

import pytest

from scheduler.kube.translate_values import index

JOB = "batch.kubernetes.io/job-completion-index"
JOBSET = "jobset.sigs.k8s.io/job-global-index"
GROUP = "leaderworkerset.sigs.k8s.io/worker-index"
STATEFUL = "apps.kubernetes.io/pod-index"


@pytest.mark.parametrize(
    ("labels", "annotations", "rank"),
    [
        ({JOB: "3"}, {}, 3),
        ({}, {JOB: "3"}, 3),
        ({GROUP: "2", STATEFUL: "1"}, {}, 2),
        ({STATEFUL: "1"}, {}, 1),
        ({"training.kubeflow.org/replica-index": "0"}, {}, 0),
        ({}, {"volcano.sh/task-index": "5"}, 5),
        ({"kueue.x-k8s.io/pod-group-pod-index": "4"}, {}, 4),
        ({JOB: "x"}, {}, None),
        ({JOBSET: "1"}, {}, None),
        ({}, {}, None),
    ],
)
def test_sources(labels: Mapping[str, str], annotations: Mapping[str, str], rank: int | None) -> None:
    assert index(labels, annotations) == rank


def test_jobs_of_a_set_follow_each_other() -> None:
    ranks = [index({JOBSET: str(job), JOB: str(pod)}, {}) for job in range(3) for pod in (0, 1, 10)]
    assert None not in ranks
    assert ranks == sorted(ranks, key=lambda rank: rank or 0)
    assert len(set(ranks)) == len(ranks)
