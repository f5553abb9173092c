"""Parameters that routes have in common: ids in paths, and whom a change is told."""

from typing import Annotated, Any

from fastapi import Path, Query

from services.shared.node_ids import MAX_DATABASE_ID


def path_id(name: str) -> Any:
    """An id in a path, of what is called by the name."""
    return Path(ge=1, le=MAX_DATABASE_ID, description=f"The id of the {name}.", examples=[12])


UserPath = Annotated[int, path_id("user")]
SessionPath = Annotated[int, path_id("session")]
KeyPath = Annotated[int, path_id("API key")]
ProjectPath = Annotated[int, path_id("project")]
TagPath = Annotated[int, path_id("tag")]
TaskPath = Annotated[int, path_id("task")]
CommentPath = Annotated[int, path_id("comment")]
RelationPath = Annotated[int, path_id("relation")]
SavedViewPath = Annotated[int, path_id("saved view")]
NotificationPath = Annotated[int, path_id("notification")]
ReminderPath = Annotated[int, path_id("reminder")]

Notify = Annotated[bool, Query(description="Whether the people concerned are told of the change.")]
