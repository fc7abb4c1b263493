"""YuniKorn: an application with task groups is a gang, its task groups are roles.

Keys as in the shim's `pkg/common/constants/constants.go`. Names without a prefix count beside an application's id only.
"""

import msgspec

from scheduler.kube.dialects import texts
from scheduler.kube.dialects.record import Dialect, Hearing, Key, Place, Texts
from scheduler.model.workload import GangClaim

PREFIX = "yunikorn/"
OWN = "yunikorn.apache.org/"

APPLICATION = (
    Key(place="label", key=OWN + "app-id", means="the application: with task groups, the gang"),
    Key(place="annotation", key=OWN + "app-id", means="the application: with task groups, the gang"),
    Key(place="label", key="applicationId", means="the application: with task groups, the gang"),
)
SPARK = Key(
    place="label",
    key="spark-app-selector",
    means="pods of Spark are placed one by one: executors are made only when the driver runs",
)
QUEUE = (
    Key(place="label", key=OWN + "queue", means="the Queue of that name, the whole path with its dots"),
    Key(place="annotation", key=OWN + "queue", means="the Queue of that name, the whole path with its dots"),
    Key(place="label", key="queue", means="the same, beside an application's id"),
)
GROUP = Key(place="annotation", key=OWN + "task-group-name", means="the pod's role in its gang")
GROUPS = Key(
    place="annotation",
    key=OWN + "task-groups",
    means="how many pods of each role are enough; their resources are not read",
)
GROUPS_ALLOWED = 'a JSON list as in [{"name": "workers", "minMember": 4}], each name once'
STYLE = Key(
    place="annotation",
    key=OWN + "schedulingPolicyParameters",
    means="`gangSchedulingStyle=Hard` is how every gang is; `Soft` is not honoured",
)
USER = Key(
    place="annotation", key=OWN + "user.info", means="whose the pod is, where queues limit what one user may use"
)
USER_ALLOWED = 'JSON as in {"user": "ann", "groups": ["vision"]}'


class _TaskGroup(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    min_member: int


class _UserInfo(msgspec.Struct, frozen=True):
    user: str


_user_info = msgspec.json.Decoder(_UserInfo)
_task_groups = msgspec.json.Decoder(list[_TaskGroup])


def _ignored(place: Place, key: str, sentence: str) -> Key:
    return Key(place=place, key=OWN + key, means=sentence, heard=False)


KEYS = (
    *APPLICATION,
    SPARK,
    *QUEUE,
    GROUP,
    GROUPS,
    STYLE,
    Key(
        place="annotation",
        key=OWN + "allow-preemption",
        means="whether the pod may be evicted",
        field="preemptible",
        read=texts.flag,
        allowed=texts.FLAG_ALLOWED,
    ),
    Key(
        place="label",
        key=OWN + "username",
        means="whose the pod is, where queues limit what one user may use",
        field="user",
        read=texts.name,
        allowed=texts.NAME_ALLOWED,
    ),
    USER,
    _ignored("annotation", "parentqueue", "a Queue names its parent itself"),
)


def together(said: Texts, hear: Hearing) -> None:
    """The application, its task groups, its queue and its user."""
    _user(said, hear)
    application, spark = said.first(APPLICATION), said.first((SPARK,))
    group, groups = said.first((GROUP,)), said.first((GROUPS,))
    queue = said.first(QUEUE if application or spark else QUEUE[:2])
    if queue is not None:
        name = texts.name(queue[1])
        if name is None:
            hear.refuse(*queue, texts.NAME_ALLOWED)
        else:
            hear.say("queue", name, queue[0])
    asked = groups or group
    if asked is None:
        return
    if spark is not None:
        hear.note(*asked, "executors are made only when the driver runs, so pods of Spark are placed one by one")
    elif application is None or texts.name(application[1]) is None:
        hear.refuse(*asked, f"only beside the {APPLICATION[0].where}")
    else:
        _claim(said, application, asked, hear)


def _user(said: Texts, hear: Hearing) -> None:
    info = said.first((USER,))
    if info is None:
        return
    try:
        name = _user_info.decode(info[1]).user.strip()
    except texts.UNREADABLE:
        name = ""
    if name:
        hear.say("user", name, info[0])
    else:
        hear.refuse(*info, USER_ALLOWED)


def _claim(said: Texts, application: tuple[str, str], asked: tuple[str, str], hear: Hearing) -> None:
    group, groups, style = said.first((GROUP,)), said.first((GROUPS,)), said.first((STYLE,))
    minimums: dict[str, int] = {}
    if groups is not None:
        try:
            read = _task_groups.decode(groups[1])
        except texts.UNREADABLE:
            read = []
        minimums = {one.name.strip(): one.min_member for one in read if one.name.strip() and one.min_member > 0}
        if not read or len(minimums) < len(read) or any(texts.count(str(n)) is None for n in minimums.values()):
            hear.refuse(*groups, GROUPS_ALLOWED)
            minimums = {}
    if group is not None:
        role = texts.name(group[1])
        if role is None:
            hear.refuse(*group, texts.NAME_ALLOWED)
        elif minimums and role not in minimums:
            hear.refuse(*group, f"one of the task groups ({', '.join(sorted(minimums))})")
        else:
            hear.say("role", role, group[0])
    claim = GangClaim(name=PREFIX + application[1].strip(), role_least=tuple(sorted(minimums.items())))
    hear.say("gang", claim, asked[0])
    if style is not None and "gangSchedulingStyle=Soft" in style[1].split():
        hear.note(*style, "a gang starts whole or not at all")


DIALECT = Dialect(name="YuniKorn", keys=KEYS, together=together)
