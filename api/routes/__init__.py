"""The REST door. A new feature's router is registered here; a test names one that was forgotten."""

from fastapi import APIRouter

from api.routes import (
    admin,
    api_keys,
    comments,
    history,
    members,
    projects,
    relations,
    saved_views,
    security_events,
    sessions,
    tags,
    tasks,
    users,
)

ROUTERS: tuple[APIRouter, ...] = (
    sessions.router,
    security_events.router,
    users.router,
    api_keys.router,
    projects.router,
    members.router,
    tags.router,
    tasks.router,
    comments.router,
    relations.router,
    history.router,
    saved_views.router,
    admin.router,
)
