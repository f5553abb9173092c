"""One module per feature. A new model is registered here, or Alembic does not see it."""

from db.models.api_keys import ApiKey
from db.models.base import Base
from db.models.comments import Comment, CommentText
from db.models.events import Event
from db.models.idempotency import IdempotencyKey
from db.models.imports import ExternalId
from db.models.login_failures import LoginFailure
from db.models.projects import Membership, Project
from db.models.relations import Relation
from db.models.saved_views import SavedView
from db.models.sessions import LoginSession, RefreshToken
from db.models.tags import Tag, TaskTag
from db.models.tasks import Task, TaskAssignee, TaskText
from db.models.users import User

__all__ = [
    "ApiKey",
    "Base",
    "Comment",
    "CommentText",
    "Event",
    "ExternalId",
    "IdempotencyKey",
    "LoginFailure",
    "LoginSession",
    "Membership",
    "Project",
    "RefreshToken",
    "Relation",
    "SavedView",
    "Tag",
    "Task",
    "TaskAssignee",
    "TaskTag",
    "TaskText",
    "User",
]
