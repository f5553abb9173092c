"""API keys that are limited to some projects: to such a key, its owner is a member of those alone.

Whatever is read or held of projects, and of what lives in them, rests on the caller's rows of ``memberships``. So it is
there that the limit holds: every statement that is given the owner of a limited key sees no other rows of his than
those of the key's projects, as they are at that moment. No statement is asked to know of it, and none can forget it.
"""

import re

from db.driver.statements import Narrowing

_READS = re.compile(r"(\bFROM\s+|\bJOIN\s+|,\s*|\(\s*)memberships(?:\s+AS\s+(\w+))?(?![\w.]|\s*\()")
_BEFORE = re.compile(r"\b(DELETE\s+FROM|FROM|JOIN|OF|INTO)\b")


class LimitedOwner(Narrowing):
    """The id of an account, for whoever calls with a key of it that is limited."""

    key_id: int

    def __new__(cls, user_id: int, key_id: int) -> "LimitedOwner":
        made = super().__new__(cls, user_id)
        made.key_id = key_id
        return made

    def __reduce__(self) -> tuple[type["LimitedOwner"], tuple[int, int]]:
        return LimitedOwner, (int(self), self.key_id)

    def narrow(self, sql: str) -> str:
        """The SQL, in which the memberships that are read are those of others and those in the key's projects."""
        chosen = f"SELECT project_id FROM api_key_projects WHERE api_key_id = {self.key_id}"  # noqa: S608 - a number
        others = f"user_id <> {int(self)} OR project_id IN ({chosen})"
        rows = f"(SELECT * FROM memberships WHERE {others}) AS "  # noqa: S608 - numbers

        def replaced(found: re.Match[str]) -> str:
            before = [*_BEFORE.finditer(sql, 0, found.start() + len(found[1]))]
            # what is deleted, or locked, is named by itself
            if before and before[-1][1] not in ("FROM", "JOIN"):
                return found[0]
            return f"{found[1]}{rows}{found[2] or 'memberships'}"

        return _READS.sub(replaced, sql)
