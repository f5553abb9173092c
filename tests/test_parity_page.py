"""The page that shows both doors side by side."""

from api.main import openapi_document
from api.problems import STATUS
from graphql_schema.schema import schema
from tools import parity


def test_every_operation_and_every_exception_is_on_the_page() -> None:
    document = openapi_document()

    page = parity.page(document, schema._schema, STATUS)

    for path, item in document["paths"].items():
        for method in item:
            assert page.count(f"| `{method.upper()} {path}` |") == 1, (method, path)
    for field in [*parity.PAIRS.values(), *parity.GRAPHQL_ALONE]:
        assert f"`{field}" in page
    for code in STATUS:
        assert f"`{code}`" in page
    assert "| `GET /api/v1/tasks/{task_id}` | A task | `Query.task(id)` |" in page
