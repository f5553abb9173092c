"""What a schema cannot say, for schemathesis: real cursors, time zones and ETags, ranges, and our error codes.

Loaded with SCHEMATHESIS_HOOKS; see README.md beside this file.
"""

import zlib
from base64 import urlsafe_b64encode
from typing import Any
from zoneinfo import available_timezones

import schemathesis
import schemathesis.specs.graphql.validation as graphql_validation
from hypothesis import strategies as st
from schemathesis.graphql import nodes

# our catalogue's codes for what a caller did; never INTERNAL_SERVER_ERROR
graphql_validation.CLIENT_ERROR_MARKERS |= {
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "NOT_FOUND",
    "CONFLICT",
    "VERSION_CONFLICT",
    "IDEMPOTENCY_CONFLICT",
    "IDEMPOTENCY_MISMATCH",
    "RATE_LIMITED",
    "TOO_EXPENSIVE",
}

MOMENTS = st.datetimes().map(lambda moment: moment.isoformat() + "Z")


def _cursor(row_id: int) -> str:
    """A cursor of the order by id, as services/shared/pagination.py writes them."""
    payload = b'["-id",%d,%d]' % (row_id, row_id)
    return urlsafe_b64encode(zlib.crc32(payload).to_bytes(4, "big") + payload).decode().rstrip("=")


schemathesis.openapi.format("cursor", st.integers(1, 10_000).map(_cursor))
schemathesis.openapi.format("etag", st.just("*"))
# addresses of names that are reserved or do not exist are refused
schemathesis.openapi.format("email", st.from_regex(r"[a-z][a-z0-9]{0,20}@example\.com", fullmatch=True))
schemathesis.openapi.format("time-zone", st.sampled_from(sorted(available_timezones())))
schemathesis.graphql.scalar("JSON", st.text(max_size=20).map(nodes.String))
schemathesis.graphql.scalar("DateTime", MOMENTS.map(nodes.String))


# the types of our errors for rules between values, or between a value and what is stored
RULES = {
    *("exclusive", "pair", "mode", "mismatch"),
    *("rule", "range", "cursor", "filter", "time_zone", "duplicate", "unknown_field"),
    *("blank", "line_break", "control_character"),
}


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, case: Any, response: Any) -> bool:
    """A request that fits the schema may break a rule that no schema can express: then a 422 that says so is right."""
    if type(failure).__name__ == "JsonSchemaError" and {"fields", "envelope"} & (case.query or {}).keys():
        return (
            False  # members that the schema requires are left out, or an object stands around the array, as was asked
        )
    if type(failure).__name__ != "RejectedPositiveData" or response.status_code != 422:
        return True
    if response.json()["code"] == "IDEMPOTENCY_MISMATCH":  # the example of a key, sent twice
        return False
    problems = response.json()["errors"]
    return not problems or any(
        problem["type"] not in RULES and not problem["pointer"].startswith("/filter") for problem in problems
    )
