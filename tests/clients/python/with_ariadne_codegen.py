import httpx
from generated.ariadne_client import Client, CreateTaskInput
from session import Session


def client(server: str, auth: Session) -> Client:
    return Client(url=f"{server}/graphql", http_client=httpx.Client(auth=auth))


def create(server: str, auth: Session, title: str) -> str:
    with client(server, auth) as tandem:
        return tandem.create(input=CreateTaskInput(title=title)).create_task.task.title


def titles(server: str, auth: Session) -> list[str]:
    with client(server, auth) as tandem:
        return [task.title for task in tandem.board().tasks.nodes]
