import json

import pytest

from scheduler.kube.translate_sharing import NodeSharing, read_sharing


def node(**labels: str) -> bytes:
    named = {f"nvidia.com/{key.replace('__', '.').replace('_', '-')}": value for key, value in labels.items()}
    return json.dumps({"metadata": {"name": "n", "uid": "u", "labels": named}}).encode()


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ({}, NodeSharing(uid="u")),
        ({"gpu__replicas": "4"}, NodeSharing(uid="u")),
        ({"gpu__sharing_strategy": "none", "gpu__replicas": "1"}, NodeSharing(uid="u")),
        (
            {"gpu__sharing_strategy": "time-slicing", "gpu__replicas": "4"},
            NodeSharing(uid="u", strategy="TimeSlicing", replicas=4),
        ),
        ({"gpu__sharing_strategy": "mps", "gpu__replicas": "x"}, NodeSharing(uid="u", strategy="MPS")),
        ({"gpu__sharing_strategy": "mps", "gpu__replicas": "0"}, NodeSharing(uid="u", strategy="MPS")),
        ({"mig__strategy": "mixed"}, NodeSharing(uid="u", mig_strategy="Mixed")),
        ({"mig__strategy": "what"}, NodeSharing(uid="u")),
    ],
)
def test_labels_of_gpu_feature_discovery_tell_how_gpus_are_shared(labels: dict[str, str], wanted: NodeSharing) -> None:
    assert read_sharing(node(**labels)) == wanted


def test_what_is_no_node_is_refused() -> None:
    with pytest.raises(ValueError, match="metadata"):
        read_sharing(b"{}")
