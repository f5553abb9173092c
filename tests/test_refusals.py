"""What looks like FastAPI's and would not be executed is refused when it is declared; what is executed is."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from functools import partial
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from starlette.types import ASGIApp, Receive, Scope, Send

from api.dependencies.auth import get_actor
from api.http.addresses import PREFIX
from api.http.application import Application
from api.http.compiler import CompiledRoute
from api.http.index import include
from api.http.refusals import NotExecutedError
from api.http.route import StrictRoute
from services.shared.errors import NotFound
from tests.actors import Person
from tests.doors import another_instance, calling


class Plain(BaseModel):
    name: str
    secret: str = "x"


class Named(BaseModel):
    name: str


async def endpoint() -> Any:
    """Answers."""
    return Named(name="ada")


async def removed() -> None:
    """Answers nothing."""


def blocking() -> Any:
    """Answers, in a thread."""


def declare(options: dict[str, Any], *, called: Callable[..., Any] = endpoint) -> StrictRoute:
    return StrictRoute("/things", called, **options)


class TestRoutes:
    @pytest.mark.parametrize(
        "option",
        [
            {"response_model_exclude": {"name"}},
            {"response_model_include": {"name"}},
            {"response_model_by_alias": False},
            {"response_model_exclude_none": True},
            {"response_model_exclude_defaults": True},
            {"response_class": PlainTextResponse},
            {"generate_unique_id_function": lambda route: "x"},
            {"max_body_size": 10},
        ],
        ids=lambda option: next(iter(option)),
    )
    def test_option_without_effect_is_refused_by_name(self, option: dict[str, Any]) -> None:
        [name] = option
        with pytest.raises(NotExecutedError, match=rf"^{name} of endpoint at /things is not executed: "):
            declare({"response_model": Named} | option)

    def test_body_of_a_204_is_refused(self) -> None:
        with pytest.raises(NotExecutedError, match="response_model of removed at /things is not executed: a 204"):
            declare({"response_model": Named, "status_code": 204}, called=removed)
        declare({"status_code": 204}, called=removed)

    def test_function_that_blocks_is_refused(self) -> None:
        with pytest.raises(NotExecutedError, match="blocking at /things is no coroutine function"):
            declare({"response_model": Named}, called=blocking)

    @pytest.mark.parametrize(
        "option",
        [
            {"response_model_exclude_unset": True},
            {"include_in_schema": False, "deprecated": True, "tags": ["x"], "summary": "X"},
            {"responses": {404: {"description": "Not there"}}, "openapi_extra": {"x-a": 1}, "callbacks": []},
            {"status_code": 201, "dependencies": [Depends(removed)]},
        ],
    )
    def test_option_with_effect_is_taken(self, option: dict[str, Any]) -> None:
        assert declare({"response_model": Named} | option).compiled is not None


def upper(value: str) -> str:
    return value.upper()


class WithFieldSerializer(Named):
    @field_serializer("name")
    def shout(self, name: str) -> str:
        return name.upper()


class WithModelSerializer(Named):
    @model_serializer
    def shout(self) -> dict[str, str]:
        return {"name": self.name.upper()}


class WithComputedField(Named):
    @computed_field  # type: ignore[prop-decorator]  # as pydantic's documentation says
    @property
    def length(self) -> int:
        return len(self.name)


class WithExcluded(Named):
    secret: str = Field(exclude=True)


class WithExclusion(Named):
    secret: str = Field(exclude_if=lambda value: value == "")


class WithSerializationAlias(Named):
    full_name: str = Field(serialization_alias="fullName")


class WithAnnotatedSerializer(Named):
    loud: Annotated[str, PlainSerializer(upper)]


class WithFieldValidator(Named):
    _check = field_validator("name")(upper)


class WithModelValidator(Named):
    @model_validator(mode="after")
    def check(self) -> "WithModelValidator":
        return self


class WithAnnotatedValidator(Named):
    loud: Annotated[str, BeforeValidator(upper)]


class WithDecimal(Named):
    price: Decimal


class WithDuration(Named):
    lasts: timedelta


class WithSet(Named):
    tags: set[str]


class WithUnion(Named):
    value: int | str


class WithMap(Named):
    inner: dict[str, Named]


class WithNumberedMap(Named):
    inner: dict[int, str]


class Root(RootModel[list[str]]):
    pass


class WithExtra(Named):
    model_config = ConfigDict(extra="allow")


class WithBytesAsBase64(Named):
    model_config = ConfigDict(ser_json_bytes="base64")


class Inside(BaseModel):
    inner: list[WithFieldSerializer | None]


class Tree(BaseModel):
    inner: "list[Tree]"


class TestModels:
    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (WithFieldSerializer, "name has a serializer"),
            (WithModelSerializer, "the model has a serializer"),
            (WithComputedField, "length is a computed field"),
            (WithExcluded, "secret is excluded"),
            (WithExclusion, "secret is excluded"),
            (WithSerializationAlias, "full_name has a serialization_alias"),
            (WithAnnotatedSerializer, "loud has a serializer"),
            (WithFieldValidator, "name has a validator"),
            (WithModelValidator, "the model has a validator"),
            (WithAnnotatedValidator, "loud has a validator"),
            (WithDecimal, "price is of the kind decimal"),
            (WithDuration, "lasts is of the kind timedelta"),
            (WithSet, "tags is of the kind set"),
            (WithUnion, "value is of the kind union"),
            (WithMap, "inner is a model in a map"),
            (WithNumberedMap, "inner has keys that are no texts"),
            (Root, "the model is a root model"),
            (WithExtra, "the model allows extra members"),
            (WithBytesAsBase64, "the model has ser_json_bytes"),
            (Plain, "secret has a default"),
            (Inside, "inner.name has a serializer"),
            (list[WithComputedField], "length is a computed field"),
            (dict[str, Named], "the model is a model in a map"),
            (tuple[str, int], "the model is of the kind tuple"),
        ],
        ids=str,
    )
    def test_what_is_not_written_so_is_refused_by_name(self, model: Any, message: str) -> None:
        with pytest.raises(NotExecutedError, match=f"response_model of endpoint at /things: {message}"):
            declare({"response_model": model})

    def test_model_inside_itself_is_refused(self) -> None:
        for _ in range(2):
            with pytest.raises(NotExecutedError, match="Tree is inside itself"):
                declare({"response_model": Tree})

    def test_what_is_written_is_taken(self) -> None:
        class Kind(IntEnum):
            ONE = 1

        class Whole(Named):
            kind: Kind
            at: datetime | None
            inner: list[Named]
            free: dict[str, Any]
            called: str = Field(alias="as")

        for model in (Whole, list[Whole], list[str], dict[str, int], str):
            declare({"response_model": model})
        declare({"response_model": Plain, "response_model_exclude_unset": True})


class TestRouters:
    def include(self, router: APIRouter, prefix: str = PREFIX) -> FastAPI:
        app = FastAPI()
        include(app, [router], prefix=prefix)
        return app

    def test_router_in_a_router_is_refused(self) -> None:
        outer, inner = APIRouter(), APIRouter()
        inner.get("/things")(endpoint)
        outer.include_router(inner)
        with pytest.raises(NotExecutedError, match=r"IncludedRouter .* would not get the prefix"):
            self.include(outer)

    def test_application_in_a_router_is_refused(self) -> None:
        router = APIRouter()
        router.mount("/things", FastAPI())
        with pytest.raises(NotExecutedError, match=r"Mount \(/things\) would not get the prefix"):
            self.include(router)

    def test_socket_below_a_prefix_is_refused(self) -> None:
        router = APIRouter()
        router.add_api_websocket_route("/things", removed)
        with pytest.raises(NotExecutedError, match="APIWebSocketRoute"):
            self.include(router)
        assert self.include(router, prefix="").router.routes

    def test_convertor_is_refused(self) -> None:
        router = APIRouter()
        router.get("/things/{number:int}")(endpoint)
        with pytest.raises(NotExecutedError, match=r"convertor of \{number\} in /things/\{number:int\}"):
            self.include(router)

    @pytest.mark.parametrize("name", ["on_startup", "on_shutdown", "lifespan", "max_body_size"])
    def test_what_a_router_does_for_all_its_routes_is_refused(self, name: str) -> None:
        @asynccontextmanager
        async def lifespan(_app: Any) -> AsyncIterator[None]:
            yield

        values: dict[str, Any] = {"lifespan": lifespan, "max_body_size": 10}
        router = APIRouter(**{name: values.get(name, [blocking])})
        with pytest.raises(NotExecutedError, match=r"of a router is not executed|does at its start"):
            self.include(router)

    async def test_dependencies_of_routers_and_routes_are_called(self) -> None:
        called: list[str] = []

        def noting(name: str) -> Any:
            async def note() -> None:
                called.append(name)

            return Depends(note)

        router = APIRouter(route_class=StrictRoute, dependencies=[noting("router")])
        router.get("/things", response_model=Named, dependencies=[noting("route")])(endpoint)
        [route] = router.routes
        assert isinstance(route, CompiledRoute)
        assert route.compiled is not None
        scope: Scope = {"type": "http", "query_string": b"", "headers": [], "path_params": {}}
        response = await route.compiled(Request(scope))

        assert response is not None
        assert (response.body, called) == (b'{"name":"ada"}', ["router", "route"])


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


class TestApplication:
    @pytest.mark.parametrize(
        "name",
        [
            "dependencies",
            "middleware",
            "exception_handlers",
            "default_response_class",
            "root_path",
            "responses",
            "routes",
        ],
    )
    def test_option_of_fastapi_is_refused(self, name: str) -> None:
        with pytest.raises(NotExecutedError, match=rf"Application\({name}=…\) is not executed"):
            Application(lifespan=_lifespan, **{name: []})

    def test_middleware_that_is_no_class_is_refused(self) -> None:
        with pytest.raises(NotExecutedError, match="is no class"):
            Application(lifespan=_lifespan).add_middleware(partial(Marking))


class Marking:
    """Adds a header to each answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-marked", b"yes")]
            await send(message)

        await self.app(scope, receive, marked)


