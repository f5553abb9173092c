from graphql_schema.shared.base import enumeration
from services.events.notices import NotificationKind

__all__ = ["NotificationKind"]

enumeration(
    NotificationKind,
    "Why something concerns a person.",
    REMINDER="The person wanted to be reminded of the task.",
    MENTIONED="A text mentions the person: @username.",
    ASSIGNED="The person is to do the task.",
    OVERDUE="The person is to do the task, and it was not done in time.",
    DUE_SOON="The person is to do the task, and it will be due soon.",
    UNBLOCKED="What blocked a task that the person follows is done.",
    COMMENTED="Somebody commented on a task that the person follows.",
    STATUS_CHANGED="A task that the person follows stands elsewhere.",
    ADDED="The person was added to the project.",
    REMOVED="The person was removed from the project.",
)
