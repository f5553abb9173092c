"""Every kind of event, declared once: its name, what it is about, and the fields that it tells of.

Kinds are part of the interface: a name keeps its meaning, and a kind may come to tell of more fields, not of fewer.
"""

from dataclasses import dataclass
from typing import Literal

Subject = Literal[
    "api_key",
    "comment",
    "follow",
    "member",
    "milestone",
    "project",
    "relation",
    "reminder",
    "saved_view",
    "server",
    "session",
    "tag",
    "task",
    "user",
    "webhook",
]


@dataclass(frozen=True, slots=True, eq=False)
class EventKind:
    """A kind of event. ``holds`` are the fields it may tell of; ``since`` is the version that first recorded it."""

    name: str
    subject: Subject
    holds: frozenset[str]
    since: str
    sentence: str


CATALOGUE: dict[str, EventKind] = {}
"""The kinds by name, in the order of their declaration."""


def _declare(name: str, subject: Subject, holds: str, sentence: str, *, since: str = "1.0.0") -> EventKind:
    if name in CATALOGUE:
        raise ValueError(f"{name} is declared twice")
    kind = CATALOGUE[name] = EventKind(name, subject, frozenset(holds.split()), since, sentence)
    return kind


_EXTERNAL = "external_source external_id"
_DATES = "start_at start_on due_at due_on"
_OF_TASK = f"title description status priority {_DATES} parent_id milestone_id assignee_ids tags {_EXTERNAL}"
_OF_RELATION = "kind source_id target_id"
_OF_MILESTONE = "name description due_at state"
_OF_VIEW = "name filter sort_by order then_by"
_OF_WEBHOOK = "name kinds filter content document"

TASK_CREATED = _declare("task.created", "task", f"number {_OF_TASK}", "A task was created.")
TASK_UPDATED = _declare("task.updated", "task", _OF_TASK, "A task was changed, or what hangs on it was.")
TASK_DELETED = _declare("task.deleted", "task", "deleted_at", "A task went to the trash.")
TASK_RESTORED = _declare("task.restored", "task", "deleted_at parent_id", "A task came back from the trash.")
TASK_MOVED = _declare(
    "task.moved",
    "task",
    "project_id ref parent_id milestone_id assignee_ids tags",
    "A task came from another project, with its comments and relations.",
)
TASK_LEFT = _declare(
    "task.left", "task", "ref", "A task went to another project: whoever may not read it there drops it."
)
TASK_DUE_SOON = _declare("task.due_soon", "task", "due_at due_on", "A task that is open will be due soon.")
TASK_OVERDUE = _declare("task.overdue", "task", "due_at due_on", "A task that is open is not done in time.")
TASK_PURGED = _declare("task.purged", "task", "ref", "A task was deleted for good.")
TASK_IMPORTED = _declare("task.imported", "task", "source", "A task was brought in from another system.")
TASKS_CLEARED = _declare("tasks.cleared", "server", "tasks", "All tasks, or all of a project, were deleted for good.")

COMMENT_CREATED = _declare("comment.created", "comment", f"body {_EXTERNAL}", "A comment was written.")
COMMENT_UPDATED = _declare("comment.updated", "comment", f"body {_EXTERNAL}", "A comment was changed.")
COMMENT_DELETED = _declare("comment.deleted", "comment", "body", "A comment was deleted.")
COMMENT_IMPORTED = _declare("comment.imported", "comment", "source", "A comment was brought in from another system.")

RELATION_CREATED = _declare("relation.created", "relation", _OF_RELATION, "A task was related to another.")
RELATION_DELETED = _declare("relation.deleted", "relation", _OF_RELATION, "A relation between tasks ended.")

TAG_CREATED = _declare("tag.created", "tag", "name color", "A project got a tag.")
TAG_UPDATED = _declare("tag.updated", "tag", "name color", "A tag was changed.")
TAG_DELETED = _declare("tag.deleted", "tag", "name", "A tag was deleted.")

MILESTONE_CREATED = _declare("milestone.created", "milestone", _OF_MILESTONE, "A project got a milestone.")
MILESTONE_UPDATED = _declare("milestone.updated", "milestone", _OF_MILESTONE, "A milestone was changed.")
MILESTONE_DELETED = _declare("milestone.deleted", "milestone", "name", "A milestone was deleted.")

PROJECT_CREATED = _declare("project.created", "project", f"key name description {_EXTERNAL}", "A project was created.")
PROJECT_UPDATED = _declare(
    "project.updated",
    "project",
    f"name description archived {_EXTERNAL}",
    "A project was renamed, described, archived, reopened, or given another external id.",
)
PROJECT_DELETED = _declare("project.deleted", "project", "key name", "A project was deleted for good.")
PROJECT_IMPORTED = _declare("project.imported", "project", "source", "A project was brought in from another system.")

