"""What the worker says of itself, for Prometheus: each process tells its own, of which one works as a rule."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.work import Work

ATTEMPTS = ("accepted", "refused", "unanswered")
ENDED = ("delivered", "failed", "withheld")
REMINDED = ("told", "dropped", "again")
MAILED = ("sent", "deferred", "failed")


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
        reminders = CounterMetricFamily(
            "tandem_reminders",
            "Reminders that were told or dropped, and snoozed notifications that were told again.",
            labels=["outcome"],
        )
        for outcome in REMINDED:
            reminders.add_metric([outcome], self._work.reminding.counts[outcome])
        yield reminders
        mails = CounterMetricFamily(
            "tandem_mails", "Messages to people, by what came of an attempt to send one.", labels=["outcome"]
        )
        for outcome in MAILED:
            mails.add_metric([outcome], self._work.mailing.counts[outcome])
        yield mails
        yield GaugeMetricFamily(
            "tandem_mail_oldest_waiting_seconds",
            "How long the oldest message that was written has waited to be sent.",
            figures.mail_seconds,
        )
        yield GaugeMetricFamily(
            "tandem_reminder_oldest_waiting_seconds",
            "By how long the reminder that is told next is late.",
            figures.reminder_seconds,
        )
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
