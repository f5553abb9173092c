"""One module per feature. A new model is registered here, or Alembic does not see it, unless another refers to it."""

from db.models.account_tokens import AccountToken
from db.models.api_keys import ApiKey, ApiKeyProject
from db.models.base import Base
from db.models.comments import Comment, CommentText
from db.models.consumers import EventConsumer
from db.models.events import Event
from db.models.follows import ProjectFollow, TaskFollow
from db.models.former_refs import FormerRef
from db.models.idempotency import IdempotencyKey
from db.models.imports import ExternalId
from db.models.jobs import Job
from db.models.login_failures import LoginFailure
from db.models.mails import Mail, MailNotice
from db.models.notification_preferences import NotificationPreferences
from db.models.notifications import DueNotice, Notification
from db.models.projects import Membership, Project
from db.models.relations import Relation
from db.models.reminders import Reminder
from db.models.saved_views import SavedView
from db.models.sessions import LoginSession, RefreshToken
from db.models.tags import Tag, TaskTag
from db.models.tasks import Task, TaskAssignee, TaskText
from db.models.users import User
from db.models.webhooks import Webhook, WebhookDelivery, WebhookTask

__all__ = [
    "AccountToken",
    "ApiKey",
    "ApiKeyProject",
    "Base",
    "Comment",
    "CommentText",
    "DueNotice",
    "Event",
    "EventConsumer",
    "ExternalId",
    "FormerRef",
    "IdempotencyKey",
    "Job",
    "LoginFailure",
    "LoginSession",
    "Mail",
    "MailNotice",
    "Membership",
    "Notification",
    "NotificationPreferences",
    "Project",
    "ProjectFollow",
    "RefreshToken",
    "Relation",
    "Reminder",
    "SavedView",
    "Tag",
    "Task",
    "TaskAssignee",
    "TaskFollow",
    "TaskTag",
    "TaskText",
    "User",
    "Webhook",
    "WebhookDelivery",
    "WebhookTask",
]
