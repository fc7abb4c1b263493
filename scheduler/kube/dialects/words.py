"""Single words of our own key or of another dialect, in one form."""

import sys
from collections.abc import Mapping

from scheduler.kube import keys
from scheduler.kube.dialects.record import Understood
from scheduler.model.names import QueueName
from scheduler.model.workload import QUEUE_KEY


def queue_of(labels: Mapping[str, str], others: Understood) -> tuple[QueueName | None, str]:
    """The queue that an object names, and where: by our own label, or as another dialect has it."""
    own = labels.get(keys.QUEUE_LABEL)
    if own is not None:
        return QueueName(sys.intern(own)), QUEUE_KEY
    if others.queue is not None:
        return QueueName(sys.intern(others.queue)), others.key_of("queue")
    return None, QUEUE_KEY


def class_of(others: Understood) -> tuple[str, str]:
    """The priority class that another dialect's key names, and the key; empty where none does."""
    return ("", "") if others.priority_class is None else (others.priority_class, others.key_of("priority_class"))
