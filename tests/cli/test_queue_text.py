"""Queues as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cli.queue_detail_text import SHOWN, detail_text
from scheduler.cli.queue_text import BLOCKS, PLAIN, bar, glyphs_for, tree_text
from scheduler.model.names import QueueName
from scheduler.planning.overview.records import Amounts, QueueDetail, QueueStand, ResourceAmounts, Work


def amounts(nominal: int = 0, used: int = 0, lent: int = 0, **more: object) -> Amounts:
    made: dict[str, object] = {"borrowed_milli_gpu": max(used - nominal, 0), **more}
    return Amounts(nominal_milli_gpu=nominal, used_milli_gpu=used, lent_milli_gpu=lent, **made)  # pyright: ignore[reportArgumentType]


def stand(name: str, total: Amounts | None = None, **more: object) -> QueueStand:
    return QueueStand(name=QueueName(name), total=total or Amounts(), **more)  # pyright: ignore[reportArgumentType]


def work(name: str, **more: object) -> Work:
    made: dict[str, object] = {
        "kind": "pod",
        "queue": QueueName("a"),
        "state": "running",
        "size": 1,
        "placed": 1,
        **more,
    }
    return Work(name=f"n/{name}", **made)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("total", "drawn"),
    [
        (amounts(8000, 4000), "#####....."),
        (amounts(8000, 4000, lent=2000), "#####===.."),
        (amounts(4000, 8000), "#####+++++"),
        (amounts(0, 8000), "++++++++++"),
        (amounts(1_000_000, 1), "#........."),
        (amounts(1_000_000, 1_000_001), "#########+"),
        (amounts(0, 0), ""),
    ],
)
def test_a_bar(total: Amounts, drawn: str) -> None:
    assert bar(total, 10, PLAIN) == drawn


@given(nominal=st.integers(0, 10**9), used=st.integers(0, 10**9), lent=st.integers(0, 10**9), cells=st.integers(8, 64))
def test_a_bar_has_its_width_and_a_cell_for_whatever_there_is(nominal: int, used: int, lent: int, cells: int) -> None:
    lent = min(lent, max(nominal - used, 0))
    drawn = bar(amounts(nominal, used, lent), cells, PLAIN)
    assert len(drawn) == (cells if nominal or used else 0)
    there = {"#": min(used, nominal), "=": lent, "+": max(used - nominal, 0), ".": max(nominal - used, 0) - lent}
    assert {glyph for glyph, part in there.items() if part} == set(drawn)


@pytest.mark.parametrize(("encoding", "glyphs"), [("utf-8", BLOCKS), ("ascii", PLAIN), (None, PLAIN), ("odd", PLAIN)])
def test_only_characters_that_the_terminal_has(encoding: str | None, glyphs: object) -> None:
    assert glyphs_for(encoding) is glyphs


FOREST = (
    stand("org", amounts(24000, 16000)),
    stand("long-name-of-a-team", amounts(8000, 12000), parent="org", flavors=(Amounts(flavor="H100"),)),
    stand("deep", amounts(500, 286), parent="long-name-of-a-team"),
    stand("z", amounts(16000, 4000, lent=4000, pending_milli_gpu=8000), parent="org", pending_workloads=3),
)


def test_a_tree() -> None:
    shown = tree_text(FOREST, width=100, glyphs=PLAIN).splitlines()
    assert [
        line.split("  ")[0].rstrip() if not line.startswith("|  ") else line[:13].rstrip() for line in shown[:6]
    ] == [
        "QUEUE",
        "org",
        "|- long-name-of-a-team",
        "|  |  [H100]",
        "|  `- deep",
        "`- z",
    ]
    assert shown[5].split()[-6:] == ["-", "4", "8", "in", "3", "-"]
    assert shown[4].split()[-6:-3] == ["0.286", "0.5", "-"]
    assert shown[-1] == "Amounts are GPUs. # in use of its own, + borrowed, = lent, . idle."


@pytest.mark.parametrize("width", range(45, 140, 5))
def test_a_tree_keeps_to_the_width_where_that_is_possible(width: int) -> None:
    *rows, _, _ = tree_text(FOREST, width=width, glyphs=BLOCKS).splitlines()
    assert max(map(len, rows)) <= width
    assert len({len(row) for row in rows if row.endswith("-")}) == 1


def test_no_queue() -> None:
    assert tree_text((), width=80, glyphs=PLAIN) == "There is no queue."


@pytest.mark.parametrize(
    ("total", "said"),
    [
        (amounts(8000), "a uses none of the 8 GPUs that it owns."),
        (amounts(8000, 2000, lent=1500), "a uses 2 of the 8 GPUs that it owns, and lends 1.5."),
        (amounts(1000, 3000), "a uses 3 GPUs: the 1 that it owns, and 2 that it borrows."),
        (amounts(0, 1000), "a owns no GPU and uses 1 GPU, all of them borrowed."),
        (amounts(), "a owns no GPU and uses none."),
    ],
)
def test_the_first_sentence(total: Amounts, said: str) -> None:
    assert detail_text(QueueDetail(stand=stand("a", total)), now_s=0).splitlines()[0] == said


def test_limits_rules_and_what_is_not_in_force() -> None:
    total = amounts(8000, borrowing_limit_milli_gpu=0, lending_limit_milli_gpu=2500)
    detail = QueueDetail(stand=stand("a", total, weight=3, min_runtime_s=5400, problems=("spec.parent is 'x'",)))
    shown = detail_text(detail, now_s=0)
    assert shown.splitlines()[3].split() == ["all", "-", "8", "-", "0", "-", "2.5", "-", "-"]
    assert "order Fair, weight 3, priority 0, work is safe from reclaim for 1h 30m" in shown
    assert "not in force: spec.parent is 'x'" in shown


def test_cpu_and_memory_in_the_tree() -> None:
    cpu = ResourceAmounts(resource="cpu", unit="milli-CPU", nominal=32_000, used=40_000, borrowed=8_000)
    memory = ResourceAmounts(resource="memory", unit="MiB", nominal=100 << 10, used=50 << 10)
    *rows, _, last = tree_text((stand("a", resources=(cpu, memory)),), width=100, glyphs=PLAIN).splitlines()
    assert [row.split()[-6:] for row in rows[2:]] == [
        ["40", "32", "8", "-", "-", "-"],
        ["50", "100", "-", "-", "-", "-"],
    ]
    assert rows[2].count("+") * 4 - rows[2].count("#") in range(-4, 5)
    assert [row.split("  ")[1].strip() for row in rows[2:]] == ["[cores]", "[GiB memory]"]
    assert last.startswith("Amounts are GPUs, cores or GiB.")


def test_what_each_user_has_is_told_where_users_are_limited() -> None:
    some = (
        work("a", milli_gpu=2000, user="bob"),
        work("b", milli_gpu=2000, user="ann"),
        work("c", milli_gpu=1000, user="ann"),
        work("d", pending_milli_gpu=4000, user="ann", state="waiting"),
        work("e", pending_milli_gpu=500, state="waiting"),
    )
    shown = detail_text(QueueDetail(stand=stand("a", user_limit_milli_gpu=4000), work=some), now_s=0)
    assert "users: ann 3 and waits for 4, bob 2, nobody by name none and waits for 0.5" in shown
    assert "users:" not in detail_text(QueueDetail(stand=stand("a"), work=some), now_s=0)


def test_cpu_memory_and_limits_of_users() -> None:
    cpu = ResourceAmounts(resource="cpu", unit="milli-CPU", nominal=64_000, used=2_500, borrowing_limit=8_000)
    memory = ResourceAmounts(resource="memory", unit="MiB", nominal=2048, used=1024)
    shown = detail_text(QueueDetail(stand=stand("a", resources=(cpu, memory), user_limit_milli_gpu=4000)), now_s=0)
    assert "cpu:    2.5 of 64 cores in use; at most 72\n" in shown
    assert "memory: 1 of 2 GiB in use\n" in shown
    more = ResourceAmounts(resource="cpu", unit="milli-CPU", nominal=2000, used=3500, borrowed=1500)
    told = detail_text(QueueDetail(stand=stand("a", resources=(more,))), now_s=0)
    assert "cpu:   3.5 cores in use: the 2 that it owns, and 1.5 that it borrows\n" in told
    assert shown.endswith("one user at most 4 GPUs")


def test_pods_of_one_owner_are_one_row_and_long_lists_are_cut() -> None:
    alike = [work(f"sweep-{i}", owner="sweep", milli_gpu=1000, since_s=40) for i in range(3)]
    others = [work(f"p{i:02}", milli_gpu=500, since_s=50) for i in range(SHOWN + 4)]
    detail = QueueDetail(stand=stand("a"), work=(*alike, *others))
    shown = detail_text(detail, now_s=100)
    assert "n/sweep (3 pods)  3     -         0         1m ago   3" in shown
    assert shown.endswith("and 5 more (--all shows them)")
    assert "n/p23" in detail_text(detail, now_s=100, everything=True)


def test_what_waits_says_when_it_is_expected_to_start() -> None:
    waits = work(
        "w", state="waiting", pending_milli_gpu=8000, since_s=40, message="no room", estimated_start_s=7300, priority=-1
    )
    assert "n/w      8     -1        1m ago  in 2h 0m  no room" in detail_text(
        QueueDetail(stand=stand("a"), work=(waits,)), now_s=100
    )


def test_work_of_several_queues_names_them() -> None:
    some = (work("a", milli_gpu=1), work("b", milli_gpu=1, queue=QueueName("b")))
    assert "RUNNING  QUEUE  GPUS" in detail_text(QueueDetail(stand=stand("a"), work=some), now_s=100)
