"""What only administrators of the server, and their keys, may do: the functions stand with what they are about."""

from services.shared.actors import Scope
from services.shared.features import Feature, Operation, Who

FEATURE = Feature(
    "admin",
    operations=(
        Operation("clear_tasks", "Mutation.clearTasks", Who.SERVER_KEY, Scope.ADMIN),
        Operation("update_user", "Mutation.updateUser", Who.SERVER_ADMIN, Scope.ADMIN),
    ),
    about="For administrators of the server.",
    schema_modules=(),
)
