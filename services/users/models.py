"""What accounts take and answer."""

from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BeforeValidator, EmailStr, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from core import time_zones
from core.passwords import MAX_PASSWORD_LENGTH, prepared
from core.sentences import did_you_mean, pattern
from services.shared import node_ids
from services.shared.actors import Actor, Scope
from services.shared.filters import Filter
from services.shared.inputs import Bool, Input, Line, Text, absent
from services.shared.operators import NameFilter
from services.shared.outputs import DatabaseId, NodeId, Output
from services.shared.text import fold_email, fold_username, has_control, trimmed


def _known_timezone(name: str) -> str:
    if name not in time_zones.known():
        meant = did_you_mean(name, time_zones.known()) or ", such as Europe/Vienna"
        raise PydanticCustomError("time_zone", "is not a time zone of the IANA database{meant}", {"meant": meant})
    return name


def _bare_address(value: object) -> object:
    if isinstance(value, str) and "<" in value:
        raise ValueError("must be the address alone, without a name")
    if isinstance(value, str) and "=?" in value:
        raise ValueError("must not hold =?, by which messages mark what is in another code")
    return value


def _prepared_password(password: str) -> str:
    if has_control(password):
        raise PydanticCustomError("control_character", "must not hold control characters")
    return prepared(password)


Username = Annotated[
    str,
    Field(
        min_length=3,
        max_length=50,
        pattern=pattern(r"^[a-zA-Z0-9_]+$", "may hold the letters a to z, digits and underscores, and nothing else"),
        description="3 to 50 letters, digits and underscores; unique whatever the case.",
        examples=["ada"],
    ),
]
Email = Annotated[
    EmailStr,
    BeforeValidator(_bare_address),
    AfterValidator(fold_email),
    Field(description="Unique; kept in lower case.", examples=["ada@example.com"]),
]
_EMAIL: TypeAdapter[str] = TypeAdapter(Email)
Password = Annotated[
    Text,
    AfterValidator(_prepared_password),
    Field(
        min_length=8,
        max_length=MAX_PASSWORD_LENGTH,
        description="At least 8 characters.",
        examples=["correct horse battery"],
        json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"},
    ),
]
FullName = Annotated[Line, Field(max_length=200, description="The name to show.", examples=["Ada Lovelace"])]
Timezone = Annotated[
    Text,
    AfterValidator(_known_timezone),
    Field(
        max_length=64,
        description="A time zone of the IANA database.",
        examples=["Europe/Vienna"],
        json_schema_extra={"format": "time-zone"},
    ),
]
LoginName = Annotated[
    Text,
    Field(min_length=1, max_length=254, description="The username or the e-mail address.", examples=["ada"]),
]


def fold_login(name: str) -> str:
    """What is looked up of a username or an address that somebody typed."""
    name = trimmed(name)
    if "@" not in name:
        return fold_username(name)
    try:
        return _EMAIL.validate_python(name)
    except ValidationError:
        return fold_email(name)


class UserCreate(Input):
    """Registers an account."""

    username: Username
    email: Email
    password: Password
    full_name: FullName | None = Field(default_factory=absent)
    timezone: Timezone = "UTC"
    invitation: Annotated[Text, Field(max_length=200, description="The invitation, where the server asks for one.")] = (
        Field(default_factory=absent)
    )


class UserUpdate(Input):
    """Changes the caller's profile. Fields that are left out stay as they are."""

    email: Email = Field(default_factory=absent)
    full_name: FullName | None = Field(default_factory=absent)
    timezone: Timezone = Field(default_factory=absent)


class UserAdminUpdate(Input):
    """What an administrator may change of an account."""

    disabled: Bool = Field(
        default_factory=absent,
        description="A disabled account cannot log in, and its sessions and keys stop working.",
    )


class PasswordChange(Input):
    """Changes the caller's password and ends every other session."""

    current_password: Annotated[Text, Field(max_length=MAX_PASSWORD_LENGTH, description="The password in use.")]
    new_password: Password
    confirm_password: Annotated[Text, Field(max_length=MAX_PASSWORD_LENGTH, description="The new password again.")]


class UserSummary(Output):
    """What other people see of an account."""

    id: DatabaseId
    node_id: NodeId
    username: str = Field(description="The unique name.")
    full_name: str | None = Field(description="The name to show.")


class UserOut(UserSummary):
    """An account. What is private is null for everybody but its owner and administrators."""

    email: str | None = Field(description="Private. The e-mail address; null where an imported account is not claimed.")
    email_verified_at: datetime | None = Field(
        description="Private. When the address was verified, in UTC; null where it was not."
    )
    timezone: str | None = Field(description="Private. A time zone of the IANA database.")
    is_admin: bool | None = Field(description="Private. Whether the account administers the server.")
    disabled: bool | None = Field(description="Private. A disabled account cannot log in.")
    created_at: datetime | None = Field(description="Private. When it was created, in UTC.")


class UserFilter(Filter):
    """Which people. Every condition given must hold."""

    username: NameFilter = Field(default_factory=absent, description="The username.")


class UserRecord(NamedTuple):
    """An account as it is read, with what only its owner and administrators are shown."""

    id: int
    username: str
    full_name: str | None
    email: str | None = None
    timezone: str | None = None
    is_admin: bool | None = None
    disabled: bool | None = None
    created_at: datetime | None = None
    email_verified_at: datetime | None = None

    @property
    def node_id(self) -> str:
        return node_ids.encode("User", self.id)

    def seen_by(self, actor: Actor) -> "UserRecord":
        """The record without what is private, unless it is the actor's own, or the actor an administrator."""
        if self.id == actor.user_id or (actor.is_admin and Scope.ADMIN in actor.scopes):
            return self
        return UserRecord(self.id, self.username, self.full_name)
