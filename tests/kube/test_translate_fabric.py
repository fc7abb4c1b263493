"""Cliques out of GPUNodes."""

import json

import pytest

from scheduler.exporter.report_links import fabric
from scheduler.kube.translate_node import read_report
from scheduler.kube.wire_report import ReportFabric
from tests.exporter.made import CLIQUE, device

UUID = "6ac45a3c-7c5b-4d8e-9b1a-0f2d3c4b5a69"
ZERO = "00000000-0000-0000-0000-000000000000"


def read(fabric: object) -> tuple[str, tuple[str, ...]]:
    document = {"metadata": {"name": "n1"}, "status": {} if fabric is None else {"fabric": fabric}}
    _, seen = read_report(json.dumps(document).encode())
    return seen.clique, seen.assumed


@pytest.mark.parametrize(
    ("told", "want"),
    [
        pytest.param(None, "", id="no fabric"),
        pytest.param({"state": "NotSupported"}, "", id="none is there"),
        pytest.param({"state": "Completed", "clusterUuid": None, "cliqueId": None}, "", id="HGX"),
        pytest.param({"state": "Completed", "clusterUuid": UUID, "cliqueId": "2"}, f"{UUID}.2", id="a clique"),
        pytest.param({"state": "Completed", "clusterUuid": UUID, "cliqueId": "0"}, f"{UUID}.0", id="the first clique"),
    ],
)
def test_a_clique_is_named_as_its_label_is(told: object, want: str) -> None:
    assert read(told) == (want, ())


@pytest.mark.parametrize(
    "told",
    [
        {"state": "InProgress", "clusterUuid": UUID, "cliqueId": "2"},
        {"state": "Completed", "clusterUuid": ZERO, "cliqueId": "0"},
        {"state": "Completed", "clusterUuid": UUID},
        {"state": "Completed", "cliqueId": "2"},
        {"clusterUuid": UUID, "cliqueId": "2"},
    ],
)
def test_what_is_no_clique_is_quoted(told: dict[str, str]) -> None:
    clique, (said,) = read(told)
    assert clique == ""
    assert said == (
        f"fabric has the clusterUuid {told.get('clusterUuid', '')!r}, the cliqueId {told.get('cliqueId', '')!r} and "
        f"the state {told.get('state', '')!r}; allowed together: both names, and Completed; no clique is assumed"
    )


def test_what_the_exporter_writes_is_read() -> None:
    made = fabric([device(0, fabric=CLIQUE), device(1, fabric=CLIQUE)])
    assert made == ReportFabric(state="Completed", cluster_uuid=CLIQUE.cluster_uuid, clique_id="2")
    assert made is not None
    assert read({"state": made.state, "clusterUuid": made.cluster_uuid, "cliqueId": made.clique_id}) == (
        f"{CLIQUE.cluster_uuid}.2",
        (),
    )
