"""A cluster without the policy that puts gates on pods, as where the API for such policies is missing."""

import contextlib
from collections.abc import Generator

from scheduler.localcluster import install
from scheduler.localcluster.waiting import until
from tests.cluster.harness.lab import PODS, Lab
from tests.cluster.harness.objects import gates, pod

BINDING = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings/gate-pods.bayplan.dev"
POLICY_S = 20.0


@contextlib.contextmanager
def no_gating(lab: Lab) -> Generator[None]:
    """While it lasts, pods arrive without the gate."""
    binding = lab.api.get(BINDING)
    lab.api.delete(BINDING)
    try:
        until(
            lambda: gates(lab.api.create(f"{PODS}?dryRun=All", pod("probe", gpus=1))) == [],
            timeout_s=POLICY_S,
            what="the policy being switched off",
        )
        yield
    finally:
        kept = {key: binding[key] for key in ("apiVersion", "kind", "spec")}
        lab.api.apply(BINDING, {**kept, "metadata": {"name": binding["metadata"]["name"]}})
        install.wait_gating(lab.api, lambda: None)
