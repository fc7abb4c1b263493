"""Where pods that belong to no gang go, alone and many at once."""

from scheduler.model.resources import Resources
from scheduler.model.workload import HostPort
from tests.planning.build import draw, equal, node, outcome, queue, shape, single, snapshot
from tests.planning.decided import outcomes, planned


def test_such_a_pod_is_offered_every_node_that_takes_it_best_first() -> None:
    picky = shape(2, scheduler_rules=("volumes",))
    snap = draw("n0: ....\nn1: ##..\nn2: ###.\nn3: ....", single("one", picky))
    assert outcomes(snap, "one") == ["offered n1 n0 n3"]


def test_offers_are_counted_on_the_best_node() -> None:
    picky = shape(2, scheduler_rules=("volumes",))
    snap = draw("n0: ##..\nn1: ....", *(single(f"s{i}", picky, created_s=i) for i in range(4)))
    assert outcomes(snap, "s0", "s1", "s2", "s3") == [
        "offered n0 n1",
        "offered n1",
        "offered n1",
        "InsufficientResources",
    ]


def test_offers_leave_out_what_the_queue_cannot_pay_and_what_refused() -> None:
    picky = shape(1, scheduler_rules=("volumes",))
    nodes = [node("h0", product="H100"), node("l0", product="L40S"), node("l1", product="L40S")]
    refused = single("one", picky, avoid=frozenset({nodes[1].name}))
    assert outcomes(snapshot(nodes, [refused], queues=[queue("a", flavors={"H100": 0})]), "one") == ["offered l1"]


def test_refused_nodes_are_avoided_and_that_is_told_when_nothing_is_left() -> None:
    drawing = "n0: ........\nn1: ........"
    (first, second) = (n.name for n in draw(drawing).nodes.values())
    assert outcomes(draw(drawing, equal("g", 1, avoid=frozenset({first}))), "g") == ["n1"]
    assert outcomes(draw(drawing, equal("g", 1, avoid=frozenset({first, second}))), "g") == ["NodeRefused"]
    assert outcomes(draw(drawing, single("s", avoid=frozenset({first, second}))), "s") == ["NodeRefused"]


def test_single_pods_fill_nodes_in_use_and_leave_whole_ones_whole() -> None:
    snap = draw("n0: ....\nn1: #...\nn2: ###.", *(single(f"s{i}", shape(1), created_s=i) for i in range(5)))
    assert outcomes(snap, "s0", "s1", "s2", "s3", "s4") == ["n2", "n1", "n1", "n1", "n0"]


def test_a_small_node_that_is_whole_stays_so() -> None:
    assert outcomes(draw("n0: ..\nn1: ####....", single("s", shape(2))), "s") == ["n1"]


def test_many_equal_pods_go_where_they_would_go_one_by_one() -> None:
    drawing = "n0: ........\nn1: ###.....\nn2: ##......\nn3: #####..."
    together = planned(draw(drawing, *(single(f"s{i:02}", shape(2), created_s=i) for i in range(12))))
    held = {"n1": 3, "n2": 2, "n3": 5, "n0": 0}
    for i in range(12):
        signs = "\n".join(f"{name}: {'#' * n}{'.' * (8 - n)}" for name, n in sorted(held.items()))
        alone = outcome(planned(draw(signs, single("s", shape(2)))), "s")
        assert outcome(together, f"s{i:02}") == alone
        if alone in held:
            held[alone] += 2


def test_a_single_pod_with_a_host_port() -> None:
    port = shape(1, host_ports=(HostPort(port=80),))
    snap = draw("n0: ....\nn1: ....", *(single(f"s{i}", port) for i in range(3)))
    assert outcomes(snap, "s0", "s1", "s2") == ["n0", "n1", "Fragmented"]


def test_terminating_and_foreign_pods_take_room() -> None:
    snap = snapshot([node("n0")], [single("s", shape(1, milli_cpu=1000))], used={"n0": Resources(milli_cpu=63_500)})
    assert outcomes(snap, "s") == ["InsufficientResources"]
