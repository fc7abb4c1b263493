"""Look-ups of claims: which were given devices for plans that may not have come to their end."""

from scheduler.model.claims import ClaimKey
from scheduler.state.events import ClaimGone, PodGone
from tests.state.build import claim, claiming, gpu_name, node, state_of


def test_claims_with_a_guard_and_the_pods_that_name_them() -> None:
    device = gpu_name("n1", 0)
    state = state_of(node(), claiming("p", "a"), claim("a", device, guarded=True), claim("b", gpu_name("n1", 1)))
    key = ClaimKey(uid="claim-a", namespace="a", name="a")
    ((found, users),) = state.claims.guarded()
    assert (found, [pod.name for pod in users]) == (key, ["p"])
    state.apply(PodGone(uid=claiming("p").uid))
    assert state.claims.guarded() == [(key, [])]
    assert state.apply(claim("a", device))
    assert state.claims.guarded() == []
    state.apply(claim("a", device, guarded=True))
    state.apply(ClaimGone(uid="claim-a"))
    assert state.claims.guarded() == []
