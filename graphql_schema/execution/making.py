"""What executes the operations of an application, or of a worker, by its settings."""

from core.settings import Settings
from graphql_schema.execution.executor import Executor
from graphql_schema.execution.persisted import PersistedDocuments, read_trusted
from graphql_schema.schema import schema


def make_executor(settings: Settings, *, compile_after: int = 1) -> Executor:
    """What executes an application's operations; documents are parsed and validated once, and those that are trusted at
    once. Raises ``ValueError`` for a file of them that does not hold."""
    file = settings.trusted_documents
    trusted = None if file is None else read_trusted(file)
    documents = PersistedDocuments(settings.persisted_queries_bytes, trusted)
    return Executor(schema, compile_after=compile_after, suggest=settings.introspection_on, documents=documents)
