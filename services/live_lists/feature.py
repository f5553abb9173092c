"""What the feature says of itself."""

from services.live_lists.models import MAX_TASKS
from services.shared.actors import Scope
from services.shared.features import Feature, Operation, Who

FEATURE = Feature(
    "live_lists",
    operations=(Operation("follow_tasks", "Subscription.liveTasks", Who.ACCOUNT, Scope.TASKS_READ),),
    about="Lists of tasks that stay right while they are shown.",
    limits={"tasks of a live list": MAX_TASKS},
)
