"""What the source guide promises its reader, on its own paths, with nothing added but an Authorization header."""

from typing import Any

import httpx
import pytest

from tests.actors import PASSWORD, Person
from tests.conftest import SERVER_KEY


class Guide:
    """The guide's client: paths from the root, a token on every request."""

    def __init__(self, client: httpx.AsyncClient, person: Person) -> None:
        self._client, self._headers = client, person.headers

    async def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        return await self._client.request(method, path, headers=self._headers, **options)

    async def create(self, **fields: Any) -> dict[str, Any]:
        made = await self("POST", "/tasks", json={"title": "Test Task"} | fields)
        assert made.status_code == 201, made.text
        task: dict[str, Any] = made.json()
        return task


@pytest.fixture
def guide(client: httpx.AsyncClient, ada: Person) -> Guide:
    return Guide(client, ada)


class TestTheGuidesOwnTests:
    async def test_read_root(self, guide: Guide) -> None:
        answer = await guide("GET", "/")

        assert answer.status_code == 200
        assert answer.json()["message"] == "Welcome to the Task Manager API"

    async def test_create_task(self, guide: Guide) -> None:
        body = {"title": "Test Task", "description": "This is a test task", "priority": 3}
        answer = await guide("POST", "/tasks", json=body)

        assert answer.status_code == 201
        task = answer.json()
        assert {name: task[name] for name in body} == body
        assert task["status"] == "pending"
        assert isinstance(task["id"], int)
        assert "created_at" in task

    async def test_create_task_validation_error(self, guide: Guide) -> None:
        answer = await guide("POST", "/tasks", json={"title": "", "priority": 10})

        assert answer.status_code == 422
        assert {problem["pointer"] for problem in answer.json()["errors"]} == {"/title", "/priority"}
        assert (await guide("GET", "/tasks")).json() == []

    async def test_get_task(self, guide: Guide) -> None:
        task = await guide.create()
        answer = await guide("GET", f"/tasks/{task['id']}")

        assert answer.status_code == 200
        assert answer.json() == task

    async def test_get_task_not_found(self, guide: Guide) -> None:
        answer = await guide("GET", "/tasks/99999")

        assert answer.status_code == 404
        assert answer.json()["detail"] == "Task not found"

    async def test_update_task(self, guide: Guide) -> None:
        task = await guide.create(title="Original Title", description="Kept", priority=4)
        answer = await guide("PUT", f"/tasks/{task['id']}", json={"title": "Updated Title", "status": "completed"})

        assert answer.status_code == 200
        changed = answer.json()
        assert (changed["title"], changed["status"]) == ("Updated Title", "completed")
        assert (changed["description"], changed["priority"]) == ("Kept", 4)

    async def test_delete_task(self, guide: Guide) -> None:
        task = await guide.create()
        answer = await guide("DELETE", f"/tasks/{task['id']}")

        assert (answer.status_code, answer.content) == (204, b"")
        assert (await guide("GET", f"/tasks/{task['id']}")).status_code == 404

    async def test_filter_by_status(self, guide: Guide) -> None:
        await guide.create(status="pending")
        await guide.create(status="completed")
        await guide.create(status="pending")
        answer = await guide("GET", "/tasks", params={"status": "pending"})

        assert answer.status_code == 200
        assert [task["status"] for task in answer.json()] == ["pending", "pending"]

    async def test_pagination(self, guide: Guide) -> None:
        made = [(await guide.create(title=f"Task {number}"))["id"] for number in range(5)]
        first = (await guide("GET", "/tasks", params={"skip": 0, "limit": 2})).json()
        second = (await guide("GET", "/tasks", params={"skip": 2, "limit": 2})).json()

        assert [task["id"] for task in first + second] == made[:0:-1]

    async def test_lists_are_plain_arrays(self, guide: Guide) -> None:
        await guide.create()

        assert isinstance((await guide("GET", "/tasks")).json(), list)