class TestWhatIsExecuted:
    """What may be done to an application after it is made, or in an endpoint, works on compiled routes too."""

    @pytest.fixture
    async def other(self, app: FastAPI) -> AsyncIterator[FastAPI]:
        async with another_instance(app.state.tandem.database) as other:
            yield other

    async def test_middleware_that_is_added_later(self, other: FastAPI, ada: Person) -> None:
        other.add_middleware(Marking)
        async with calling(other) as caller:
            for path in ("/tasks", "//health", "/nothing"):
                assert (await caller.get(path, headers=ada.headers)).headers["x-marked"] == "yes"

    async def test_handler_that_is_added_later(self, other: FastAPI, ada: Person) -> None:
        @other.exception_handler(NotFound)
        async def gone(_request: Request, error: NotFound) -> Response:
            return PlainTextResponse(f"gone: {error.message}", 410)

        @other.exception_handler(405)
        def no_method(_request: Request, _error: HTTPException) -> Response:
            return PlainTextResponse("no", 405)

        async with calling(other) as caller:
            answer = await caller.get("/tasks/2147483647", headers=ada.headers)
            other_method = await caller.rest("DELETE", "/tasks", headers=ada.headers)

        assert (answer.status_code, answer.text) == (410, "gone: Task not found")
        assert (other_method.status_code, other_method.text) == (405, "no")

    async def test_dependency_that_is_overridden(self, other: FastAPI, ada: Person, bob: Person) -> None:
        async def as_bob() -> Any:
            return bob.actor

        other.dependency_overrides[get_actor] = as_bob
        async with calling(other) as caller:
            answer = await caller.get("/users/me", headers=ada.headers)

        assert answer.json()["username"] == bob.username

    async def test_route_that_is_added_later(self, other: FastAPI) -> None:
        called: list[int] = []
        router = APIRouter(dependencies=[Depends(lambda: called.append(1))])
        router.get("/later", response_model=Named)(endpoint)
        other.include_router(router)
        async with calling(other) as caller:
            assert (await caller.get("//later")).json() == {"name": "ada"}
        assert called == [1]

    async def answer(self, route: StrictRoute) -> httpx.Response:
        """What the route answers, by its compiled handler where it has one."""
        app = Application(lifespan=_lifespan)
        router = APIRouter()
        router.routes.append(route)
        include(app, [router])
        assert app.router.routes[-1].path == route.path  # type: ignore[attr-defined]  # not of a BaseRoute
        compiled = await route.compiled(Request(_bare_scope())) if route.compiled is not None else None
        app.add_middleware(Marking)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answer = await client.get(route.path)
        if compiled is not None:
            assert (compiled.status_code, compiled.body) == (answer.status_code, answer.content)
            assert {name for name, _ in compiled.raw_headers} <= {name.lower().encode() for name in answer.headers}
        return answer

    async def test_status_and_cookies_that_an_endpoint_sets(self) -> None:
        async def accepted(response: Response) -> Any:
            """Answers later."""
            response.status_code = 202
            response.set_cookie("a", "b")
            return Named(name="ada")

        async def reset(response: Response) -> None:
            """Answers nothing."""
            response.status_code = 205

        answer = await self.answer(declare({"response_model": Named}, called=accepted))
        assert (answer.status_code, answer.json(), answer.cookies["a"]) == (202, {"name": "ada"}, "b")
        assert (await self.answer(declare({"status_code": 204}, called=reset))).status_code == 205

    async def test_work_that_an_endpoint_leaves_for_later(self) -> None:
        done: list[int] = []

        async def working(tasks: BackgroundTasks) -> Any:
            """Answers, and goes on."""
            tasks.add_task(done.append, 1)
            return Named(name="ada")

        answer = await self.answer(declare({"response_model": Named}, called=working))
        assert (answer.status_code, done) == (200, [1])


def _bare_scope() -> Scope:
    return {"type": "http", "query_string": b"", "headers": [], "path_params": {}}
