"""Following a list of tasks: the snapshot, or what was missed, and from then on what enters, changes and leaves.

Whoever follows is known before the list is read: what happens meanwhile is due, and asked once the snapshot is told. So
the list is right whatever is written while it is read, a page at a time.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from hashlib import sha256

from db.driver.database import Database
from services import changes
from services.events.numbering import number_all
from services.live_lists import asking
from services.live_lists.asking import Question
from services.live_lists.followers import UNFINISHED, Held, LiveFollower, News, too_many
from services.live_lists.hub import LiveLists
from services.live_lists.models import MAX_TASKS, LiveChange, LiveKind
from services.live_lists.reach import predicate_of, reach_of
from services.live_lists.scopes import Touched
from services.shared.actors import Actor, Scope
from services.shared.errors import BadUserInput, ResyncRequired
from services.shared.pagination import MAX_LIMIT, PageRequest
from services.shared.prices import LIST, ROW
from services.shared.time_zones import zone_of
from services.tasks import queries as tasks
from services.tasks.listing.conditions import TaskPredicate
from services.tasks.listing.search_selectivity import refs_looked_up
from services.tasks.models import TaskRecord
from services.tasks.query import TaskQuery

PAGES = MAX_TASKS // MAX_LIMIT
"""The pages of a snapshot, at most."""
PRICE = changes.FOLLOWING + PAGES * LIST + MAX_TASKS * ROW
"""What a live list costs when it begins, beside its filter."""
MAX_CURSOR = 60
MAX_MISSED = changes.MAX_LIMIT
"""Events since the cursor of whoever comes back: where there are more, the list is told anew."""
_CURSOR = re.compile(r"([1-9][0-9]{0,18}-[0-9a-f]{8}|0)-([0-9a-f]{8})", re.ASCII)


async def follow(
    database: Database, lists: LiveLists, actor: Actor, query: TaskQuery, after: str | None = None
) -> AsyncGenerator[News]:
    """The tasks that the query asks for, and what becomes of the list, for as long as somebody listens.

    ``after`` is the cursor of a message of the same list: then what has changed since is told, where that can be told
    from the events since; else, and without it, the list as it is now. The first that is told may be nothing.

    Raises ``BadUserInput`` as ``predicate_of`` does, for a list of more than ``MAX_TASKS``, also when it becomes one,
    and for what is no cursor; ``Unavailable`` where the filter takes too long.
    """
    user_id = actor.require(Scope.TASKS_READ)
    cursor, session = _cursor_in(after), database.reads
    # a ref means the task that has it now, as a saved view is taken as it is now
    predicate = await refs_looked_up(session, actor, predicate_of(query, await zone_of(session, actor)))
    follower = LiveFollower(actor, user_id, predicate, reach_of(predicate), _gist(actor, predicate))
    with lists.joined(follower):
        await lists.started()
        start = await changes.end(session)
        follower.begin(start)
        messages = None if cursor is None else await _missed(database, follower, *cursor, start)
        if messages is None:
            rows = await _rows(database, actor, query)
            follower.hold(rows)
            messages = follower.snapshot(rows)
        # also where nothing was missed: whoever asked knows then that the list is followed
        yield News(messages, session, actor)
        while True:
            yield News(await follower.take(lists.wake), session, actor)


async def _rows(database: Database, actor: Actor, query: TaskQuery) -> Sequence[TaskRecord]:
    """The list, in its order. Raises ``BadUserInput`` where it is too long."""
    found: dict[int, TaskRecord] = {}
    after = None
    while True:
        page = await tasks.list_(database.reads, actor, query, PageRequest(first=MAX_LIMIT, after=after))
        found |= {row.id: row for row in page.items}
        if len(found) > MAX_TASKS or (page.has_next and len(found) >= MAX_TASKS):
            raise too_many()
        if not page.has_next:
            return [*found.values()]
        after = page.cursor(page.items[-1])


async def _missed(
    database: Database, follower: LiveFollower, cursor: str, gist: str, start: str
) -> Sequence[LiveChange] | None:
    """What has changed since a cursor; None where the list is to be told anew.

    That is so where too much has happened, the cursor is of another list or of another history of the feed, the caller
    joined or left a project, and where a list depends on events that its caller is not told of.
    """
    actor, reach, session = follower.actor, follower.reach, database.reads
    if gist != follower.gist or actor.limited_by is not None or reach.people:
        return None
    held = await asking.ask(session, [Question(follower.predicate, [follower.user_id])])
    # what was committed by then has its place in the feed, so that what is held is told
    await number_all(database)
    try:
        page = await changes.read(session, actor, cursor, MAX_MISSED)
    except ResyncRequired:
        return None
    touched = Touched(page.changes)
    if page.has_more or touched.everything or touched.cleared or follower.user_id in touched.joined:
        return None
    if (touched.projects and reach.projects) or (reach.follows and follower.user_id in touched.following):
        return None
    related = await asking.related(session, touched.task_ids) if reach.tasks else ()
    if related is None:
        return None
    follower.begin(cursor)
    follower.held = {match.id: Held(match.version, match.project_id) for match in held}
    if len(held) > MAX_TASKS:
        raise too_many()
    ids = touched.task_ids | {*related}
    rows = await tasks.by_ids(session, actor, ids)
    told: list[tuple[LiveKind, int, TaskRecord | None]] = []
    for id_ in sorted(ids):
        row = rows.get(id_)
        if row is not None and id_ in follower.held:
            follower.hold([row])
            told.append((LiveKind.ENTER, id_, row))
        elif row is not None or id_ in touched.task_ids:  # others' tasks are not named
            follower.held.pop(id_, None)
            told.append((LiveKind.LEAVE, id_, None))
    return follower.messages(told, int(start.partition("-")[0]), start)


def _gist(actor: Actor, predicate: TaskPredicate) -> str:
    """Eight characters that another list, or another caller's, hardly has in common with it."""
    return sha256(repr((predicate.where, actor.user_id, actor.limited_by)).encode()).hexdigest()[:8]


def _cursor_in(after: str | None) -> tuple[str, str] | None:
    """The cursor of the feed in one of a live list, and the list's mark; None for what is no place in a list."""
    if after is None or after == UNFINISHED or after == changes.NOW:
        return None
    match = _CURSOR.fullmatch(after)
    if match is None:
        raise BadUserInput.at("/after", "not a cursor of a live list: those of its messages are", "cursor")
    return match[1], match[2]
