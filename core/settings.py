"""Settings from the environment and ``.env``. No secret has a default."""

import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from core import origins

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
    database_pool_timeout: float = Field(default=10.0, gt=0, allow_inf_nan=False)
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
    max_body_bytes: int = Field(default=2 * 1024 * 1024, ge=1024)
    max_answer_bytes: int = Field(default=DEFAULT_MAX_ANSWER_BYTES, ge=1024 * 1024, le=1024**3)
    body_timeout_seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"

    @field_validator("login_rate_limit", "rate_limit", mode="before")
    @classmethod
    def _allow_off(cls, value: object) -> object:
        return None if value in ("", "off") else value

    @field_validator("login_rate_limit", "rate_limit")
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

    @field_validator("jwt_private_key_file")
    @classmethod
    def _refuse_unreadable_file(cls, value: Path | None) -> Path | None:
        if value is not None and not (value.is_file() and os.access(value, os.R_OK)):
            raise ValueError("JWT_PRIVATE_KEY_FILE: there is no file of this name that the server may read")
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
        if self.environment == "production" and "*" in self.allowed_origins:
            raise ValueError("ALLOWED_ORIGINS must name origins in production, not '*'")
        return self


@lru_cache
def get_settings() -> Settings:
    """The process's settings, read once.

    Raises ``pydantic.ValidationError`` when a secret is missing or weak; `make run` writes random ones.
    """
    return Settings()