MEMBER_ADDED = _declare("member.added", "member", "user_id role", "Somebody joined a project.")
MEMBER_UPDATED = _declare("member.updated", "member", "user_id role", "A member's role was changed.")
MEMBER_REMOVED = _declare("member.removed", "member", "user_id role", "Somebody left a project.")

USER_CREATED = _declare("user.created", "user", "username full_name timezone", "An account was created.")
USER_UPDATED = _declare(
    "user.updated", "user", "full_name timezone email disabled is_admin", "An account was changed; no address is told."
)
USER_CLAIMED = _declare("user.claimed", "user", "email", "Somebody took over an imported account; no address is told.")
USER_IMPORTED = _declare("user.imported", "user", "source", "A person was brought in from another system.")
USER_PASSWORD_CHANGED = _declare("user.password_changed", "user", "", "A password was changed.")
USER_PASSWORD_CHANGE_REFUSED = _declare(
    "user.password_change_refused", "user", "", "Too many wrong passwords were given for a change."
)
USER_PASSWORD_RESET_REQUESTED = _declare(
    "user.password_reset_requested", "user", "", "A token to set a new password with was made."
)
USER_PASSWORD_RESET = _declare("user.password_reset", "user", "", "A password was set anew, by a token or an operator.")
USER_EMAIL_VERIFIED = _declare("user.email_verified", "user", "", "An address was found to be its account's.")
USER_DELETED = _declare("user.deleted", "user", "", "An account was deleted by its owner.")
LOGIN_REFUSED = _declare("login.refused", "user", "", "Too many wrong passwords were given at login.")

SESSION_CREATED = _declare("session.created", "session", "user_agent", "Somebody logged in.")
SESSION_ENDED = _declare("session.ended", "session", "", "A login ended before its time.")
SESSION_TOKEN_REUSED = _declare("session.token_reused", "session", "", "A spent refresh token came again.")

API_KEY_CREATED = _declare(
    "api_key.created", "api_key", "name prefix scopes expires_at project_ids", "An API key was made."
)
API_KEY_UPDATED = _declare(
    "api_key.updated", "api_key", "name project_ids", "An API key was renamed, or limited to other projects."
)
API_KEY_ROTATED = _declare("api_key.rotated", "api_key", "prefix former_until", "An API key got another secret.")
API_KEY_DELETED = _declare("api_key.deleted", "api_key", "name prefix", "An API key was deleted.")

SAVED_VIEW_CREATED = _declare("saved_view.created", "saved_view", _OF_VIEW, "A view was saved.")
SAVED_VIEW_UPDATED = _declare("saved_view.updated", "saved_view", _OF_VIEW, "A saved view was changed.")
SAVED_VIEW_DELETED = _declare("saved_view.deleted", "saved_view", "name", "A saved view was deleted.")

FOLLOW_CREATED = _declare("follow.created", "follow", "task_id project_id", "Somebody follows a task or a project.")
FOLLOW_DELETED = _declare(
    "follow.deleted", "follow", "task_id project_id", "Somebody does not follow a task or a project (any more)."
)

REMINDER_CREATED = _declare(
    "reminder.created", "reminder", "task_id remind_at before_due", "Somebody set a reminder of a task."
)
REMINDER_UPDATED = _declare(
    "reminder.updated", "reminder", "remind_at before_due snoozed_until", "A reminder was changed, or snoozed."
)
REMINDER_DELETED = _declare("reminder.deleted", "reminder", "task_id", "A reminder was deleted.")

WEBHOOK_CREATED = _declare("webhook.created", "webhook", f"project_id {_OF_WEBHOOK}", "A webhook was made.")
WEBHOOK_UPDATED = _declare("webhook.updated", "webhook", _OF_WEBHOOK, "A webhook was changed.")
WEBHOOK_ROTATED = _declare("webhook.rotated", "webhook", "former_until", "A webhook got another secret.")
WEBHOOK_PAUSED = _declare("webhook.paused", "webhook", "state", "A webhook was paused.")
WEBHOOK_RESUMED = _declare("webhook.resumed", "webhook", "state", "A webhook is told again.")
WEBHOOK_DISABLED = _declare(
    "webhook.disabled", "webhook", "state disabled_reason", "The server disabled a webhook: it took nothing any more."
)
WEBHOOK_DELIVERY_FAILED = _declare(
    "webhook.delivery_failed", "webhook", "delivery_id", "A webhook that takes others did not take a delivery for days."
)
WEBHOOK_DELETED = _declare("webhook.deleted", "webhook", "name", "A webhook was deleted.")

IMPORTED = {
    "project": PROJECT_IMPORTED,
    "user": USER_IMPORTED,
    "task": TASK_IMPORTED,
    "comment": COMMENT_IMPORTED,
}
"""The kinds of what is brought in, by what it is."""
