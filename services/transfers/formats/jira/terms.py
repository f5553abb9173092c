"""What Jira's words mean here. Installations may rename them all, so an unknown word is never an error."""

from services.relations import RelationKind
from services.tasks.models import TaskStatus

STATUSES = {
    "open": TaskStatus.PENDING,
    "reopened": TaskStatus.PENDING,
    "new": TaskStatus.PENDING,
    "to do": TaskStatus.PENDING,
    "backlog": TaskStatus.PENDING,
    "in progress": TaskStatus.IN_PROGRESS,
    "in review": TaskStatus.IN_PROGRESS,
    "in qe test": TaskStatus.IN_PROGRESS,
    "closed": TaskStatus.COMPLETED,
    "resolved": TaskStatus.COMPLETED,
    "done": TaskStatus.COMPLETED,
}
CATEGORIES = {
    "new": TaskStatus.PENDING,
    "indeterminate": TaskStatus.IN_PROGRESS,
    "done": TaskStatus.COMPLETED,
}
"""The three kinds of status that every Jira knows, by their keys: for a status of another name."""

DONE = frozenset({"fixed", "done", "complete", "completed", "resolved"})
NOT_DONE = frozenset(
    {
        "won't fix",
        "won't do",
        "duplicate",
        "cannot reproduce",
        "invalid",
        "not our bug",
        "not a bug",
        "hold",
        "needs more info",
        "incomplete",
        "declined",
        "rejected",
        "abandoned",
    }
)
"""Resolutions of issues that were closed although nobody did them."""

PRIORITIES = {
    "blocker": 5,
    "critical": 5,
    "highest": 5,
    "high": 4,
    "major": 4,
    "medium": 3,
    "low": 2,
    "minor": 2,
    "lowest": 1,
    "trivial": 1,
    "none": 1,
}

LINKS = {
    "blocks": (RelationKind.BLOCKS, False),
    "blocker": (RelationKind.BLOCKS, False),
    "depends": (RelationKind.BLOCKS, True),
    "dependency": (RelationKind.BLOCKS, True),
    "gantt: finish-start": (RelationKind.BLOCKS, False),
    "gantt end to start": (RelationKind.BLOCKS, False),
    "duplicate": (RelationKind.DUPLICATES, False),
}
"""Kinds of links by name, and whether the outward issue is the source; one of another name just relates its issues."""
PLAIN_LINKS = frozenset({"relates", "relate", "related"})
"""Kinds of links that say no more than that."""
