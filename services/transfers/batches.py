"""A batch of records in one transaction: tasks with all that belongs to them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from db.driver.sessions import Session
from services import tags
from services.events import log
from services.tags import fold
from services.transfers import links, people, projects, restricted, sources, task_rows
from services.transfers.known import Known, WriterOptions
from services.transfers.records import ImportedComment, ImportedProject, ImportedTask, ImportedUser
from services.transfers.summary import Counts, Refusal

KnownTasks = Mapping[str, task_rows.KnownTask | None]
"""Tasks that are here, by external ids; None for one that was deleted."""
NewComments = Collection[tuple[ImportedTask, ImportedComment]]
"""Comments to be written, each with its task."""
ARCHIVED = "it is archived here, and so read-only"


class Batch:
    """One transaction."""

    def __init__(
        self,
        session: Session,
        options: WriterOptions,
        known: Known,
        described: Mapping[str, ImportedProject],
        links_met: Collection[int],
    ) -> None:
        self.counts = Counts()
        self.refused: dict[str, Refusal] = {}
        self.described: set[str] = set()
        self.links_met: set[int] = set()
        self._session = session
        self._options = options
        self._source = options.source
        self._known = known
        self._descriptions = described
        self._links_met_before = links_met
        self._events: list[log.NewEvent] = []

    async def write(self, tasks: Sequence[ImportedTask], *, renumber: bool) -> list[ImportedTask]:
        """Write the tasks that are new.

        Returns those that wait because another task has their number, unless they are to ``renumber``.
        """
        distinct = {task.external_id: task for task in tasks}
        # first: of a project that was deleted here, this forgets the tasks
        await self._find_projects(distinct.values())
        if not self._options.include_restricted:
            distinct = await restricted.leave_out(self._session, self._source, distinct, self.counts)
        there = await self._find_tasks(distinct.values())
        new = await self._admitted([task for task in distinct.values() if task.external_id not in there])
        distinct = {
            task.external_id: task
            for task in distinct.values()
            if task.external_id in there or task.project.key not in self.refused
        }
        old = [task for task in distinct.values() if task.external_id in there]
        # a task that is in the archive twice is known the second time
        self.counts.tasks_known = sum(task.external_id in distinct for task in tasks) - len(new)
        self.counts.subtasks_known = sum(task.parent_external_id is not None for task in old)
        self.counts.due_dates_known = sum(task.has_due_date for task in old)
        await self._recall_links(old, there)
        numbers = await self._numbers(new, renumber=renumber)
        left_over = {task.external_id: task for task in new if task.external_id not in numbers}
        for external_id in left_over:
            del distinct[external_id]
        new = [task for task in new if task.external_id in numbers]

        comments = await self._new_comments(distinct.values(), there)
        await self._ensure_people(distinct.values(), new, comments)
        await self._ensure_tags(distinct.values(), new)
        await self._ensure_members(new, comments, there)
        await self._count_members(old, there)
        created = await self._create_tasks(new, numbers, there)
        await self._create_comments(comments, {**there, **created})
        await log.record(self._session, sources.IMPORTER, *self._events)
        return list(left_over.values())

    async def _find_tasks(self, tasks: Collection[ImportedTask]) -> KnownTasks:
        ids = [task.external_id for task in tasks]
        ids += [task.parent_external_id for task in tasks if task.parent_external_id]
        found = await task_rows.find(self._session, self._source, ids)
        known = self._known.projects
        others = [
            (known[task.project.key].id, task.external_id)
            for task in tasks
            if task.external_id not in found and task.project.key in known
        ]
        return found | await task_rows.adopt(self._session, self._source, others) if others else found

    async def _find_projects(self, tasks: Collection[ImportedTask]) -> None:
        """In every batch anew, as they may have been archived or deleted since the last; they stay so to its end."""
        known, keys = self._known.projects, {task.project.key for task in tasks}
        found = await projects.find(self._session, self._source, keys)
        found |= await projects.adopt(self._session, self._source, self._options.owner_id, keys - found.keys())
        self.counts.projects_known += len(found.keys() - known.keys())
        for key in keys - found.keys():
            known.pop(key, None)
        known.update(found)

    async def _admitted(self, new: Collection[ImportedTask]) -> list[ImportedTask]:
        """Those of new tasks that there is or can be a project for; the others are refused, and the rest goes on."""
        for key in dict.fromkeys(task.project.key for task in new):
            of_project = [task for task in new if task.project.key == key]
            reason = await self._obstacle(key)
            if reason is None and key not in self._known.projects:
                reason = await self._create_project(key, [task.project for task in of_project])
            if reason is not None:
                refusal = self._refuse(key, reason)
                refusal.tasks += len(of_project)
                refusal.comments += sum(len(task.comments) for task in of_project)
        return [task for task in new if task.project.key not in self.refused]

    async def _obstacle(self, key: str) -> str | None:
        project = self._known.projects.get(key)
        if project is None:
            return await projects.obstacle(self._session, self._source, self._options.keys.get(key, key))
        return ARCHIVED if project.archived else None

    def _refuse(self, key: str, reason: str) -> Refusal:
        return self.refused.setdefault(key, Refusal(reason))

    async def _create_project(self, key: str, named: Sequence[ImportedProject]) -> str | None:
        """With what its own record says of it, or else what the first of its tasks says that knows a name.

        Returns why there can be none, where somebody took its key just now.
        """
        record = self._descriptions.get(key, ImportedProject(key))
        if record.name is None:
            record = replace(record, name=next((each.name for each in named if each.name), None))
        here = self._options.keys.get(key, key)
        project = await projects.create(self._session, self._source, self._options.owner_id, record, here)
        if project is None:
            return projects.taken(self._source, here)
        if key in self._descriptions:
            self.described.add(key)
            await sources.remember(self._session, self._source, "described", {key: project.id})
        self._known.projects[key] = project
        self._events.append(
            sources.imported(self._source, "project", project.id, key, version=1, project_id=project.id)
        )
        self.counts.projects += 1
        return None

    async def _recall_links(self, old: Collection[ImportedTask], there: KnownTasks) -> None:
        named = {
            link.key: there[task.external_id]
            for task in old
            for link in task.relations
            if hash(link.key) not in self._links_met_before
        }
        self.links_met |= {hash(key) for key in named}
        if named:
            recalled = await links.recall(self._session, self._source, named)
            self.counts.links_known += recalled.known
            self.counts.links_refused += recalled.refused
            self.counts.links_unmade += recalled.unmade

    async def _numbers(self, new: Collection[ImportedTask], *, renumber: bool) -> dict[str, int]:
        """A number for each new task; none for one whose number is taken, unless it is to get another."""
        by_project: dict[int, list[ImportedTask]] = {}
        for task in new:
            by_project.setdefault(self._project_id(task), []).append(task)
        numbers: dict[str, int] = {}
        for project_id, tasks in by_project.items():
            if not renumber:
                # first, so that nobody else is given one of these numbers from now on
                await projects.raise_last_number(self._session, project_id, max(task.number for task in tasks))
            taken = await projects.taken_numbers(self._session, project_id, {task.number for task in tasks})
            clashing = []
            for task in tasks:
                if task.number in taken:
                    clashing.append(task)
                else:
                    numbers[task.external_id] = task.number
                    taken.add(task.number)
            if clashing and renumber:
                spare = await projects.next_numbers(self._session, project_id, len(clashing))
                numbers.update((task.external_id, n) for task, n in zip(clashing, spare, strict=True))
                self.counts.renumbered += len(clashing)
        return numbers

    async def _new_comments(
        self, tasks: Collection[ImportedTask], there: KnownTasks
    ) -> list[tuple[ImportedTask, ImportedComment]]:
        """Comments that are not written yet, but none of tasks that were deleted here."""
        found = await sources.find(
            self._session, self._source, "comment", (comment.external_id for task in tasks for comment in task.comments)
        )
        seen = set(found)
        unseen: dict[int, list[str]] = {}
        for task in tasks:
            if (home := there.get(task.external_id)) is not None:
                unseen.setdefault(home.project_id, []).extend(
                    comment.external_id for comment in task.comments if comment.external_id not in seen
                )
        for project_id, ids in unseen.items():
            seen |= await task_rows.adopt_comments(self._session, self._source, project_id, ids)
        # not those of the projects that the tasks are in now: a task may have been moved in the source
        homes = {task.project_id for task in there.values() if task is not None}
        archived = await projects.archived(self._session, homes) if homes else set()
        new = []
        for task in tasks:
            deleted = task.external_id in there and there[task.external_id] is None
            for comment in task.comments:
                if comment.external_id in seen or deleted:
                    self.counts.comments_known += 1
                elif self._home(task, there) in archived:
                    self._refuse(task.project.key, ARCHIVED).comments += 1
                else:
                    seen.add(comment.external_id)
                    new.append((task, comment))
        return new

    async def _ensure_people(
        self,
        tasks: Collection[ImportedTask],
        new: Collection[ImportedTask],
        comments: NewComments,
    ) -> None:
        known = self._known.people
        named = {user.external_id: user for task in tasks for user in task.people}
        unseen = {external_id: user for external_id, user in named.items() if external_id not in known}
        if unseen:
            found = await people.find(self._session, self._source, list(unseen.values()))
            self.counts.people_known += len(found)
            known.update(found)
        needed = [comment.author for _, comment in comments if comment.author is not None]
        for task in new:
            needed += task.parties
        missing = {user.external_id: user for user in needed if user.external_id not in known}
        created, happened = await people.create(self._session, self._source, list(missing.values()))
        known.update(created)
        self._events += happened
        self.counts.people += len(created)

    async def _ensure_tags(self, tasks: Collection[ImportedTask], new: Collection[ImportedTask]) -> None:
        known = self._known.tags
        unseen: dict[int, dict[str, str]] = {}
        for task in tasks:
            project = self._known.projects.get(task.project.key)
            if project is not None:
                names = {fold(name): name for name in reversed(task.tags)}
                missing = {folded: name for folded, name in names.items() if (project.id, folded) not in known}
                unseen[project.id] = missing | unseen.get(project.id, {})
        wanted = {(self._project_id(task), fold(name)) for task in new for name in task.tags}
        for project_id, names in unseen.items():
            found = await tags.known(self._session, project_id, names)
            self.counts.tags_known += len(found)
            missing = {
                folded: name for folded, name in names.items() if folded not in found and (project_id, folded) in wanted
            }
            created = await tags.insert(self._session, project_id, missing)
            for folded, tag_id in created.items():
                self._events.append(tags.created(project_id, tag_id, missing[folded], notify=False))
            self.counts.tags += len(created)
            if others := missing.keys() - created.keys():  # somebody else created them just now
                created = {**created, **await tags.known(self._session, project_id, others)}
            known.update({(project_id, folded): tag_id for folded, tag_id in {**found, **created}.items()})

    async def _ensure_members(
        self,
        new: Collection[ImportedTask],
        comments: NewComments,
        there: KnownTasks,
    ) -> None:
        """Who appears in something new belongs to its project. (Who left it here is not brought back by old tasks.)"""
        appearing = [(task, comment.author) for task, comment in comments if comment.author is not None]
        appearing += [(task, user) for task in new for user in task.parties]
        joining = ((self._home(task, there), self._known.people[user.external_id]) for task, user in appearing)
        for project_id, user_ids in self._unmet(joining).items():
            added = await projects.add_members(self._session, project_id, user_ids)
            self._events += added
            self.counts.members += len(added)
            self.counts.members_known += len(user_ids) - len(added)

    async def _count_members(self, old: Collection[ImportedTask], there: KnownTasks) -> None:
        """Who appears in what was there before, and belongs to its project still."""
        appearing = (
            (self._home(task, there), self._known.people[user.external_id])
            for task in old
            if there[task.external_id] is not None or task.project.key in self._known.projects
            for user in task.people
            if user.external_id in self._known.people
        )
        for project_id, user_ids in self._unmet(appearing).items():
            self.counts.members_known += len(await projects.find_members(self._session, project_id, user_ids))

    def _unmet(self, members: Iterable[tuple[int, int]]) -> dict[int, set[int]]:
        """Those of the people, given with their projects, whom no batch has met there yet, by project. Now they are."""
        unmet: dict[int, set[int]] = {}
        for project_id, user_id in members:
            if (project_id, user_id) not in self._known.members:
                self._known.members.add((project_id, user_id))
                unmet.setdefault(project_id, set()).add(user_id)
        return unmet

    async def _create_tasks(
        self, new: Collection[ImportedTask], numbers: dict[str, int], parents: KnownTasks
    ) -> dict[str, task_rows.KnownTask]:
        items = []
        for task in new:
            project_id = self._project_id(task)
            tag_ids = [self._known.tags[project_id, folded] for folded in dict.fromkeys(map(fold, task.tags))]
            items.append(
                task_rows.NewTask(
                    task,
                    project_id,
                    numbers[task.external_id],
                    self._user_id(task.created_by),
                    list(dict.fromkeys(self._known.people[user.external_id] for user in task.assignees)),
                    tag_ids,
                )
            )
        created, happened = await task_rows.create(self._session, self._source, items, parents)
        self._events += happened
        self.counts.count_new(new)
        self.counts.recurrences_left_out += sum(map(task_rows.leaves_out_recurrence, new))
        expected = {link.key: created[task.external_id].id for task in new for link in task.relations}
        self.links_met |= {hash(key) for key in expected}
        await links.expect(self._session, self._source, expected)
        return created

    async def _create_comments(self, comments: NewComments, there: KnownTasks) -> None:
        items = []
        for task, comment in comments:
            home = there[task.external_id]
            if home is not None:
                items.append(task_rows.NewComment(comment, home, self._user_id(comment.author)))
        self._events += await task_rows.create_comments(self._session, self._source, items)
        self.counts.comments += len(items)
        self.counts.widened_comments += sum(comment.restricted for _, comment in comments)

    def _home(self, task: ImportedTask, there: KnownTasks) -> int:
        """The project of a task that is there, whatever project its source has it in by now; or that of a new one."""
        known = there.get(task.external_id)
        return self._project_id(task) if known is None else known.project_id

    def _project_id(self, task: ImportedTask) -> int:
        return self._known.projects[task.project.key].id

    def _user_id(self, user: ImportedUser | None) -> int | None:
        return None if user is None else self._known.people[user.external_id]
