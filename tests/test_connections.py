"""What every connection has, and the schema that says so."""

from typing import Any

import pytest
from graphql import (
    GraphQLObjectType,
    build_client_schema,
    build_schema,
    get_introspection_query,
    lexicographic_sort_schema,
    parse,
    print_schema,
)

from db.driver.database import Database
from graphql_schema.execution.limits import Limits
from graphql_schema.execution.meter import Meter
from graphql_schema.schema import schema, sdl
from tests.actors import Anonymous, Person
from tests.doors import another_instance, calling
from tests.statements import StatementCounter

SELECTED = "id title assignees { username } tags { name }"


def points(query: str) -> tuple[int, int, int]:
    document: Any = parse(query)
    [operation] = document.definitions
    cost, _ = Meter(schema._schema, Limits()).measure({}, operation, {})
    return cost.points, cost.nodes, cost.values


class TestNodes:
    def test_every_connection_has_them(self) -> None:
        connections = [
            type_
            for name, type_ in schema._schema.type_map.items()
            if name.endswith("Connection") and isinstance(type_, GraphQLObjectType)
        ]
        assert len(connections) > 8
        for type_ in connections:
            edge: Any = type_.fields["edges"].type
            row = edge.of_type.of_type.of_type.fields["node"].type
            assert str(type_.fields["nodes"].type) == f"[{row}]!"

    @pytest.mark.parametrize("compiled", [True, False])
    async def test_are_the_rows_of_the_edges(self, ada: Person, compiled: bool) -> None:
        project = await ada.project()
        for title in "cab":
            await ada.task(title=title, project_id=project["id"], tags=[title])
        # __typename of the schema's own is answered by the ordinary executor
        more = "" if compiled else "__schema { __typename }"
        rows = f"nodes {{ {SELECTED} }} pageInfo {{ endCursor }} edges {{ cursor node {{ {SELECTED} }} }}"
        page = f"tasks(first: 2, orderBy: {{field: TITLE, direction: ASC}}) {{ {rows} }}"
        query = f"query($id: ID!) {{ {more} project(id: $id) {{ {page} }} }}"
        found = (await ada.gql(query, {"id": project["node_id"]})).data["project"]["tasks"]

        assert [node["title"] for node in found["nodes"]] == ["a", "b"]
        assert found["nodes"] == [edge["node"] for edge in found["edges"]]
        assert found["pageInfo"]["endCursor"] == found["edges"][-1]["cursor"]

    async def test_take_as_many_statements_as_edges(self, ada: Person, statements: StatementCounter) -> None:
        for title in "ab":
            await ada.task(title=title, tags=["x"])
        taken = []
        rows = f"{{ {SELECTED} comments(first: 2) {{ totalCount }} }}"
        for selected in (f"nodes {rows}", f"edges {{ node {rows} }}"):
            query = f"{{ tasks {{ {selected} }} }}"
            await ada.gql(query)
            statements.reset()
            assert (await ada.gql(query)).data
            taken.append(statements.count)
        assert taken[0] == taken[1]

    def test_cost_what_the_rows_of_edges_do_and_both_cost_both(self) -> None:
        nodes = points("{ tasks(first: 50) { nodes { id title } } }")
        edges = points("{ tasks(first: 50) { edges { node { id title } } } }")
        both = points("{ tasks(first: 50) { nodes { id title } edges { node { id title } } } }")
        assert nodes[1] == edges[1] == 50
        assert nodes[0] <= edges[0]
        assert nodes[2] == 50 * 3 + 1
        assert both[1] == 100
        assert both[2] == nodes[2] + edges[2] - 1


class TestSchema:
    async def test_is_served_as_text(self, anonymous: Anonymous) -> None:
        answer = await anonymous.get("//graphql/schema.graphql")

        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text == sdl()
        assert build_schema(answer.text).query_type
        again = await anonymous.get("//graphql/schema.graphql", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await anonymous.rest("HEAD", "//graphql/schema.graphql")).headers["etag"] == answer.headers["etag"]

    async def test_is_not_where_introspection_is_off(self, database: Database) -> None:
        async with another_instance(database, graphql_introspection=False) as app, calling(app) as anonymous:
            answer = await anonymous.get("//graphql/schema.graphql")

        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
        assert "GRAPHQL_INTROSPECTION" in answer.json()["detail"]

    async def test_introspection_says_all_of_it(self, anonymous: Anonymous) -> None:
        query = get_introspection_query(
            descriptions=True,
            specified_by_url=True,
            directive_is_repeatable=True,
            schema_description=True,
            input_value_deprecation=True,
            one_of=True,
        )
        assert query.count("includeDeprecated: true") >= 3
        told = build_client_schema((await anonymous.gql(query)).data)

        written = build_schema(sdl())
        assert print_schema(lexicographic_sort_schema(told)) == print_schema(lexicographic_sort_schema(written))
