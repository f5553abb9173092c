"""What Jira's documents have that tasks have no place for, and whom they say an issue or a comment is for.

Nothing is dropped in silence: a field that isn't read has its number, also one that nobody has heard of.
"""

from collections.abc import Iterator

Json = dict[str, object]

_READ = frozenset(
    {
        "assignee",
        "comment",
        "created",
        "creator",
        "description",
        "duedate",
        "issuelinks",
        "issuerestriction",
        "labels",
        "parent",
        "priority",
        "project",
        "reporter",
        "resolution",
        "resolutiondate",
        "security",
        "status",
        "summary",
        "updated",
    }
)
# subtasks: the other end of parent; the others are worked out by Jira from what else is there, or are about the reader
_DERIVED = frozenset(
    {
        "subtasks",
        "lastViewed",
        "statusCategory",
        "statuscategorychangedate",
        "workratio",
        "thumbnail",
    }
)
_OF_DOCUMENT = frozenset(
    {
        "id",
        "key",
        "fields",
        "self",
        "expand",
        "names",
        "schema",
        "renderedFields",
        "transitions",
        "operations",
        "editmeta",
        "versionedRepresentations",
    }
)
_OF_PROJECT = frozenset(
    {
        "id",
        "key",
        "name",
        "description",
        "self",
        "expand",
        "avatarUrls",
        "archived",
        "deleted",
        "entityId",
        "isPrivate",
        "projectTypeKey",
        "simplified",
        "style",
        "uuid",
    }
)
_TIMES = frozenset(
    {
        "timetracking",
        "timespent",
        "timeestimate",
        "timeoriginalestimate",
        "progress",
        "aggregatetimespent",
        "aggregatetimeestimate",
        "aggregatetimeoriginalestimate",
        "aggregateprogress",
    }
)
_COUNTS = ("total", "votes", "watchCount", "worklogs", "histories")
"""Where a document says how many of something there are, or has them."""
_LABELS = {
    "attachment": "attachments",
    "changelog": "entries of the change history",
    "closedSprints": "sprints",
    "components": "components",
    "environment": "environments",
    "epic": "epics",
    "fixVersions": "fix versions",
    "flagged": "flags",
    "issuetype": "issue types",
    "sprint": "sprints",
    "versions": "affected versions",
    "votes": "votes",
    "watches": "watchers",
    "worklog": "work logs",
}
_LABELS_OF_PROJECT = {
    "components": "components of projects",
    "issueTypes": "issue types of projects",
    "lead": "leads of projects",
    "projectCategory": "categories of projects",
    "roles": "roles of projects",
    "url": "addresses of projects",
    "versions": "versions of projects",
}
TIME_TRACKING = "issues with time tracking"
CUSTOM = "customfield_"
"""How the names of custom fields start; one value of a custom field is one, whatever it is made of."""


def of_issue(document: Json, fields: Json) -> Iterator[tuple[str, int]]:
    """What an issue has that isn't kept: what it is called, and how many."""
    timed = False
    for name, value in fields.items():
        if not value and not _is_number(value):
            continue
        if name in _READ or name in _DERIVED:
            continue
        if name in _TIMES:
            timed = timed or (any(value.values()) if isinstance(value, dict) else bool(value))
        elif name.startswith(CUSTOM):
            yield name, 1
        elif number := _number(value):
            yield _LABELS.get(name, f"“{name}”"), number
    if timed:
        yield TIME_TRACKING, 1
    for name in document.keys() - _OF_DOCUMENT:
        if number := _number(document[name]):
            yield _LABELS.get(name, f"“{name}”"), number


def of_project(document: Json) -> Iterator[tuple[str, int]]:
    """What a project has that isn't kept."""
    for name in document.keys() - _OF_PROJECT:
        if number := _number(document[name]):
            yield _LABELS_OF_PROJECT.get(name, f"“{name}” of projects"), number


def is_restricted_issue(fields: Json) -> bool:
    """Whether a security level (or, in the cloud, a restriction to roles) keeps an issue from some of the project."""
    restriction = fields.get("issuerestriction")
    if isinstance(restriction, dict):
        restriction = restriction.get("issuerestrictions")
    return bool(fields.get("security")) or bool(restriction)


def is_restricted_comment(entry: Json) -> bool:
    """Whether a comment is for a role or a group, or internal to a service desk."""
    if entry.get("visibility"):
        return True
    if entry.get("jsdPublic", True) not in (True, None, "true"):
        return True
    properties = entry.get("properties")
    return isinstance(properties, list) and any(map(_is_internal, properties))


def _is_internal(entry: object) -> bool:
    """A property of a comment: how a service desk's server marks those that its customers don't see."""
    if not isinstance(entry, dict) or entry.get("key") != "sd.public.comment":
        return False
    value = entry.get("value")
    return not isinstance(value, dict) or value.get("internal") not in (False, None, "false")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: object) -> int:
    """How many things a value is. Jira counts some of them itself, and sends not all of those that it counts."""
    if isinstance(value, list):
        return sum(each is not None for each in value)
    if isinstance(value, dict) and (counted := [value[name] for name in _COUNTS if name in value]):
        return max(
            (len(each) if isinstance(each, list) else each for each in counted if isinstance(each, list | int)),
            default=1,
        )
    return 1 if value or _is_number(value) else 0
