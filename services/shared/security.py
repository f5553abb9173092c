"""What logins are made with and the rules for accounts: made of the settings once, and held by the application."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from core.mail import Outbox
from core.passwords import PasswordHasher
from core.tokens import AccessTokens
from services.allowances.login_failures import LoginFailures
from services.allowances.rate_limits import RateLimits
from services.mailing.tokens import MailTokens


@dataclass(frozen=True, slots=True)
class AccountRules:
    """Who may register, and how passwords are set anew."""

    registration: Literal["open", "invite", "closed"] = "open"
    reset_lifetime: timedelta = timedelta(minutes=30)
    reset_url: str | None = None
    verification: Literal["off", "optional", "required"] = "off"


@dataclass(frozen=True, slots=True)
class Security:
    """What logins are made with: keys, hashes, lifetimes and limits."""

    tokens: AccessTokens
    hasher: PasswordHasher
    refresh_lifetime: timedelta
    limits: RateLimits
    failures: LoginFailures
    mail_tokens: MailTokens
    outbox: Outbox = field(default_factory=Outbox)
    accounts: AccountRules = AccountRules()