class TestItsOtherFacts:
    async def test_health(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/health")).json() == {"status": "healthy"}

    async def test_document_names_the_api(self, client: httpx.AsyncClient) -> None:
        info = (await client.get("/openapi.json")).json()["info"]

        assert info["version"] == "1.0.0"

    async def test_search_finds_title_and_description_in_any_case(self, guide: Guide) -> None:
        await guide.create(title="Buy MILK")
        await guide.create(description="with milk")
        await guide.create(title="Something else")

        assert len((await guide("GET", "/tasks", params={"search": "Milk"})).json()) == 2

    @pytest.mark.parametrize(("order", "titles"), [("asc", ["a", "b", "c"]), ("desc", ["c", "b", "a"])])
    async def test_sort_by_title(self, guide: Guide, order: str, titles: list[str]) -> None:
        for title in ("b", "c", "a"):
            await guide.create(title=title)
        answer = await guide("GET", "/tasks", params={"sort_by": "title", "order": order})

        assert [task["title"] for task in answer.json()] == titles

    async def test_token_comes_for_a_form_and_opens_the_profile(self, client: httpx.AsyncClient, ada: Person) -> None:
        answer = await client.post("/token", data={"username": ada.username, "password": PASSWORD})
        token = answer.json()
        me = await client.get("/users/me", headers={"Authorization": f"Bearer {token['access_token']}"})

        assert token["token_type"] == "bearer"
        assert me.json()["username"] == ada.username

    async def test_without_a_token_it_is_401_with_a_challenge(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/tasks")

        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"

    async def test_admin_endpoint_takes_the_key_and_nothing_else(self, client: httpx.AsyncClient, guide: Guide) -> None:
        await guide.create()
        wrong = await client.delete("/admin/clear-tasks", headers={"X-API-Key": "wrong"})
        right = await client.delete("/admin/clear-tasks", headers={"X-API-Key": SERVER_KEY})

        assert wrong.status_code == 403
        assert right.json() == {"message": "All tasks deleted"}
        assert (await guide("GET", "/tasks")).json() == []

    async def test_comment_has_a_path_below_its_task(self, guide: Guide) -> None:
        task = await guide.create()
        made = (await guide("POST", f"/tasks/{task['id']}/comments", json={"body": "Hello"})).json()

        assert (await guide("GET", f"/tasks/{task['id']}/comments/{made['id']}")).json() == made

    async def test_path_query_and_body_mix(self, guide: Guide) -> None:
        task = await guide.create()
        path = f"/projects/{task['project_id']}/tasks/{task['id']}"
        answer = await guide("PUT", path, params={"notify": "true"}, json={"title": "New"})

        assert answer.json()["title"] == "New"

    async def test_front_end_may_call(self, client: httpx.AsyncClient) -> None:
        origin = "http://localhost:3000"
        headers = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        answer = await client.options("/tasks/1", headers=headers)

        assert answer.headers["access-control-allow-origin"] == origin
        assert "PUT" in answer.headers["access-control-allow-methods"]

    async def test_time_is_told(self, client: httpx.AsyncClient) -> None:
        assert float((await client.get("/health")).headers["x-process-time"]) > 0

    async def test_requests_are_logged(self, client: httpx.AsyncClient, logged: list[Any]) -> None:
        await client.get("/health?x=1")
        answer = await client.delete("/tasks/1")

        assert [(line.method, line.path, line.status) for line in logged] == [
            ("GET", "/health", 200),
            ("DELETE", "/tasks/1", 401),
        ]
        assert all(line.duration_ms > 0 for line in logged)
        assert logged[1].request_id == answer.headers["x-request-id"]


class TestItsTasks:
    async def test_title_is_enough_for_a_task(self, guide: Guide) -> None:
        task = await guide.create()

        assert (task["description"], task["status"], task["priority"]) == (None, "pending", 1)
        assert task["updated_at"] == task["created_at"]

    @pytest.mark.parametrize(
        ("field", "good", "bad"),
        [
            ("title", ["x", "x" * 200], ["", "x" * 201, None]),
            ("priority", [1, 2, 3, 4, 5], [0, 6, 2.5, "high"]),
            ("status", ["pending", "in_progress", "completed", "cancelled"], ["done", "", None]),
        ],
    )
    async def test_fields_have_their_bounds(self, guide: Guide, field: str, good: list[Any], bad: list[Any]) -> None:
        for value in good:
            assert (await guide.create(**{field: value}))[field] == value
        for value in bad:
            refused = await guide("POST", "/tasks", json={"title": "x", field: value})
            assert refused.status_code == 422
            [problem] = refused.json()["errors"]
            assert problem["pointer"] == f"/{field}"
            assert problem["detail"]

    async def test_list_is_newest_first_and_twenty_long(self, guide: Guide) -> None:
        made = [(await guide.create(priority=number % 5 + 1))["id"] for number in range(22)]
        newest = await guide("GET", "/tasks", params={"total": "true"})
        urgent = (await guide("GET", "/tasks", params={"sort_by": "priority", "limit": 100})).json()

        assert [task["id"] for task in newest.json()] == made[:1:-1]
        assert newest.headers["x-total-count"] == "22"
        assert [task["priority"] for task in urgent] == sorted((task["priority"] for task in urgent), reverse=True)

    async def test_filters_combine(self, guide: Guide) -> None:
        wanted = await guide.create(title="Call Ada", priority=5)
        await guide.create(title="Call Ada", priority=4)
        await guide.create(title="Call Ada", priority=5, status="completed")
        await guide.create(title="Write to Ada", priority=5)
        answer = await guide("GET", "/tasks", params={"status": "pending", "priority": 5, "search": "call"})

        assert answer.json() == [wanted]

    @pytest.mark.parametrize(
        ("parameter", "good", "bad"),
        [
            ("skip", [0, 1], [-1, "x"]),
            # the guide begins at 1; 0 is as GraphQL's first: 0
            ("limit", [0, 1, 100], [-1, 101, ""]),
            ("search", ["x", "x" * 100], ["", "x" * 101]),
            ("priority", [1, 5], [0, 6]),
            ("sort_by", ["created_at", "priority", "title"], ["colour"]),
            ("order", ["asc", "desc"], ["up"]),
        ],
    )
    async def test_parameters_have_their_bounds(
        self, guide: Guide, parameter: str, good: list[Any], bad: list[Any]
    ) -> None:
        for value in good:
            assert (await guide("GET", "/tasks", params={parameter: value})).status_code == 200
        for value in bad:
            refused = await guide("GET", "/tasks", params={parameter: value})
            assert refused.status_code == 422
            assert refused.json()["errors"][0]["pointer"].startswith(f"/{parameter}")

    async def test_nested_objects_are_checked_to_the_bottom(self, guide: Guide) -> None:
        tasks = [{"title": "Fine"}, {"title": "Fine", "subtasks": [{"title": "", "priority": 10}]}]
        refused = await guide("POST", "/projects", json={"name": "Website", "tasks": tasks})

        assert refused.status_code == 422
        pointers = [problem["pointer"] for problem in refused.json()["errors"]]
        assert pointers == ["/tasks/1/subtasks/0/title", "/tasks/1/subtasks/0/priority"]

    async def test_range_that_ends_before_it_starts_is_refused(self, guide: Guide) -> None:
        later, earlier = "2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z"
        body = await guide("POST", "/tasks", json={"title": "x", "start_at": later, "due_at": earlier})
        query = await guide("GET", "/tasks", params={"due_after": later, "due_before": earlier})

        assert (body.status_code, query.status_code) == (422, 422)


class TestItsAccounts:
    async def test_username_is_of_letters_digits_and_underscores(self, client: httpx.AsyncClient) -> None:
        for username in ("ab", "x" * 51, "with space", "dash-ed", "ünï", "dot.ted"):
            body = {"username": username, "email": "new@example.com", "password": PASSWORD}
            refused = await client.post("/users", json=body)
            assert refused.status_code == 422
            assert [problem["pointer"] for problem in refused.json()["errors"]] == ["/username"]

    async def test_email_is_kept_in_lower_case(self, client: httpx.AsyncClient, ada: Person) -> None:
        body = {"username": f"{ada.username}x", "email": f"{ada.username}X@Example.COM", "password": PASSWORD}
        made = await client.post("/users", json=body)

        assert made.status_code == 201
        assert made.json()["email"] == f"{ada.username}x@example.com"

    @pytest.mark.parametrize(
        ("current", "new", "confirm", "pointer"),
        [
            ("not it at all", "another horse", "another horse", "/current_password"),
            (PASSWORD, "7 chars", "7 chars", "/new_password"),
            (PASSWORD, "another horse", "another house", "/confirm_password"),
            (PASSWORD, PASSWORD, PASSWORD, "/new_password"),
        ],
    )
    async def test_password_change_has_its_rules(
        self, guide: Guide, current: str, new: str, confirm: str, pointer: str
    ) -> None:
        body = {"current_password": current, "new_password": new, "confirm_password": confirm}
        refused = await guide("POST", "/users/me/password", json=body)

        assert refused.status_code == 422
        assert [problem["pointer"] for problem in refused.json()["errors"]] == [pointer]

    async def test_new_password_is_the_one_that_counts(
        self, client: httpx.AsyncClient, guide: Guide, ada: Person
    ) -> None:
        body = {"current_password": PASSWORD, "new_password": "8 chars!", "confirm_password": "8 chars!"}
        assert (await guide("POST", "/users/me/password", json=body)).status_code == 200
        logins = [
            await client.post("/token", data={"username": ada.username, "password": password})
            for password in (PASSWORD, "8 chars!")
        ]

        assert [login.status_code for login in logins] == [401, 200]
