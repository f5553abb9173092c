"""What the feature says of itself."""

from services.shared.actors import Scope
from services.shared.features import Feature, NodeType, Operation, Who
from services.users.models import UserOut
from services.users.queries import by_ids

FEATURE = Feature(
    "users",
    operations=(
        Operation("register_user", "Mutation.register", Who.ANYBODY),
        Operation("get_me", "Query.me", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("update_me", "Mutation.updateMe", Who.LOGIN),
        Operation("change_password", "Mutation.changePassword", Who.LOGIN),
        Operation("delete_me", "Mutation.deleteMe", Who.LOGIN),
        Operation("list_users", "Query.users", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("query_users", "Query.users", Who.ACCOUNT, Scope.TASKS_READ),
        Operation("get_user", "Query.user", Who.VIEWER, Scope.TASKS_READ),
    ),
    about="Accounts and the caller's own profile.",
    nodes=(NodeType("User", by_ids, UserOut),),
)
