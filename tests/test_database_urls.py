"""DATABASE_URL means the same to migrations, to the server and to commands; what it cannot mean is refused by name."""

from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import text

from api.main import create_app
from db.driver.database import Database
from db.driver.urls import connect_arguments, normalise_url
from tests.actors import make_person
from tests.conftest import migrate, settings_for
from tests.databases import on_postgresql
from tests.doors import calling
from tests.infrastructure import require, scratch_database

TABLES = "SELECT schemaname, count(*) FROM pg_tables WHERE schemaname IN ('public', 'tenant') GROUP BY 1"


@pytest.fixture
def with_schema(backend: str) -> Iterator[str]:
    """The URL of an empty database with a schema for a tenant."""
    with scratch_database(require(backend)) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA tenant")
        yield url


@pytest.fixture(params=["URL", "environment", "role"])
def in_tenant(request: pytest.FixtureRequest, with_schema: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a database whose schema ``tenant`` is chosen in one of libpq's and PostgreSQL's ways; migrated."""
    url, options = with_schema, "-csearch_path=tenant,public"
    if request.param == "URL":
        url = f"{url}?options={quote(options)}"
    elif request.param == "environment":
        monkeypatch.setenv("PGOPTIONS", options)
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET search_path = tenant, public")
    migrate(url)
    return url


@on_postgresql
class TestSearchPath:
    async def test_server_uses_the_schema_that_was_migrated(self, in_tenant: str, with_schema: str) -> None:
        app = create_app(settings_for(in_tenant), compile_after=0)
        async with app.router.lifespan_context(app), calling(app) as anonymous:
            ready = await anonymous.get("//health/ready")
            ada = await make_person(anonymous.client, app.state.tandem)
            made = await ada.post("/tasks", {"title": "x"})

        assert (ready.status_code, made.status_code) == (200, 201)
        with psycopg.connect(with_schema) as connection:
            assert [schema for schema, _ in connection.execute(TABLES)] == ["tenant"]

    async def test_limits_of_the_operator_win_over_ours(self, with_schema: str) -> None:
        database = Database(f"{with_schema}?options={quote('-cstatement_timeout=7s -cTimeZone=Europe/Vienna')}")
        names = ("statement_timeout", "jit", "plan_cache_mode", "TimeZone")
        shown = text("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
        # but for the time zone: what is answered is in UTC
        assert list(await database.reads.all(shown)) == [("7s", "off", "force_generic_plan", "UTC")]
        await database.dispose()


class TestRefusals:
    @pytest.mark.parametrize(
        ("url", "named"),
        [
            ("postgresql://h/d?autocommit=true", "autocommit"),
            ("postgresql://h/d?prepare_threshold=0", "prepare_threshold"),
            ("postgresql://h/d?client_encoding=latin1", "client_encoding"),
            ("postgresql://h/d?sslmod=require", "sslmod"),
            ("sqlite:///x.db?timeout=5", "timeout"),
            ("sqlite:///x.db?mode=ro&cache=shared", "cache, mode"),
        ],
    )
    def test_what_would_be_ignored_is_refused_by_name(self, url: str, named: str) -> None:
        with pytest.raises(ValueError, match=f"DATABASE_URL: .* {named}"):
            normalise_url(url)


class TestHosts:
    @pytest.mark.parametrize(
        ("url", "host", "port"),
        [
            ("postgresql://a:1,b:2/d", "a,b", "1,2"),
            ("postgresql://u:p@a,b:3/d", "a,b", "5432,3"),
            ("postgresql://u@[::1]:5,[::2]/d", "::1,::2", "5,5432"),
            ("postgresql+psycopg://a:1,b:2/d", "a,b", "1,2"),
        ],
    )
    def test_several_are_those_of_libpq(self, url: str, host: str, port: str) -> None:
        parsed = normalise_url(url)
        arguments = connect_arguments(parsed, parsed.get_dialect()())

        assert (arguments["host"], str(arguments["port"])) == (host, port)
        assert arguments["target_session_attrs"] == "primary"

    def test_options_that_repeat_all_count(self) -> None:
        parsed = normalise_url("postgresql://h/d?options=-ca%3D1&options=-cb%3D2")

        assert connect_arguments(parsed, parsed.get_dialect()())["options"] == "-ca=1 -cb=2"

    def test_host_that_is_gone_is_left_after_a_while_unless_the_url_says_otherwise(self) -> None:
        dialect = normalise_url("postgresql://h/d").get_dialect()()

        assert connect_arguments(normalise_url("postgresql://h/d"), dialect)["connect_timeout"] == "5"
        given = normalise_url("postgresql://h/d?connect_timeout=9")
        assert connect_arguments(given, dialect)["connect_timeout"] == "9"
