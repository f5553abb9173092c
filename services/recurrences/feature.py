"""What the feature says of itself."""

from services.recurrences.models import MAX_OCCURRENCES
from services.shared.actors import Scope
from services.shared.features import Feature, Operation, Who

FEATURE = Feature(
    "recurrences",
    operations=(
        Operation("list_task_occurrences", "Query.taskOccurrences", Who.VIEWER, Scope.TASKS_READ),
        Operation("preview_occurrences", "Query.occurrences", Who.ACCOUNT, Scope.TASKS_READ),
    ),
    about="Tasks that come again.",
    limits={"occurrences that are told at once": MAX_OCCURRENCES},
)
