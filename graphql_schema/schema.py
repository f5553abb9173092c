"""The schema. A new feature's queries and mutations are registered here; a test names one that was forgotten."""

import strawberry
from graphql import get_named_type
from strawberry.schema.config import StrawberryConfig

from graphql_schema.api_keys import ApiKeyMutations, ApiKeyQueries
from graphql_schema.comments import CommentMutations, CommentQueries
from graphql_schema.context import ResolverInfo
from graphql_schema.members import MemberMutations
from graphql_schema.nodes import NodeQueries
from graphql_schema.projects import ProjectMutations, ProjectQueries
from graphql_schema.relations import RelationMutations, RelationQueries
from graphql_schema.saved_views import SavedViewMutations, SavedViewQueries
from graphql_schema.scalars import DATE_TIME
from graphql_schema.security_events import SecurityEventQueries
from graphql_schema.sessions import SessionMutations, SessionQueries
from graphql_schema.tags import TagMutations, TagQueries
from graphql_schema.task_bulk import TaskBulkMutations
from graphql_schema.task_changes import TaskMutations
from graphql_schema.tasks import TaskQueries, TaskSubscriptions
from graphql_schema.users import UserMutations, UserQueries


@strawberry.type(description="What can be read.")
class Query(
    NodeQueries,
    UserQueries,
    SessionQueries,
    SecurityEventQueries,
    ApiKeyQueries,
    ProjectQueries,
    TagQueries,
    TaskQueries,
    CommentQueries,
    RelationQueries,
    SavedViewQueries,
): ...


@strawberry.type(description="What can be changed. Each field is a transaction of its own, one after the other.")
class Mutation(
    SessionMutations,
    UserMutations,
    ApiKeyMutations,
    ProjectMutations,
    MemberMutations,
    TagMutations,
    TaskMutations,
    TaskBulkMutations,
    CommentMutations,
    RelationMutations,
    SavedViewMutations,
): ...


@strawberry.type(description="What can be followed as it happens.")
class Subscription(TaskSubscriptions): ...


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    config=StrawberryConfig(info_class=ResolverInfo, scalar_map={DATE_TIME.origin: DATE_TIME}),
)


def _describe_inputs() -> None:
    """An argument called ``input`` is described by its type."""
    for mutation in schema._schema.mutation_type.fields.values():  # type: ignore[union-attr]  # there is one
        argument = mutation.args.get("input")
        if argument is not None and argument.description is None:
            argument.description = get_named_type(argument.type).description


_describe_inputs()


def sdl() -> str:
    """The schema as SDL."""
    return schema.as_str() + "\n"
