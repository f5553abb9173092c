"""A batch of records in one transaction: an issue with all that belongs to it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from db.sessions import Session
from services import events
from services.imports import links, people, projects, restricted, sources, tasks
from services.imports.projects import KnownProject
from services.imports.records import Issue, Person, Place, Remark
from services.imports.summary import Counts, Refusal
from services.tags import fold

ARCHIVED = "it is archived here, and so read-only"


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """How to write. The owner (an account's id) becomes owner of projects that are created."""

    source: str
    owner_id: int
    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys that projects get here instead of their own."""
    include_restricted: bool = False
    """Whether to bring in what is not for every member of a project, so that it is."""


@dataclass(slots=True)
class Known:
    """What earlier batches found in the database or put there. Forgotten when a batch fails."""

    projects: dict[str, KnownProject] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)
    tags: dict[tuple[int, str], int] = field(default_factory=dict)
    members: set[tuple[int, int]] = field(default_factory=set)


class Batch:
    """One transaction."""

    def __init__(
        self,
        session: Session,
        options: WriterOptions,
        known: Known,
        places: Mapping[str, Place],
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
        self._places = places
        self._links_met_before = links_met
        self._events: list[events.NewEvent] = []

    async def write(self, issues: Sequence[Issue], *, renumber: bool) -> list[Issue]:
        distinct = {issue.external_id: issue for issue in issues}
        # first: of a project that was deleted here, this forgets the tasks
        await self._find_projects(distinct.values())
        if not self._options.include_restricted:
            distinct = await restricted.leave_out(self._session, self._source, distinct, self.counts)
        there = await self._find_tasks(distinct.values())
        new = await self._admitted([issue for issue in distinct.values() if issue.external_id not in there])
        distinct = {
            issue.external_id: issue
            for issue in distinct.values()
            if issue.external_id in there or issue.place.key not in self.refused
        }
        old = [issue for issue in distinct.values() if issue.external_id in there]
        # an issue that is in the archive twice is known the second time
        self.counts.tasks_known = sum(issue.external_id in distinct for issue in issues) - len(new)
        self.counts.subtasks_known = sum(issue.parent_external_id is not None for issue in old)
        self.counts.due_dates_known = sum(issue.due_at is not None for issue in old)
        await self._recall_links(old, there)
        numbers = await self._numbers(new, renumber=renumber)
        left_over = {issue.external_id: issue for issue in new if issue.external_id not in numbers}
        for external_id in left_over:
            del distinct[external_id]
        new = [issue for issue in new if issue.external_id in numbers]

        remarks = await self._new_remarks(distinct.values(), there)
        await self._ensure_people(distinct.values(), new, remarks)
        await self._ensure_tags(distinct.values(), new)
        await self._ensure_members(new, remarks, there)
        await self._count_members(old, there)
        created = await self._create_tasks(new, numbers, there)
        await self._create_comments(remarks, {**there, **created})
        await events.record(self._session, sources.IMPORTER, *self._events)
        return list(left_over.values())

    async def _find_tasks(self, issues: Collection[Issue]) -> dict[str, tasks.KnownTask | None]:
        ids = [issue.external_id for issue in issues]
        ids += [issue.parent_external_id for issue in issues if issue.parent_external_id]
        return await tasks.find(self._session, self._source, ids)

    async def _find_projects(self, issues: Collection[Issue]) -> None:
        """In every batch anew, as they may have been archived or deleted since the last; they stay so to its end."""
        known, keys = self._known.projects, {issue.place.key for issue in issues}
        found = await projects.find(self._session, self._source, keys)
        self.counts.projects_known += len(found.keys() - known.keys())
        for key in keys - found.keys():
            known.pop(key, None)
        known.update(found)

    async def _admitted(self, new: Collection[Issue]) -> list[Issue]:
        """Those of new issues that there is or can be a project for; the others are refused, and the rest goes on."""
        for key in dict.fromkeys(issue.place.key for issue in new):
            if reason := await self._obstacle(key):
                refusal = self._refuse(key, reason)
                for issue in new:
                    refusal.issues += issue.place.key == key
                    refusal.comments += len(issue.remarks) if issue.place.key == key else 0
            elif key not in self._known.projects:
                await self._create_project(key, [issue.place for issue in new if issue.place.key == key])
        return [issue for issue in new if issue.place.key not in self.refused]

    async def _obstacle(self, key: str) -> str | None:
        project = self._known.projects.get(key)
        if project is None:
            return await projects.obstacle(self._session, self._source, self._options.keys.get(key, key))
        return ARCHIVED if project.archived else None

    def _refuse(self, key: str, reason: str) -> Refusal:
        return self.refused.setdefault(key, Refusal(reason))

    async def _create_project(self, key: str, places: Sequence[Place]) -> None:
        """With what its own record says of it, or else what the first of its issues says that knows a name."""
        place = self._places.get(key)
        if place is not None:
            self.described.add(key)
        else:
            place = Place(key)
        if place.name is None:
            place = replace(place, name=next((each.name for each in places if each.name), None))
        here = self._options.keys.get(key, key)
        project, event = await projects.create(self._session, self._source, self._options.owner_id, place, here)
        if key in self.described:
            await sources.remember(self._session, self._source, "described", {key: project.id})
        self._known.projects[key] = project
        self._events.append(event)
        self.counts.projects += 1

    async def _recall_links(self, old: Collection[Issue], there: Mapping[str, tasks.KnownTask | None]) -> None:
        named = {
            link.key: there[issue.external_id]
            for issue in old
            for link in issue.links
            if hash(link.key) not in self._links_met_before
        }
        self.links_met |= {hash(key) for key in named}
        if named:
            recalled = await links.recall(self._session, self._source, named)
            self.counts.links_known += recalled.known
            self.counts.links_refused += recalled.refused
            self.counts.links_unmade += recalled.unmade

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
        # not those of the projects that the issues are in now: an issue may have been moved in the source
        homes = {task.project_id for task in there.values() if task is not None}
        archived = await projects.archived(self._session, homes) if homes else set()
        new = []
        for issue in issues:
            deleted = issue.external_id in there and there[issue.external_id] is None
            for remark in issue.remarks:
                if remark.external_id in seen or deleted:
                    self.counts.comments_known += 1
                elif self._home(issue, there) in archived:
                    self._refuse(issue.place.key, ARCHIVED).comments += 1
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

    async def _ensure_members(
        self,
        new: Collection[Issue],
        remarks: Collection[tuple[Issue, Remark]],
        there: Mapping[str, tasks.KnownTask | None],
    ) -> None:
        """Who appears in something new belongs to its project. (Who left it here is not brought back by old issues.)"""
        appearing: list[tuple[Issue, Person | None]] = [(issue, remark.author) for issue, remark in remarks]
        for issue in new:
            appearing += [(issue, issue.reporter), (issue, issue.assignee)]
        joining: dict[int, set[int]] = {}
        for issue, person in appearing:
            if person is not None:
                pair = (self._home(issue, there), self._known.people[person.external_id])
                if pair not in self._known.members:
                    self._known.members.add(pair)
                    joining.setdefault(pair[0], set()).add(pair[1])
        for project_id, user_ids in joining.items():
            added = await projects.add_members(self._session, project_id, user_ids)
            self._events += added
            self.counts.members += len(added)
            self.counts.members_known += len(user_ids) - len(added)

    async def _count_members(self, old: Collection[Issue], there: Mapping[str, tasks.KnownTask | None]) -> None:
        """Who appears in what was there before, and belongs to its project still."""
        appearing: dict[int, set[int]] = {}
        for issue in old:
            if there[issue.external_id] is None and issue.place.key not in self._known.projects:
                continue
            home = self._home(issue, there)
            for person in issue.people:
                user_id = self._known.people.get(person.external_id)
                if user_id is not None and (home, user_id) not in self._known.members:
                    self._known.members.add((home, user_id))
                    appearing.setdefault(home, set()).add(user_id)
        for project_id, user_ids in appearing.items():
            self.counts.members_known += len(await projects.find_members(self._session, project_id, user_ids))

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
        self.counts.due_dates += sum(issue.due_at is not None for issue in new)
        self.counts.widened_issues += sum(issue.restricted for issue in new)
        expected = {link.key: created[issue.external_id].id for issue in new for link in issue.links}
        self.links_met |= {hash(key) for key in expected}
        await links.expect(self._session, self._source, expected)
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
        self.counts.widened_comments += sum(remark.restricted for _, remark in remarks)

    def _home(self, issue: Issue, there: Mapping[str, tasks.KnownTask | None]) -> int:
        """The project of a task that is there, whatever project its issue is in by now; or that of a new one."""
        task = there.get(issue.external_id)
        return self._project(issue) if task is None else task.project_id

    def _project(self, issue: Issue) -> int:
        return self._known.projects[issue.place.key].id

    def _person(self, person: Person | None) -> int | None:
        return None if person is None else self._known.people[person.external_id]
