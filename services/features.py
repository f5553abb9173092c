"""Every feature of the product: a new one is registered here, and nowhere else.

``services.shared.features`` says what a feature has to say of itself.
"""

from services import (
    admin,
    api_keys,
    changes,
    comments,
    email_verifications,
    follows,
    history,
    members,
    milestones,
    notification_preferences,
    notifications,
    password_resets,
    relations,
    reminders,
    saved_views,
    security_events,
    sessions,
    tags,
)
from services.live_lists import feature as live_lists
from services.projects import feature as projects
from services.shared.features import NodeType, registered
from services.tasks import feature as tasks
from services.users import feature as users
from services.webhooks import feature as webhooks

FEATURES = registered(
    sessions.FEATURE,
    password_resets.FEATURE,
    email_verifications.FEATURE,
    security_events.FEATURE,
    users.FEATURE,
    api_keys.FEATURE,
    projects.FEATURE,
    members.FEATURE,
    tags.FEATURE,
    milestones.FEATURE,
    # before tasks: their routes take any word behind /tasks for an id
    live_lists.FEATURE,
    tasks.FEATURE,
    comments.FEATURE,
    relations.FEATURE,
    history.FEATURE,
    changes.FEATURE,
    follows.FEATURE,
    reminders.FEATURE,
    notification_preferences.FEATURE,
    notifications.FEATURE,
    saved_views.FEATURE,
    webhooks.FEATURE,
    admin.FEATURE,
)
OPERATIONS = {operation.rest: operation for feature in FEATURES for operation in feature.operations}
"""All operations, by their names on REST."""
NODES: dict[str, NodeType] = {node.name: node for feature in FEATURES for node in feature.nodes}
"""All types of things with global ids, by their names."""
