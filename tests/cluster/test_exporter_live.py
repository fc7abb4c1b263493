"""A failure of a simulated machine comes through a running exporter into the cluster, and goes again."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from scheduler.localcluster.api import Json
from scheduler.localcluster.waiting import until
from tests.cluster.harness.lab import Lab

pytestmark = pytest.mark.cluster

NODE = "h100-0"


@contextmanager
def exporter(lab: Lab, *faults: str) -> Generator[None]:
    command = [
        *(sys.executable, "-m", "scheduler", "exporter", "--machine=hgx_h100", f"--node-name={NODE}"),
        *(f"--kubeconfig={lab.cluster.exporter_kubeconfig(NODE)}", "--interval=1", "--log-level=error"),
        *(f"--break={fault}" for fault in faults),
    ]
    with subprocess.Popen(command, env={**os.environ}) as running:
        try:
            yield
        finally:
            running.terminate()
            assert running.wait(timeout=60) == 0


def status(lab: Lab) -> Json:
    return lab.api.get(f"/apis/bayplan.dev/v1alpha1/gpunodes/{NODE}")["status"]


def states(lab: Lab) -> list[str]:
    return [one["health"]["state"] for one in status(lab)["devices"]]


def test_a_failure_is_seen_live_and_mended_by_another_run(lab: Lab) -> None:
    lab.h100(1)
    before = status(lab)
    assert states(lab) == ["Healthy"] * 8
    with exporter(lab, "nvlink:3", "xid:5=79"):
        until(lambda: states(lab)[5] == "Unhealthy", timeout_s=60, what="the broken GPU")
        until(lambda: states(lab)[3] == "Suspect", timeout_s=60, what="the GPU without NVLinks")
        broken = status(lab)
    assert broken["generation"] > before["generation"]
    assert [one["uuid"] for one in broken["devices"]] == [one["uuid"] for one in before["devices"]]
    assert broken["devices"][5]["health"]["xids"] == [79]
    assert not [one for one in broken["links"] if one["type"] == "NVLink" and 3 in (one["a"], one["b"])]
    with exporter(lab):
        until(lambda: states(lab) == ["Healthy"] * 8, timeout_s=60, what="the mended GPUs")
    assert status(lab)["links"] == before["links"]
