"""Writes records in batches, each in one transaction: an issue with all that belongs to it. A run may end anywhere."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy.exc import IntegrityError

from db.engine import Database
from db.sessions import Session
from services import events
from services.errors import Conflict
from services.imports import people, projects, sources, tasks
from services.imports.projects import KnownProject
from services.imports.records import Issue, Person, Remark
from services.imports.summary import Counts
from services.tags import fold

ATTEMPTS = 3


@dataclass(slots=True)
class Known:
    """What earlier batches found in the database or put there. Forgotten when a batch fails."""

    projects: dict[str, KnownProject] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)
    tags: dict[tuple[int, str], int] = field(default_factory=dict)
    members: set[tuple[int, int]] = field(default_factory=set)


class Writer:
    """Writes the issues of one source. The owner (an account's id) becomes owner of projects that are created."""

    def __init__(self, database: Database, *, source: str, owner_id: int) -> None:
        self._database = database
        self._source = source
        self._owner_id = owner_id
        self._known = Known()

    async def write(self, issues: Sequence[Issue], *, renumber: bool = False) -> tuple[Counts, list[Issue]]:
        """Write those that are new: all of them, or none.

        Returns what was done, and the issues left over because another task has their number; with ``renumber``
        they get the project's next ones. Raises ``Conflict`` for a project that cannot be imported.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._database.writing() as session:
                    session.takes_long()
                    batch = _Batch(session, self._source, self._owner_id, self._known)
                    left_over = await batch.write(issues, renumber=renumber)
                return batch.counts, left_over
            except IntegrityError:
                # somebody wrote a row of the same name just now: look again
                self._known = Known()
                if attempt == ATTEMPTS:
                    raise
            except BaseException:
                self._known = Known()
                raise
        raise AssertionError("unreachable")


class _Batch:
    """One transaction."""

    def __init__(self, session: Session, source: str, owner_id: int, known: Known) -> None:
        self.counts = Counts()
        self._session = session
        self._source = source
        self._owner_id = owner_id
        self._known = known
        self._events: list[events.NewEvent] = []

    async def write(self, issues: Sequence[Issue], *, renumber: bool) -> list[Issue]:
        distinct = {issue.external_id: issue for issue in issues}
        # first: of a project that was deleted here, this forgets the tasks
        await self._find_projects(distinct.values())
        there = await self._find_tasks(distinct.values())
        new = [issue for issue in distinct.values() if issue.external_id not in there]
        self.counts.tasks_known = len(issues) - len(new)
        await self._create_projects(new)
        numbers = await self._numbers(new, renumber=renumber)
        left_over = {issue.external_id: issue for issue in new if issue.external_id not in numbers}
        for external_id in left_over:
            del distinct[external_id]
        new = [issue for issue in new if issue.external_id in numbers]

        remarks = await self._new_remarks(distinct.values(), there)
        await self._ensure_people(distinct.values(), new, remarks)
        await self._ensure_tags(distinct.values(), new)
        await self._ensure_members(new, remarks)
        created = await self._create_tasks(new, numbers, there)
        await self._create_comments(remarks, {**there, **created})
        await events.record(self._session, sources.IMPORTER, *self._events)
        return list(left_over.values())

    async def _find_tasks(self, issues: Collection[Issue]) -> dict[str, tasks.KnownTask | None]:
        ids = [issue.external_id for issue in issues]
        ids += [issue.parent_external_id for issue in issues if issue.parent_external_id]
        return await tasks.find(self._session, self._source, ids)

    async def _find_projects(self, issues: Collection[Issue]) -> None:
        known = self._known.projects
        unseen = {issue.place.key for issue in issues} - known.keys()
        if unseen:
            found = await projects.find(self._session, self._source, unseen)
            self.counts.projects_known += len(found)
            known.update(found)

    async def _create_projects(self, new: Collection[Issue]) -> None:
        known = self._known.projects
        for key, place in {issue.place.key: issue.place for issue in new}.items():
            if key not in known:
                known[key], event = await projects.create(self._session, self._source, self._owner_id, place)
                self._events.append(event)
                self.counts.projects += 1
            elif known[key].archived:
                raise Conflict(f"The project {key} is archived: it is read-only")

    async def _numbers(self, new: Collection[Issue], *, renumber: bool) -> dict[str, int]:
        """A number for each new issue; none for one whose number is taken, unless it is to get another."""
        by_project: dict[int, list[Issue]] = {}
        for issue in new:
            by_project.setdefault(self._project(issue), []).append(issue)
        numbers: dict[str, int] = {}
        for project_id, issues in by_project.items():
            if not renumber:
                # first, so that nobody else is given one of these numbers from now on
                await projects.raise_last_number(self._session, project_id, max(issue.number for issue in issues))
            taken = await projects.taken_numbers(self._session, project_id, issues)
            clashing = []
            for issue in issues:
                if issue.number in taken:
                    clashing.append(issue)
                else:
                    numbers[issue.external_id] = issue.number
                    taken.add(issue.number)
            if clashing and renumber:
                spare = await projects.next_numbers(self._session, project_id, len(clashing))
                numbers.update((issue.external_id, n) for issue, n in zip(clashing, spare, strict=True))
                self.counts.renumbered += len(clashing)
        return numbers

    async def _new_remarks(
        self, issues: Collection[Issue], there: dict[str, tasks.KnownTask | None]
    ) -> list[tuple[Issue, Remark]]:
        """Comments that are not written yet, but none of tasks that were deleted here."""
        found = await sources.find(
            self._session, self._source, "comment", (remark.external_id for issue in issues for remark in issue.remarks)
        )
        seen = set(found)
        new = []
        for issue in issues:
            deleted = issue.external_id in there and there[issue.external_id] is None
            for remark in issue.remarks:
                if remark.external_id in seen or deleted:
                    self.counts.comments_known += 1
                else:
                    seen.add(remark.external_id)
                    new.append((issue, remark))
        return new

    async def _ensure_people(
        self, issues: Collection[Issue], new: Collection[Issue], remarks: Collection[tuple[Issue, Remark]]
    ) -> None:
        known = self._known.people
        unseen = {person.external_id: person for issue in issues for person in issue.people}
        unseen = {external_id: person for external_id, person in unseen.items() if external_id not in known}
        if unseen:
            found = await people.find(self._session, self._source, list(unseen.values()))
            self.counts.people_known += len(found)
            known.update(found)
        needed: list[Person | None] = [remark.author for _, remark in remarks]
        for issue in new:
            needed += [issue.reporter, issue.assignee]
        missing = {p.external_id: p for p in needed if p is not None and p.external_id not in known}
        created, happened = await people.create(self._session, self._source, list(missing.values()))
        known.update(created)
        self._events += happened
        self.counts.people += len(created)

    async def _ensure_tags(self, issues: Collection[Issue], new: Collection[Issue]) -> None:
        known = self._known.tags
        unseen: dict[int, dict[str, str]] = {}
        for issue in issues:
            project = self._known.projects.get(issue.place.key)
            if project is not None:
                folded_labels = {fold(label): label for label in reversed(issue.labels)}
                missing = {
                    folded: label for folded, label in folded_labels.items() if (project.id, folded) not in known
                }
                unseen[project.id] = missing | unseen.get(project.id, {})
        wanted = {(self._project(issue), fold(label)) for issue in new for label in issue.labels}
        for project_id, names in unseen.items():
            found = await projects.find_tags(self._session, project_id, names)
            self.counts.tags_known += len(found)
            missing = {
                folded: name for folded, name in names.items() if folded not in found and (project_id, folded) in wanted
            }
            created, happened = await projects.create_tags(self._session, project_id, missing)
            self._events += happened
            self.counts.tags += len(created)
            known.update({(project_id, folded): tag_id for folded, tag_id in {**found, **created}.items()})

    async def _ensure_members(self, new: Collection[Issue], remarks: Collection[tuple[Issue, Remark]]) -> None:
        """Who appears in something new belongs to its project. (Who left it here is not brought back by old issues.)"""
        appearing: list[tuple[Issue, Person | None]] = [(issue, remark.author) for issue, remark in remarks]
        for issue in new:
            appearing += [(issue, issue.reporter), (issue, issue.assignee)]
        joining: dict[int, set[int]] = {}
        for issue, person in appearing:
            if person is not None:
                pair = (self._project(issue), self._known.people[person.external_id])
                if pair not in self._known.members:
                    self._known.members.add(pair)
                    joining.setdefault(pair[0], set()).add(pair[1])
        for project_id, user_ids in joining.items():
            added = await projects.add_members(self._session, project_id, user_ids)
            self._events += added
            self.counts.members += len(added)

    async def _create_tasks(
        self, new: Collection[Issue], numbers: dict[str, int], parents: dict[str, tasks.KnownTask | None]
    ) -> dict[str, tasks.KnownTask]:
        items = []
        for issue in new:
            project_id = self._project(issue)
            tag_ids = [self._known.tags[project_id, folded] for folded in dict.fromkeys(map(fold, issue.labels))]
            items.append(
                tasks.NewTask(
                    issue,
                    project_id,
                    numbers[issue.external_id],
                    self._person(issue.reporter),
                    self._person(issue.assignee),
                    tag_ids,
                )
            )
        created, happened = await tasks.create(self._session, self._source, items, parents)
        self._events += happened
        self.counts.tasks += len(created)
        self.counts.subtasks += sum(issue.parent_external_id is not None for issue in new)
        return created

    async def _create_comments(
        self, remarks: Collection[tuple[Issue, Remark]], there: dict[str, tasks.KnownTask | None]
    ) -> None:
        items = []
        for issue, remark in remarks:
            task = there[issue.external_id]
            if task is not None:
                items.append(tasks.NewComment(remark, task, self._person(remark.author)))
        self._events += await tasks.create_comments(self._session, self._source, items)
        self.counts.comments += len(items)

    def _project(self, issue: Issue) -> int:
        return self._known.projects[issue.place.key].id

    def _person(self, person: Person | None) -> int | None:
        return None if person is None else self._known.people[person.external_id]
