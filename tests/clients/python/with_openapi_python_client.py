import uuid

from generated.tandem_client import Client
from generated.tandem_client.api.tasks import create_task, list_tasks
from generated.tandem_client.models import Direction, ProblemDetails, TaskCreate, TaskSort
from session import Session


def client(server: str, auth: Session) -> Client:
    return Client(base_url=server, httpx_args={"auth": auth})


def create(server: str, auth: Session, title: str) -> str:
    with client(server, auth) as tandem:
        made = create_task.sync(client=tandem, body=TaskCreate(title=title), idempotency_key=str(uuid.uuid4()))
    if made is None or isinstance(made, ProblemDetails):
        raise RuntimeError(made)
    return made.title


def titles(server: str, auth: Session) -> list[str]:
    with client(server, auth) as tandem:
        found = list_tasks.sync(client=tandem, sort_by=TaskSort.CREATED_AT, order=Direction.ASC, limit=2)
    if not isinstance(found, list):
        raise RuntimeError(found)
    return [task.title for task in found]
