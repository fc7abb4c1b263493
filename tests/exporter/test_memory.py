"""What is kept of a GPU from one look to the next."""

from scheduler.exporter import memory
from scheduler.exporter.health import Health, judge
from scheduler.exporter.reading import MigInstance, MigMode, Slot, Unread, Why, Xid
from tests.exporter.made import device, facts, state, uuid

HUNG = Unread(why=Why.TIMED_OUT, call="slot")
DIVIDED = MigMode(current=True, pending=True)
OF_ONE = Xid(uuid=uuid(0), number=48, gpu_instance=2)
OF_ALL = Xid(uuid=uuid(0), number=79)


def instance(number: int) -> MigInstance:
    return MigInstance(
        gpu_instance=number, profile_id=19, profile="1g.10gb", start=number, size=1, uuid=f"MIG-{number}"
    )


def test_an_error_of_an_instance_makes_the_gpu_suspect_as_long_as_the_instance_is_there() -> None:
    before = memory.erred(device(0), OF_ONE)
    both = memory.seen(before, facts(0), state(0, mig_mode=DIVIDED, instances=(instance(1), instance(2))))
    told = judge(both, nvlinks=None)
    assert (told.health, told.reasons) == (
        Health.SUSPECT,
        ("Xid 48 of its GPU instance 2: an uncorrectable memory error",),
    )
    unread = memory.seen(both, facts(0), state(0, instances=HUNG))
    assert judge(unread, nvlinks=None).health is Health.SUSPECT
    other = memory.seen(unread, facts(0), state(0, mig_mode=DIVIDED, instances=(instance(1),)))
    assert judge(other, nvlinks=None).health is Health.HEALTHY


def test_an_error_of_the_whole_gpu_outlasts_its_instances() -> None:
    before = memory.erred(memory.erred(device(0), OF_ONE), OF_ALL)
    after = memory.seen(before, facts(0), state(0))
    assert after.errors == (OF_ALL,)
    assert judge(after, nvlinks=None).health is Health.UNHEALTHY


def test_a_gpu_that_hangs_is_not_taken_for_lost_and_one_that_was_lost_is_forgiven() -> None:
    known = {uuid(0): memory.erred(device(0), OF_ALL), uuid(1): device(1)}
    found, again = memory.place(known, [uuid(1)], [Slot(index=0, uuid=HUNG)])
    assert (found[uuid(0)].state, again) == (HUNG, [])
    assert memory.seen(found[uuid(0)], facts(0), state(0)).errors == (OF_ALL,)
    lost, again = memory.place(known, [uuid(1)], [Slot(index=0, uuid=Unread(why=Why.LOST))])
    assert (lost[uuid(0)].state, again) == (memory.LOST, [uuid(0)])
    assert memory.seen(lost[uuid(0)], facts(0), state(0)).errors == ()


def test_where_one_of_two_that_are_missing_hangs_both_are_asked() -> None:
    known = {uuid(0): device(0), uuid(1): device(1)}
    assert memory.place(known, [], [Slot(index=0, uuid=HUNG)])[1] == [uuid(0), uuid(1)]
    two = [Slot(index=0, uuid=HUNG), Slot(index=1, uuid=Unread(why=Why.LOST))]
    assert memory.place(known, [], two)[1] == [uuid(0), uuid(1)]
