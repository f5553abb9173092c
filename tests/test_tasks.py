"""Tasks: the service, and both doors on it."""

from tests.actors import Person


class TestRest:
    async def test_created_task_is_in_the_inbox(self, ada: Person) -> None:
        made = await ada.post("/tasks", {"title": "Write the docs"})

        assert made.status_code == 201
        task = made.json()
        assert task["ref"] == "INBOX-1"
        assert made.headers["location"] == f"/api/v1/tasks/{task['id']}"
        assert made.headers["etag"] == '"1"'


class TestGraphQL:
    async def test_created_task_is_in_the_inbox(self, ada: Person) -> None:
        made = await ada.gql('mutation { createTask(input: {title: "Write the docs"}) { task { ref version } } }')

        assert made.data["createTask"]["task"] == {"ref": "INBOX-1", "version": 1}
