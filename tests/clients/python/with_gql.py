from gql import Client, gql
from gql.transport.httpx import HTTPXTransport
from session import Session

CREATE = gql("mutation Create($input: CreateTaskInput!) { createTask(input: $input) { task { id title } } }")
BOARD = gql("{ tasks(first: 2, orderBy: {field: CREATED_AT, direction: ASC}) { nodes { id title } } }")


def client(server: str, auth: Session) -> Client:
    return Client(transport=HTTPXTransport(url=f"{server}/graphql", auth=auth))


def create(server: str, auth: Session, title: str) -> str:
    with client(server, auth) as session:
        return session.execute(CREATE, variable_values={"input": {"title": title}})["createTask"]["task"]["title"]


def titles(server: str, auth: Session) -> list[str]:
    with client(server, auth) as session:
        return [task["title"] for task in session.execute(BOARD)["tasks"]["nodes"]]
