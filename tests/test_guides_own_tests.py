"""The ten tests of the source guide as a reader has them, one after the other, with nothing but a token added."""

import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.actors import PASSWORD


@pytest.fixture
def client(live_server: str) -> Iterator[httpx.Client]:
    """A client with a token of an account that has no tasks yet."""
    name = f"reader_{secrets.token_hex(4)}"
    with httpx.Client(base_url=live_server) as http:
        account = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        http.post("/users", json=account).raise_for_status()
        token = http.post("/token", data={"username": name, "password": PASSWORD}).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield http


def test_read_root(client: httpx.Client) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert response.json() == {"message": "Welcome to the Task Manager API"}


def test_health(client: httpx.Client) -> None:
    response = client.get("/health")
    assert response.status_code == 200
    assert response.json() == {"status": "healthy"}


def test_create_task(client: httpx.Client) -> None:
    task_data = {"title": "Test Task", "description": "This is a test task", "priority": 3}
    response = client.post("/tasks", json=task_data)
    assert response.status_code == 201
    data = response.json()
    assert data["title"] == "Test Task"
    assert data["description"] == "This is a test task"
    assert data["priority"] == 3
    assert data["status"] == "pending"
    assert "id" in data
    assert "created_at" in data


def test_create_task_validation_error(client: httpx.Client) -> None:
    response = client.post("/tasks", json={"title": "", "priority": 10})
    assert response.status_code == 422


def test_get_task(client: httpx.Client) -> None:
    task_id = client.post("/tasks", json={"title": "Test Task"}).json()["id"]
    response = client.get(f"/tasks/{task_id}")
    assert response.status_code == 200
    assert response.json()["id"] == task_id


def test_get_task_not_found(client: httpx.Client) -> None:
    response = client.get("/tasks/99999")
    assert response.status_code == 404
    assert "detail" in response.json()


def test_update_task(client: httpx.Client) -> None:
    task_id = client.post("/tasks", json={"title": "Original Title"}).json()["id"]
    response = client.put(f"/tasks/{task_id}", json={"title": "Updated Title", "status": "completed"})
    assert response.status_code == 200
    data = response.json()
    assert data["title"] == "Updated Title"
    assert data["status"] == "completed"


def test_delete_task(client: httpx.Client) -> None:
    task_id = client.post("/tasks", json={"title": "Task to Delete"}).json()["id"]
    response = client.delete(f"/tasks/{task_id}")
    assert response.status_code == 204
    assert client.get(f"/tasks/{task_id}").status_code == 404


def test_list_tasks_with_filter(client: httpx.Client) -> None:
    client.post("/tasks", json={"title": "Task 1", "status": "pending"})
    client.post("/tasks", json={"title": "Task 2", "status": "completed"})
    client.post("/tasks", json={"title": "Task 3", "status": "pending"})
    response = client.get("/tasks?status=pending")
    assert response.status_code == 200
    data = response.json()
    assert len(data) == 2
    assert all(task["status"] == "pending" for task in data)


def test_pagination(client: httpx.Client) -> None:
    for number in range(5):
        client.post("/tasks", json={"title": f"Task {number}"})
    first, second = client.get("/tasks?skip=0&limit=2"), client.get("/tasks?skip=2&limit=2")
    assert (first.status_code, second.status_code) == (200, 200)
    assert len(first.json()) == 2
    assert len(second.json()) == 2
    assert first.json() != second.json()
