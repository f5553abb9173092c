"""What the worker says of itself, for Prometheus: each process tells its own, of which one works as a rule."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.work import Work

ATTEMPTS = ("accepted", "refused", "unanswered")
ENDED = ("delivered", "failed", "withheld")


class WorkFigures(Collector):
    """The figures of one process's worker."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def collect(self) -> Iterator[Metric]:
        """The metrics, as they are now."""
        deliverer, figures = self._work.deliverer, self._work.figures
        attempts = CounterMetricFamily(
            "tandem_webhook_attempts", "Requests to webhooks, by what came of them.", labels=["outcome"]
        )
        for outcome in ATTEMPTS:
            attempts.add_metric([outcome], deliverer.attempts[outcome])
        yield attempts
        deliveries = CounterMetricFamily(
            "tandem_webhook_deliveries", "Deliveries that came to an end, by their state.", labels=["state"]
        )
        for state in ENDED:
            deliveries.add_metric([state], deliverer.ended[state])
        yield deliveries
        yield GaugeMetricFamily(
            "tandem_webhook_deliveries_waiting", "Deliveries that wait to be told to active webhooks.", figures.waiting
        )
        yield GaugeMetricFamily(
            "tandem_webhook_oldest_waiting_seconds", "How long the oldest of them has waited.", figures.oldest_seconds
        )
        yield GaugeMetricFamily(
            "tandem_events_unnumbered_seconds",
            "How long the oldest event has been without its place in the feed.",
            figures.unnumbered_seconds,
        )
