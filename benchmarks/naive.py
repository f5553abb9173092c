"""The naive application: FastAPI and Strawberry as good tutorials write them, over the same tables and their indexes.

The stack is the one that their documentation recommends: SQLAlchemy's asyncio with asyncpg or aiosqlite, an
AsyncSession for each request from a dependency, ORM models with relationships that are loaded eagerly (``joined`` and
``selectinload``), pydantic models ``from_attributes``, Strawberry's own router with a DataLoader for each relation
(each with a session of its own: siblings that share one fail). The token is decoded and the user loaded on every
request. It keeps the same permission rule and answers the same members. Nothing is slowed down on purpose, and nothing
is sped up that tutorials leave as it is.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal
from uuid import uuid4

import strawberry
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import OAuth2PasswordBearer
from jose import JWTError, jwt
from pydantic import BaseModel, ConfigDict
from sqlalchemy import JSON, Column, ForeignKey, Select, Table, event, make_url, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload
from strawberry.dataloader import DataLoader
from strawberry.fastapi import GraphQLRouter

from db.driver.types import UtcDateTime

# --- Database

url = make_url(os.environ["DATABASE_URL"])
is_sqlite = url.get_backend_name() == "sqlite"
engine = create_async_engine(
    url.set(drivername="sqlite+aiosqlite" if is_sqlite else "postgresql+asyncpg"),
    pool_size=int(os.environ["DATABASE_POOL_SIZE"]),
)
new_session = async_sessionmaker(engine, expire_on_commit=False)


@event.listens_for(engine.sync_engine, "connect")
def prepare(connection: Any, _record: object) -> None:
    """As durable as the others."""
    if is_sqlite:
        for pragma in ("busy_timeout = 15000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[Any] = {datetime: UtcDateTime, dict[str, Any]: JSON}


task_assignees = Table(
    "task_assignees",
    Base.metadata,
    Column("task_id", ForeignKey("tasks.id"), primary_key=True),
    Column("user_id", ForeignKey("users.id"), primary_key=True),
)
task_tags = Table(
    "task_tags",
    Base.metadata,
    Column("task_id", ForeignKey("tasks.id"), primary_key=True),
    Column("tag_id", ForeignKey("tags.id"), primary_key=True),
)


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str]
    full_name: Mapped[str | None]
    email: Mapped[str | None]
    disabled: Mapped[bool]

    @property
    def node_id(self) -> str:
        return node_id("User", self.id)


class Membership(Base):
    __tablename__ = "memberships"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    role: Mapped[str]


class Project(Base):
    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None]
    inbox_of_id: Mapped[int | None]
    last_number: Mapped[int]
    external_source: Mapped[str | None]
    external_id: Mapped[str | None]
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]

    @property
    def node_id(self) -> str:
        return node_id("Project", self.id)

    @property
    def is_inbox(self) -> bool:
        return self.inbox_of_id is not None


class Tag(Base):
    __tablename__ = "tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str]
    name_folded: Mapped[str]
    color: Mapped[str | None]

    @property
    def node_id(self) -> str:
        return node_id("Tag", self.id)


class Task(Base):
    __tablename__ = "tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    number: Mapped[int]
    title: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[str] = mapped_column(default="pending")
    priority: Mapped[int] = mapped_column(default=1)
    start_at: Mapped[datetime | None]
    start_all_day: Mapped[bool | None]
    due_at: Mapped[datetime | None]
    due_all_day: Mapped[bool | None]
    completed_at: Mapped[datetime | None]
    parent_id: Mapped[int | None]
    milestone_id: Mapped[int | None]
    created_by_id: Mapped[int | None]
    external_source: Mapped[str | None]
    external_id: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]
    project: Mapped[Project] = relationship(lazy="joined")
    assignees: Mapped[list[User]] = relationship(secondary=task_assignees, order_by=User.id)
    tags: Mapped[list[Tag]] = relationship(secondary=task_tags, order_by=(Tag.name_folded, Tag.id))

    @property
    def node_id(self) -> str:
        return node_id("Task", self.id)

    @property
    def ref(self) -> str:
        return f"{self.project.key}-{self.number}"

    @property
    def start_on(self) -> date | None:
        return self.start_at.date() if self.start_at is not None and self.start_all_day else None

    @property
    def due_on(self) -> date | None:
        return self.due_at.date() if self.due_at is not None and self.due_all_day else None


class TaskText(Base):
    __tablename__ = "task_texts"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    folded: Mapped[str]


class Event(Base):
    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[str]
    occurred_at: Mapped[datetime]
    kind: Mapped[str]
    entity_type: Mapped[str]
    entity_id: Mapped[int]
    entity_version: Mapped[int]
    project_id: Mapped[int]
    task_id: Mapped[int]
    actor_id: Mapped[int]
    actor_method: Mapped[str]
    notify: Mapped[bool]
    changes: Mapped[dict[str, Any]]


def node_id(type_name: str, number: int) -> str:
    return b64encode(f"{type_name}:{number}".encode()).decode()


def number_in(node: str) -> int:
    return int(b64decode(node).decode().partition(":")[2])


# --- What both doors use


async def get_session() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


async def get_current_user(
    token: Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="token"))],
    session: Annotated[AsyncSession, Depends(get_session)],
) -> User:
    refused = HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"})
    try:
        payload = jwt.decode(
            token,
            os.environ["SECRET_KEY"],
            algorithms=["HS256"],
            audience=os.environ["JWT_AUDIENCE"],
            issuer=os.environ["JWT_ISSUER"],
        )
    except JWTError:
        raise refused from None
    user = await session.get(User, int(payload["sub"]))
    if user is None or user.disabled:
        raise refused
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]
Database = Annotated[AsyncSession, Depends(get_session)]


def visible_tasks(user: User) -> Select[Task]:
    mine = select(Membership.project_id).where(Membership.user_id == user.id)
    return select(Task).where(Task.project_id.in_(mine), Task.deleted_at.is_(None))


def newest(statement: Select[Task], limit: int) -> Select[Task]:
    return statement.order_by(Task.created_at.desc(), Task.id.desc()).limit(limit)


def oldest(statement: Select[Task], limit: int) -> Select[Task]:
    return statement.order_by(Task.created_at, Task.id).limit(limit)


async def roles_of(session: AsyncSession, user: User) -> dict[int, str]:
    """The caller's role in each of its projects, by the project's id."""
    memberships = await session.scalars(select(Membership).where(Membership.user_id == user.id))
    return {each.project_id: each.role for each in memberships}


async def add_task(session: AsyncSession, user: User, values: dict[str, Any]) -> Task:
    role = (await roles_of(session, user)).get(values["project_id"])
    if role is None:
        raise HTTPException(404, "Project not found")
    if role == "viewer":
        raise HTTPException(403, "Not allowed")
    # not read, incremented and written, as most would write it: two requests would get the same number
    number = await session.scalar(
        update(Project)
        .where(Project.id == values["project_id"])
        .values(last_number=Project.last_number + 1)
        .returning(Project.last_number)
    )
    project = await session.get_one(Project, values["project_id"])
    moment = datetime.now(UTC)
    task = Task(
        **values,
        number=number,
        created_by_id=user.id,
        created_at=moment,
        updated_at=moment,
        project=project,
    )
    session.add(task)
    await session.flush()
    session.add(TaskText(task_id=task.id, folded=f"{task.title}\n{task.description}".casefold()))
    session.add(
        Event(
            event_id=str(uuid4()),
            occurred_at=moment,
            kind="task.created",
            entity_type="task",
            entity_id=task.id,
            entity_version=1,
            project_id=task.project_id,
            task_id=task.id,
            actor_id=user.id,
            actor_method="token",
            notify=True,
            changes={name: [None, str(value)] for name, value in values.items()},
        )
    )
    await session.commit()
    return task


# --- REST


class FromAttributes(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class UserOut(FromAttributes):
    id: int
    node_id: str
    username: str
    full_name: str | None


class TagOut(FromAttributes):
    id: int
    node_id: str
    project_id: int
    name: str
    color: str | None


class ProjectOut(FromAttributes):
    id: int
    node_id: str
    key: str
    name: str
    description: str | None
    is_inbox: bool
    role: str = ""
    external_source: str | None
    external_id: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


class TaskOut(FromAttributes):
    id: int
    node_id: str
    ref: str
    number: int
    project_id: int
    title: str
    description: str | None
    status: str
    priority: int
    start_at: datetime | None
    start_on: date | None
    due_at: datetime | None
    due_on: date | None
    completed_at: datetime | None
    parent_id: int | None
    milestone_id: int | None
    created_by_id: int | None
    external_source: str | None
    external_id: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class TaskWithRelations(TaskOut):
    project: ProjectOut
    assignees: list[UserOut]
    tags: list[TagOut]


class TaskCreate(BaseModel):
    project_id: int
    title: str
    description: str | None = None
    priority: int = 1
    due_at: datetime | None = None


app = FastAPI()


@app.get("/health")
async def get_health() -> dict[str, str]:
    return {"status": "healthy"}


@app.get("/api/v1/tasks")
async def list_tasks(
    user: CurrentUser,
    session: Database,
    status: Annotated[list[str] | None, Query()] = None,
    priority: Annotated[list[int] | None, Query()] = None,
    limit: int = 20,
    expand: Annotated[list[str] | None, Query()] = None,
    order: Literal["asc", "desc"] = "desc",
    assignee: Literal["me"] | None = None,
    tag: str | None = None,
) -> list[TaskWithRelations] | list[TaskOut]:
    statement = (oldest if order == "asc" else newest)(visible_tasks(user), limit)
    if assignee:
        statement = statement.where(Task.assignees.any(User.id == user.id))
    if tag:
        statement = statement.where(Task.tags.any(Tag.name_folded == tag.casefold()))
    if status:
        statement = statement.where(Task.status.in_(status))
    if priority:
        statement = statement.where(Task.priority.in_(priority))
    if not expand:
        return [TaskOut.model_validate(task) for task in await session.scalars(statement)]
    statement = statement.options(selectinload(Task.assignees), selectinload(Task.tags))
    roles = await roles_of(session, user)
    tasks = [TaskWithRelations.model_validate(task) for task in await session.scalars(statement)]
    for task in tasks:
        task.project.role = roles[task.project_id]
    return tasks


@app.get("/api/v1/tasks/{task_id}", response_model=TaskOut)
async def get_task(task_id: int, user: CurrentUser, session: Database) -> Task:
    task = await session.scalar(visible_tasks(user).where(Task.id == task_id))
    if task is None:
        raise HTTPException(404, "Task not found")
    return task


@app.post("/api/v1/tasks", status_code=201, response_model=TaskOut)
async def create_task(body: TaskCreate, user: CurrentUser, session: Database) -> Task:
    return await add_task(session, user, body.model_dump())


# --- GraphQL


Info = strawberry.Info[dict[str, Any], None]


async def load_projects(ids: list[int]) -> Sequence[Project]:
    async with new_session() as session:
        found = {each.id: each for each in await session.scalars(select(Project).where(Project.id.in_(ids)))}
    return [found[each] for each in ids]


async def load_assignees(ids: list[int]) -> Sequence[list[User]]:
    statement = select(task_assignees.c.task_id, User).join(User).where(task_assignees.c.task_id.in_(ids))
    return await load_lists(statement.order_by(User.id), ids)


async def load_tags(ids: list[int]) -> Sequence[list[Tag]]:
    statement = select(task_tags.c.task_id, Tag).join(Tag).where(task_tags.c.task_id.in_(ids))
    return await load_lists(statement.order_by(Tag.name_folded, Tag.id), ids)


async def load_lists(statement: Select[Any], ids: list[int]) -> Sequence[list[Any]]:
    found: dict[int, list[Any]] = {each: [] for each in ids}
    async with new_session() as session:
        for task_id, thing in await session.execute(statement):
            found[task_id].append(thing)
    return [found[each] for each in ids]


@strawberry.enum
class TaskStatus(Enum):
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


@strawberry.type(name="User")
class UserType:
    id: strawberry.ID
    username: str


@strawberry.type(name="Tag")
class TagType:
    id: strawberry.ID
    name: str


@strawberry.type(name="Project")
class ProjectType:
    id: strawberry.ID
    key: str
    name: str


@strawberry.type(name="Task")
class TaskType:
    id: strawberry.ID
    database_id: int
    ref: str
    number: int
    title: str
    description: str | None
    status: TaskStatus
    priority: int
    start_at: datetime | None
    due_at: datetime | None
    completed_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    project_id: strawberry.Private[int]

    @classmethod
    def from_model(cls, task: Task) -> "TaskType":
        return cls(
            id=strawberry.ID(task.node_id),
            database_id=task.id,
            ref=task.ref,
            number=task.number,
            title=task.title,
            description=task.description,
            status=TaskStatus(task.status),
            priority=task.priority,
            start_at=task.start_at,
            due_at=task.due_at,
            completed_at=task.completed_at,
            version=task.version,
            created_at=task.created_at,
            updated_at=task.updated_at,
            deleted_at=task.deleted_at,
            project_id=task.project_id,
        )

    @strawberry.field
    async def project(self, info: Info) -> ProjectType:
        project = await info.context["projects"].load(self.project_id)
        return ProjectType(id=strawberry.ID(project.node_id), key=project.key, name=project.name)

    @strawberry.field
    async def assignees(self, info: Info) -> list[UserType]:
        users = await info.context["assignees"].load(self.database_id)
        return [UserType(id=strawberry.ID(user.node_id), username=user.username) for user in users]

    @strawberry.field
    async def tags(self, info: Info) -> list[TagType]:
        tags = await info.context["tags"].load(self.database_id)
        return [TagType(id=strawberry.ID(tag.node_id), name=tag.name) for tag in tags]


@strawberry.type
class TaskEdge:
    node: TaskType


@strawberry.type
class TaskConnection:
    edges: list[TaskEdge]


@strawberry.input
class StatusFilter:
    eq: TaskStatus | None = None


@strawberry.input
class IntFilter:
    gte: int | None = None


@strawberry.input
class PeopleFilter:
    me: bool | None = None


@strawberry.input
class TagFilter:
    all: list[str] | None = None


@strawberry.input
class TaskFilter:
    status: StatusFilter | None = None
    priority: IntFilter | None = None
    assignees: PeopleFilter | None = None
    tags: TagFilter | None = None


@strawberry.enum
class TaskSort(Enum):
    CREATED_AT = "created_at"


@strawberry.enum
class SortDirection(Enum):
    ASC = "asc"
    DESC = "desc"


@strawberry.input
class TaskOrder:
    field: TaskSort = TaskSort.CREATED_AT
    direction: SortDirection = SortDirection.DESC


@strawberry.input
class CreateTaskInput:
    project_id: strawberry.ID
    title: str
    description: str | None = None
    priority: int = 1
    due_at: datetime | None = None


@strawberry.type
class CreateTaskPayload:
    task: TaskType


async def get_context(user: CurrentUser, session: Database) -> dict[str, Any]:
    return {
        "user": user,
        "session": session,
        "projects": DataLoader(load_projects),
        "assignees": DataLoader(load_assignees),
        "tags": DataLoader(load_tags),
    }


@strawberry.type(name="Query")
class QueryType:
    @strawberry.field
    async def task(self, info: Info, id: strawberry.ID) -> TaskType | None:
        session: AsyncSession = info.context["session"]
        task = await session.scalar(visible_tasks(info.context["user"]).where(Task.id == number_in(id)))
        return TaskType.from_model(task) if task else None

    @strawberry.field
    async def tasks(
        self,
        info: Info,
        first: int | None = 20,
        filter: TaskFilter | None = None,
        order_by: TaskOrder | None = None,
    ) -> TaskConnection:
        session: AsyncSession = info.context["session"]
        user: User = info.context["user"]
        ascending = order_by is not None and order_by.direction is SortDirection.ASC
        statement = (oldest if ascending else newest)(visible_tasks(user), first or 20)
        if filter and filter.assignees and filter.assignees.me:
            statement = statement.where(Task.assignees.any(User.id == user.id))
        if filter and filter.tags and filter.tags.all:
            for name in filter.tags.all:
                statement = statement.where(Task.tags.any(Tag.name_folded == name.casefold()))
        if filter and filter.status and filter.status.eq:
            statement = statement.where(Task.status == filter.status.eq.value)
        if filter and filter.priority and filter.priority.gte:
            statement = statement.where(Task.priority >= filter.priority.gte)
        tasks = await session.scalars(statement)
        return TaskConnection(edges=[TaskEdge(node=TaskType.from_model(task)) for task in tasks])


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def create_task(self, info: Info, input: CreateTaskInput) -> CreateTaskPayload:
        values = {**vars(input), "project_id": number_in(input.project_id)}
        task = await add_task(info.context["session"], info.context["user"], values)
        return CreateTaskPayload(task=TaskType.from_model(task))


app.include_router(GraphQLRouter(strawberry.Schema(QueryType, Mutation), context_getter=get_context), prefix="/graphql")
