"""How long the event loops of a server stood still, as the server counts it itself."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.attack.world import World
from tests.conftest import SERVER_KEY

METRIC = "tandem_event_loop_lag_seconds"
BOUND = 0.05

Buckets = dict[float, float]
"""How many stalls were at most so long, by seconds."""


def read(world: World) -> Buckets:
    """The counts of all workers together. Raises ``LookupError`` where the server counts none."""
    text = httpx.get(f"{world.base_url}/metrics", timeout=30, headers={"X-API-Key": SERVER_KEY}).text
    buckets: Buckets = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == f"{METRIC}_bucket":
                bound = float(sample.labels["le"])
                buckets[bound] = buckets.get(bound, 0.0) + sample.value
    if not buckets:
        raise LookupError(f"the server has no metric {METRIC}")
    return buckets


def share_within(before: Buckets, after: Buckets, seconds: float = BOUND) -> tuple[float, int]:
    """Which share of the looks in between found the loop no later than this, and how many looks there were."""
    bound = max(bound for bound in after if bound <= seconds)
    looks = after[float("inf")] - before.get(float("inf"), 0.0)
    within = after[bound] - before.get(bound, 0.0)
    return (within / looks if looks else 1.0), int(looks)
