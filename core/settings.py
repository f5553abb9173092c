"""Settings from the environment and ``.env``. No secret has a default."""

import json
import os
import re
from email.utils import parseaddr
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core import origins

LIMITS = (
    "rate_limit",
    "login_rate_limit",
    "login_failure_limit",
    "login_address_failure_limit",
    "login_account_failure_limit",
    "registration_rate_limit",
    "refresh_rate_limit",
    "probe_rate_limit",
    "password_reset_rate_limit",
)
YEAR_SECONDS = 365 * 24 * 60 * 60
DEFAULT_MAX_ANSWER_BYTES = 20 * 1024 * 1024
WEAK_SECRETS = ("secret", "changeme", "change-me", "your-secret-key", "password", "example")


class Settings(BaseSettings):
    """Every setting of the server; names are those of the environment variables, in any case."""

    # a refusal must not print the secrets that stand beside what it refuses
    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    environment: Literal["development", "test", "production"] = "development"
    debug: bool = False

    database_url: str = "sqlite:///./tandem.db"
    database_pool_size: int = Field(default=5, ge=1, le=100)
    database_pool_timeout: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    redis_url: str | None = None

    secret_key: SecretStr
    api_key: SecretStr | None = None
    jwt_private_key_file: Path | None = None
    jwt_issuer: str = "tandem"
    jwt_audience: str = "tandem-api"
    access_token_minutes: int = Field(default=15, ge=1, le=24 * 60)
    refresh_token_days: int = Field(default=30, ge=1, le=365)
    argon2_memory_kib: int = Field(default=19_456, ge=8)
    argon2_rounds: int = Field(default=2, ge=1)

    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ("http://localhost:3000",)
    rate_limit: str | None = None
    login_rate_limit: str | None = "20/minute"
    login_failure_limit: str | None = "10/15 minutes"
    login_address_failure_limit: str | None = "100/hour"
    login_account_failure_limit: str | None = "100/hour"
    registration_rate_limit: str | None = "30/hour"
    refresh_rate_limit: str | None = "60/minute"
    probe_rate_limit: str | None = "30/minute"
    password_reset_rate_limit: str | None = "20/hour"  # noqa: S105 - a limit
    password_reset_minutes: int = Field(default=30, ge=1, le=24 * 60)
    password_reset_url: str | None = None
    registration: Literal["open", "invite", "closed"] = "open"
    email_verification: Literal["off", "optional", "required"] = "off"

    mailer: Literal["off", "console", "file", "smtp"] | None = None
    mail_folder: Path = Path("mail")
    mail_from: str = "tandem@localhost"
    public_url: str | None = None
    task_url: str | None = None
    smtp_host: str | None = None
    smtp_port: int = Field(default=587, ge=1, le=65_535)
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: Literal["starttls", "tls", "off"] = "starttls"

    max_body_bytes: int = Field(default=2 * 1024 * 1024, ge=1024)
    max_answer_bytes: int = Field(default=DEFAULT_MAX_ANSWER_BYTES, ge=1024 * 1024, le=1024**3)
    body_timeout_seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    request_timeout_seconds: float = Field(default=10.0, ge=0.1, le=3600, allow_inf_nan=False)

    socket_init_seconds: float = Field(default=5.0, gt=0, allow_inf_nan=False)
    socket_message_bytes: int = Field(default=64 * 1024, ge=1024)
    socket_send_seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    sockets_per_address: int = Field(default=100, ge=1)
    sockets_per_caller: int = Field(default=100, ge=1)
    operations_per_caller: int = Field(default=200, ge=1)

    graphql_introspection: bool | None = None
    persisted_queries_bytes: int = Field(default=8 * 1024 * 1024, ge=0, le=1024**3)
    trusted_documents: Path | None = None
    graphiql: bool | None = None
    api_docs: bool | None = None
    hsts_seconds: int | None = Field(default=None, ge=0, le=2 * YEAR_SECONDS)
    header_timeout_seconds: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    write_timeout_seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    max_connections: int = Field(default=4_000, ge=1)
    max_requests_in_progress: int = Field(default=16, ge=1)
    max_requests_waiting: int = Field(default=500, ge=0)
    shutdown_delay_seconds: float = Field(default=0.0, ge=0, le=600, allow_inf_nan=False)

    embedded_worker: bool = True
    worker_lease_seconds: float = Field(default=15.0, ge=1, le=600, allow_inf_nan=False)
    event_retention_days: int | None = Field(default=90, ge=4, le=3650)
    due_soon_days: int | None = Field(default=1, ge=0, le=30)
    webhook_log_days: int = Field(default=30, ge=1, le=365)
    webhook_timeout_seconds: float = Field(default=15.0, ge=0.1, le=60, allow_inf_nan=False)
    webhook_resolver: str | None = None
    webhook_test_ports: Annotated[tuple[int, ...], NoDecode] = ()
    webhook_test_delays: Annotated[tuple[float, ...], NoDecode] = ()

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"

    @field_validator(*LIMITS, mode="before")
    @classmethod
    def _allow_off(cls, value: object) -> object:
        return None if value in ("", "off") else value

    @field_validator(*LIMITS)
    @classmethod
    def _refuse_unreadable_limit(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                limits = parse_many(value)
            except ValueError:
                limits = []
            if len(limits) != 1 or limits[0].amount < 1:
                raise ValueError("must be one number of requests in a time, from 1, e.g. 20/minute, or off")
        return value

    @field_validator("event_retention_days", "due_soon_days", mode="before")
    @classmethod
    def _allow_for_ever(cls, value: object) -> object:
        return None if value in ("", "off") else value

    @field_validator("webhook_test_ports", "webhook_test_delays", mode="before")
    @classmethod
    def _split_numbers(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        is_port = info.field_name == "webhook_test_ports"
        try:
            numbers = [int(part) if is_port else float(part) for part in parts]
            if all(1 <= number <= 65_535 if is_port else 0 <= number <= 86_400 for number in numbers):
                return tuple(numbers)
        except ValueError:
            pass
        what = "ports, such as 9190,9191" if is_port else "seconds, such as 0.5,1,2"
        raise ValueError(f"{str(info.field_name).upper()}: must be {what}")

    @field_validator("webhook_resolver")
    @classmethod
    def _refuse_unreadable_resolver(cls, value: str | None) -> str | None:
        if value is None:
            return None
        host, _, port = value.rpartition(":")
        try:
            ip_address(host.removeprefix("[").removesuffix("]"))
            holds = 1 <= int(port) <= 65_535
        except ValueError:
            holds = False
        if not holds:
            raise ValueError(
                "WEBHOOK_RESOLVER: must be an address and a port, such as 192.0.2.53:53 or [2001:db8::53]:53"
            )
        return value

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            try:
                return json.loads(value)
            except ValueError:
                raise ValueError("ALLOWED_ORIGINS: begins like a JSON list, and is none") from None
        return tuple(origin.strip() for origin in value.split(",") if origin.strip())

    @field_validator("allowed_origins")
    @classmethod
    def _normalise_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if origins.ANY in value:
            if len(value) > 1:
                raise ValueError("ALLOWED_ORIGINS: '*' is every origin; others beside it say nothing")
            return value
        try:
            return tuple(dict.fromkeys(map(origins.normalised, value)))
        except ValueError as error:
            raise ValueError(f"ALLOWED_ORIGINS: {error}") from None

    @field_validator("redis_url")
    @classmethod
    def _refuse_unreadable_redis_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            url = urlsplit(value)
            number = re.fullmatch(r"/?|/[0-9]{1,9}", url.path, re.ASCII)
            holds = url.scheme in ("redis", "rediss") and url.hostname and url.port != 0 and number
        except ValueError:
            holds = None
        if not holds:
            raise ValueError("REDIS_URL: must be redis://host:port/number, or rediss:// for TLS")
        return value

    @field_validator("password_reset_url")
    @classmethod
    def _refuse_url_without_token(cls, value: str | None) -> str | None:
        if value is not None and not (value.startswith(("https://", "http://")) and "{token}" in value):
            raise ValueError("must be an address with {token} in it, e.g. https://app.example.com/reset?token={token}")
        return value

    @field_validator("public_url")
    @classmethod
    def _refuse_other_public_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            url = urlsplit(value)
            holds = url.scheme in ("https", "http") and url.hostname and not url.query and not url.fragment
        except ValueError:
            holds = None
        if not holds or not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError("PUBLIC_URL: must be where this server is reached, e.g. https://tasks.example.com")
        return value.rstrip("/")

    @field_validator("task_url")
    @classmethod
    def _refuse_url_without_task(cls, value: str | None) -> str | None:
        if value is not None and not (
            value.startswith(("https://", "http://")) and ("{ref}" in value or "{id}" in value)
        ):
            raise ValueError(
                "TASK_URL: must be an address with {ref} or {id} in it, e.g. https://app.example.com/{ref}"
            )
        return value

    @field_validator("mail_from")
    @classmethod
    def _refuse_no_sender(cls, value: str) -> str:
        if "@" not in parseaddr(value)[1] or not value.isprintable():
            raise ValueError("must be an e-mail address, e.g. Tandem <tandem@example.com>")
        return value

    @field_validator("jwt_private_key_file", "trusted_documents")
    @classmethod
    def _refuse_unreadable_file(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        # asked first, for what is in a folder that may not be entered is an error to is_file()
        if value is not None and not (os.access(value, os.R_OK) and value.is_file()):
            name = str(info.field_name).upper()
            raise ValueError(f"{name}: there is no file of this name that the server may read")
        return value

    @field_validator("api_key")
    @classmethod
    def _refuse_unsendable_key(cls, value: SecretStr | None) -> SecretStr | None:
        key = "" if value is None else value.get_secret_value()
        if not (key.isascii() and key.isprintable() and key == key.strip()):
            raise ValueError("API_KEY: must be visible ASCII characters, as the header X-API-Key that it comes in")
        return value

    @model_validator(mode="after")
    def _refuse_weak_secrets(self) -> Self:
        for name, secret in (("SECRET_KEY", self.secret_key), ("API_KEY", self.api_key)):
            if secret is None:
                continue
            value = secret.get_secret_value()
            weak = len(value) < 32 or len(set(value)) < 10 or any(word in value.lower() for word in WEAK_SECRETS)
            if len(value) < 16 or (weak and self.environment == "production"):
                raise ValueError(
                    f"{name} is too weak: use at least 32 random characters, "
                    'e.g. python -c "import secrets; print(secrets.token_urlsafe(48))"'
                )
        return self

    @model_validator(mode="after")
    def _refuse_messages_without_way(self) -> Self:
        if self.mailer == "smtp" and self.smtp_host is None:
            raise ValueError("SMTP_HOST is required with MAILER=smtp")
        if self.email_verification != "off" and self.mail_by == "off":
            raise ValueError(f"MAILER is off, and EMAIL_VERIFICATION={self.email_verification} sends messages")
        if self.smtp_password is not None and self.smtp_user is None:
            raise ValueError("SMTP_USER is required with SMTP_PASSWORD")
        return self

    @model_validator(mode="after")
    def _refuse_in_production(self) -> Self:
        if self.environment == "production" and "*" in self.allowed_origins:
            raise ValueError("ALLOWED_ORIGINS must name origins in production, not '*'")
        if self.environment == "production" and self.debug:
            raise ValueError("DEBUG is not for production: LOG_LEVEL=DEBUG logs as much")
        if self.environment == "production" and (self.webhook_test_ports or self.webhook_test_delays):
            raise ValueError("WEBHOOK_TEST_PORTS and WEBHOOK_TEST_DELAYS are for tests, not for production")
        return self

    @property
    def local_origins_allowed(self) -> bool:
        """Whether pages of this machine may ask, on whichever port their development server listens."""
        return self.environment == "development"

    # what a server shows of itself: all of it, but in production what its operator says
    @property
    def introspection_on(self) -> bool:
        """Whether GraphQL answers ``__schema`` and ``__type``."""
        return self._shown(self.graphql_introspection)

    @property
    def graphiql_on(self) -> bool:
        """Whether the playground is at /graphql."""
        return self._shown(self.graphiql)

    @property
    def api_docs_on(self) -> bool:
        """Whether /reference, /guides, /docs, /redoc, /openapi.json and /asyncapi.json are there."""
        return self._shown(self.api_docs)

    @property
    def mail_by(self) -> Literal["off", "console", "file", "smtp"]:
        """How messages are sent. The log of a production server is no place for what is in them."""
        return self.mailer or ("off" if self.environment == "production" else "console")

    @property
    def strict_transport_seconds(self) -> int:
        """How long browsers are to come by TLS alone (RFC 6797) once they have; 0 for not at all."""
        if self.hsts_seconds is None:
            return YEAR_SECONDS if self.environment == "production" else 0
        return self.hsts_seconds

    def _shown(self, switch: bool | None) -> bool:
        return self.environment != "production" if switch is None else switch


@lru_cache
def get_settings() -> Settings:
    """The process's settings, read once.

    Raises ``pydantic.ValidationError`` when a secret is missing or weak; `make run` writes random ones.
    """
    return Settings()
