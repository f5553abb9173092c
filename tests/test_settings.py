"""Settings: where they come from, which are refused at the start, and that their example is complete."""

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from core.settings import LIMITS, Settings
from db.driver.database import Database
from tests.conftest import ROOT

STRONG = "k7Jq2vXz9pLm4RtY8wBn3sDf6gHc1aEu5oIi0QWx"
WEAK = {
    "31 characters": STRONG[:31],
    "few different ones": "abcdefghi" * 8,
    "one character": "x" * 64,
    "your-secret-key": f"your-secret-key-{STRONG}",
    "changeme": f"ChangeMe{STRONG}",
    "password": f"{STRONG}PASSWORD",
    "example": f"{STRONG}-example",
}
EXAMPLE = ROOT / ".env.example"


def settings(**values: object) -> Settings:
    given: dict[str, Any] = {"secret_key": STRONG} | values
    return Settings(_env_file=None, **given)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment of whoever runs the tests nor a .env beside the checkout has a say."""
    for name in os.environ:
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


class TestSources:
    def test_environment_wins_over_the_file_and_both_over_defaults(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / ".env").write_text(f"SECRET_KEY={STRONG}\nLOG_LEVEL=ERROR\nJWT_ISSUER=file\nSOMETHING_ELSE=1\n")
        monkeypatch.setenv("Jwt_Issuer", "environment")

        found = Settings()

        assert found.secret_key.get_secret_value() == STRONG
        assert (found.log_level, found.jwt_issuer, found.jwt_audience) == ("ERROR", "environment", "tandem-api")

    def test_empty_value_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("DATABASE_URL", "API_KEY", "ACCESS_TOKEN_MINUTES", "REDIS_URL"):
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("SECRET_KEY", STRONG)

        found = Settings()

        assert (found.database_url, found.access_token_minutes) == ("sqlite:///./tandem.db", 15)
        assert (found.api_key, found.redis_url) == (None, None)

    def test_origins_are_separated_by_commas(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECRET_KEY", STRONG)
        monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.example.com, https://b.example.com,")

        assert Settings().allowed_origins == ("https://a.example.com", "https://b.example.com")

    def test_origins_may_be_a_json_list(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECRET_KEY", STRONG)
        monkeypatch.setenv("ALLOWED_ORIGINS", ' ["https://a.example.com", "https://B.example.com/"]')

        assert Settings().allowed_origins == ("https://a.example.com", "https://b.example.com")

    @pytest.mark.parametrize("name", LIMITS)
    def test_limits_can_be_switched_off(self, name: str) -> None:
        assert getattr(settings(**{name: "off"}), name) is None
        assert getattr(settings(**{name: "5/second"}), name) == "5/second"


class TestExample:
    def lines(self) -> dict[str, str]:
        return dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE))

    def test_it_lists_exactly_the_settings(self) -> None:
        written = re.findall(r"^#?\s*([A-Z0-9_]+)=", EXAMPLE.read_text(), re.MULTILINE)

        assert sorted(written) == sorted(name.upper() for name in Settings.model_fields)

    def test_its_values_are_the_defaults(self) -> None:
        assert Settings(_env_file=EXAMPLE, secret_key=SecretStr(STRONG)) == settings()

    def test_it_holds_no_secret(self) -> None:
        assert (self.lines()["SECRET_KEY"], self.lines()["API_KEY"]) == ("", "")


class TestSecrets:
    def test_none_has_a_default(self) -> None:
        fields = {name: field for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)}

        assert {name: field.is_required() or field.default for name, field in fields.items()} == {
            "secret_key": True,
            "api_key": None,
            "smtp_password": None,
        }

    def test_server_does_not_start_without_one(self) -> None:
        with pytest.raises(ValidationError, match="secret_key\n  Field required"):
            Settings(_env_file=None)

    @pytest.mark.parametrize("name", ["secret_key", "api_key"])
    @pytest.mark.parametrize("weak", WEAK)
    def test_weak_one_is_refused_in_production(self, name: str, weak: str) -> None:
        with pytest.raises(ValidationError) as refused:
            settings(**{"environment": "production", name: WEAK[weak]})

        message = str(refused.value)
        assert f"{name.upper()} is too weak: use at least 32 random characters" in message
        assert "secrets.token_urlsafe" in message
        assert WEAK[weak] not in message
        assert STRONG[-8:] not in message

    @pytest.mark.parametrize("name", ["secret_key", "api_key"])
    def test_elsewhere_it_is_only_to_be_no_joke(self, name: str) -> None:
        assert getattr(settings(**{name: "sixteen-letters!"}), name).get_secret_value() == "sixteen-letters!"
        for joke in ("", "secret", "fifteen-letters"):
            with pytest.raises(ValidationError, match=f"{name.upper()} is too weak"):
                settings(**{name: joke})

    def test_what_the_message_advises_is_taken(self) -> None:
        for _ in range(200):
            settings(environment="production", secret_key=secrets.token_urlsafe(48))

    def test_refusal_shows_no_value(self) -> None:
        url = "postgresql://tandem:hunter2@db/tandem"

        with pytest.raises(ValidationError) as refused:
            settings(environment="production", secret_key="weak" * 8, api_key=STRONG, database_url=url)

        assert not any(value in str(refused.value) for value in ("hunter2", STRONG[-8:], "weakweak"))

    def test_settings_do_not_print_their_secrets(self) -> None:
        assert STRONG not in f"{settings(api_key=STRONG)!r} {settings(api_key=STRONG)}"

    def test_server_ends_at_once_and_says_why(self, tmp_path: Path) -> None:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ENVIRONMENT": "production"}
        weak = "this-is-not-random-at-all-not-at-all"

        ended = subprocess.run(
            [sys.executable, "-c", "import api.main; api.main.app"],
            cwd=tmp_path,
            env=environment | {"SECRET_KEY": f"{weak}-password"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert ended.returncode != 0
        assert "SECRET_KEY is too weak" in ended.stderr
        assert weak not in ended.stderr + ended.stdout
        assert not list(tmp_path.iterdir())


class TestRules:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("environment", "prod"), ("debug", "perhaps"), ("log_level", "LOUD"), ("log_format", "xml")),
            *(("database_pool_size", 0), ("database_pool_timeout", 0), ("access_token_minutes", 0)),
            *(("access_token_minutes", 1441), ("refresh_token_days", 366), ("argon2_memory_kib", 7)),
            *(("argon2_rounds", 0), ("max_body_bytes", 10), ("max_answer_bytes", 10), ("body_timeout_seconds", 0)),
            *(("rate_limit", "often"), ("login_rate_limit", "20 per fortnight"), ("rate_limit", "0/minute")),
            *(("rate_limit", "10/minute;100/hour"), ("login_rate_limit", "10/minute, 100/hour")),
            *(("socket_init_seconds", 0), ("socket_message_bytes", 1_023), ("socket_send_seconds", "inf")),
            *(("sockets_per_address", 0), ("sockets_per_caller", 0), ("operations_per_caller", 0)),
            *((limit, "often") for limit in LIMITS),
            *(("graphql_introspection", "perhaps"), ("graphiql", "2"), ("api_docs", "x"), ("hsts_seconds", -1)),
            *(("hsts_seconds", 10**9),),
            *(("database_pool_timeout", "inf"), ("body_timeout_seconds", "nan")),
            *(("redis_url", "localhost:6379"), ("redis_url", "redis://"), ("redis_url", "http://host/0")),
            *(
                ("redis_url", "redis://host:port/0"),
                ("redis_url", "redis://host/first"),
                ("redis_url", "redis://h:99999"),
            ),
            *(("jwt_private_key_file", "/nowhere/key.pem"), ("jwt_private_key_file", "/")),
            *(("api_key", f"{STRONG} "), ("api_key", f"{STRONG}é"), ("api_key", f"{STRONG}\n")),
        ],
    )
    def test_impossible_value_is_refused_by_name(self, name: str, value: object) -> None:
        with pytest.raises(ValidationError, match=f"1 validation error for Settings\n{name}\n"):
            settings(**{name: value})

    def test_debug_is_refused_in_production(self) -> None:
        assert settings(debug=True).debug
        with pytest.raises(ValidationError, match="DEBUG is not for production: LOG_LEVEL=DEBUG logs as much"):
            settings(debug=True, environment="production")

    @pytest.mark.parametrize("switch", ["graphql_introspection", "graphiql", "api_docs"])
    def test_what_a_server_shows_of_itself(self, switch: str) -> None:
        shown = {"graphql_introspection": "introspection_on"}.get(switch, f"{switch}_on")
        for environment, expected in (("development", True), ("test", True), ("production", False)):
            assert getattr(settings(environment=environment), shown) is expected
            assert getattr(settings(environment=environment, **{switch: "true"}), shown) is True
            assert getattr(settings(environment=environment, **{switch: "false"}), shown) is False

    def test_strict_transport(self) -> None:
        found = [settings(environment=each).strict_transport_seconds for each in ("development", "production")]
        assert found == [0, 31_536_000]
        assert settings(environment="production", hsts_seconds=0).strict_transport_seconds == 0
        assert settings(hsts_seconds=60).strict_transport_seconds == 60

    def test_any_origin_is_refused_in_production(self) -> None:
        assert settings(allowed_origins="*").allowed_origins == ("*",)
        with pytest.raises(ValidationError, match="ALLOWED_ORIGINS"):
            settings(allowed_origins="https://a.example.com,*", environment="production")


ORIGINS = {
    "https://app.example.com": "https://app.example.com",
    "https://App.Example.com/": "https://app.example.com",
    "HTTPS://app.example.com:443": "https://app.example.com",
    "http://app.example.com:80/": "http://app.example.com",
    "https://app.example.com:80": "https://app.example.com:80",
    "http://localhost:03000": "http://localhost:3000",
    "https://münchen.example": "https://xn--mnchen-3ya.example",
    "https://faß.example": "https://xn--fa-hia.example",
    "https://xn--mnchen-3ya.example": "https://xn--mnchen-3ya.example",
    "http://[0:0:0::1]:3000": "http://[::1]:3000",
    "http://127.0.0.1": "http://127.0.0.1",
    "capacitor://localhost": "capacitor://localhost",
    "chrome-extension://abcdefghijklmnop": "chrome-extension://abcdefghijklmnop",
}
NO_ORIGINS = {
    "app.example.com": "write scheme://host",
    "null": "cannot be allowed",
    "https://": "no name",
    "//app.example.com": "write scheme://host",
    "https://app.example.com/app": "browsers send no path",
    "https://app.example.com?x=1": "browsers send no path",
    "https://app.example.com#x": "browsers send no path",
    "https://*.example.com": "is a pattern",
    "https://app.example.com:*": "no number from 1 to 65535",
    "https://ada:hunter2@app.example.com": "has a user in it",
    "https://a.example.com https://b.example.com": "browsers send no path",
    "https://a.example.com;https://b.example.com": "browsers send no path",
    "https://a.example.com b.example.com": "separated by commas",
    "'https://a.example.com'": "write scheme://host",
    "https://a..example.com": "no name",
    "https://-a.example.com": "no name",
    "https://a.example.com:0": "no number from 1 to 65535",
    "https://a.example.com:99999": "no number from 1 to 65535",
    "http://127.1": "no IPv4 address",
    "http://[::g]": "no IPv6 address",
    "wss://a.example.com": "the origin http:// or https://",
    "file:///": "no name",
    "[not json": "begins like a JSON list",
    "*,https://a.example.com": "others beside it say nothing",
}


class TestOrigins:
    @pytest.mark.parametrize("origin", ORIGINS)
    def test_are_as_browsers_send_them(self, origin: str) -> None:
        assert settings(allowed_origins=origin).allowed_origins == (ORIGINS[origin],)

    @pytest.mark.parametrize("origin", NO_ORIGINS)
    def test_what_no_browser_sends_is_refused_by_name(self, origin: str) -> None:
        with pytest.raises(ValidationError, match="ALLOWED_ORIGINS: ") as refused:
            settings(allowed_origins=origin)

        assert NO_ORIGINS[origin] in str(refused.value)
        assert "hunter2" not in str(refused.value)

    def test_the_same_twice_is_one(self) -> None:
        both = "https://a.example.com/,HTTPS://A.example.com:443"
        assert settings(allowed_origins=both).allowed_origins == ("https://a.example.com",)


class TestDatabaseUrl:
    @pytest.mark.parametrize(
        ("given", "used"),
        [
            ("postgresql://u:p@host/db", "postgresql+psycopg://u:p@host/db"),
            ("postgres://u:p@host:5432/db", "postgresql+psycopg://u:p@host:5432/db"),
            ("postgresql+psycopg://u@host/db", "postgresql+psycopg://u@host/db"),
            ("postgresql+psycopg2://u@host/db", "postgresql+psycopg://u@host/db"),
            ("postgresql://u:p%40ss@host/db", "postgresql+psycopg://u:p%40ss@host/db"),
            ("postgresql://u@host/db?sslmode=require", "postgresql+psycopg://u@host/db?sslmode=require"),
            ("postgresql:///db", "postgresql+psycopg:///db"),
            (
                "postgresql://u:p@a,b/db?target_session_attrs=read-write",
                "postgresql+psycopg://u:p@a,b/db?target_session_attrs=read-write",
            ),
            ("sqlite:///./tandem.db", "sqlite:///./tandem.db"),
            ("sqlite:////var/lib/tandem.db", "sqlite:////var/lib/tandem.db"),
            ("sqlite+pysqlite:///x.db", "sqlite:///x.db"),
        ],
    )
    def test_urls_work_as_users_write_them(self, given: str, used: str) -> None:
        assert Database(given).url.render_as_string(hide_password=False) == used

    def test_several_hosts_may_have_ports(self) -> None:
        """As libpq writes them (PostgreSQL's documentation, 32.1.1.3)."""
        url = Database("postgresql://u:p@a:5433,b:5434/db?target_session_attrs=read-write").url

        _, options = url.get_dialect()().create_connect_args(url)
        assert (options["host"], options["port"]) == ("a,b", "5433,5434")

    @pytest.mark.parametrize(
        "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"]
    )
    def test_sqlite_needs_a_file(self, url: str) -> None:
        with pytest.raises(ValueError, match="DATABASE_URL: SQLite needs a file"):
            Database(url)

    @pytest.mark.parametrize("url", ["mysql://u:hunter2@host/db", "oracle://u:hunter2@host/db"])
    def test_other_databases_are_refused_without_the_password(self, url: str) -> None:
        with pytest.raises(ValueError, match=r"DATABASE_URL: (mysql|oracle) is not supported") as refused:
            Database(url)

        assert "hunter2" not in str(refused.value)
