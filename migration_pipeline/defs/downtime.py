"""Tells the people who work with a database that it is being set back. A channel that fails is told, and stops nothing."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from migration_pipeline import watch
from migration_pipeline.adapters import notify
from migration_pipeline.domain import notices
from migration_pipeline.domain.notices import Notice
from migration_pipeline.domain.restoration import ESTIMATE, Cost, Restored
from migration_pipeline.workplace import Workplace


def started(context: dg.OpExecutionContext, place: Workplace, cost: Cost) -> tuple[str, ...]:
    """Tell that a restore begins; return what an operator must know of channels that failed."""
    manifest = cost.backup.manifest
    proved = manifest.restored
    expected = timedelta(seconds=proved.seconds) if proved else ESTIMATE
    notice = notices.restore_started(place.target.name, back_to=manifest.snapshot_time, expected=expected)
    return _send(context, place, notice)


def done(context: dg.OpExecutionContext, place: Workplace, cost: Cost, restored: Restored) -> tuple[str, ...]:
    back_to, took = cost.backup.manifest.snapshot_time, timedelta(seconds=restored.seconds)
    return _send(context, place, notices.restore_done(place.target.name, back_to=back_to, took=took))


@contextlib.contextmanager
def or_given_up(context: dg.OpExecutionContext, place: Workplace, cost: Cost) -> Iterator[None]:
    """Where the restore ends early and the database is seen to be as it was, say so; otherwise an operator must."""
    try:
        yield
    except BaseException:
        if place.target.downtime_notices and cost.oid is not None and watch.is_replaced(place, cost) is False:
            _send(context, place, notices.restore_given_up(place.target.name))
        raise


def _send(context: dg.OpExecutionContext, place: Workplace, notice: Notice) -> tuple[str, ...]:
    deliveries = notify.send(place.target.downtime_notices, notice)
    if told := [one.variable for one in deliveries if one.delivered]:
        context.log.info('Told to %s: "%s"', ", ".join(told), notice.subject)
    failed = tuple(f'the notice "{notice.subject}" was not delivered to {one}' for one in deliveries if not one.delivered)
    for one in failed:
        context.log.warning(one)
    return failed
