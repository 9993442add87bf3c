"""Sends notices through the channels of apprise: chat, mail, pagers, webhooks.

A channel that fails is reported by the name of its variable, and fails nothing else. A channel's URL is a secret: nothing
that apprise or its HTTP client say about it gets into a log, for their messages may quote it.
"""

import contextlib
import contextvars
import functools
import logging
import queue
import re
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from migration_pipeline.domain.notices import Channel, Kind, Notice

LIMIT_SECONDS = 10.0  #: for each channel; they are told at the same time
#: How each kind is marked by channels that have colours, sounds or priorities; the words are apprise's.
MARKS = {
    Kind.ALERT: "warning",
    Kind.CANCELLED: "warning",
    Kind.FAILURE: "failure",
    Kind.SUCCESS: "success",
    Kind.DOWNTIME: "info",
}
#: Of apprise and of its HTTP client. Apprise hands our context on to the threads that it starts, and with it what is heard.
LOGGERS = ("apprise", "urllib3.connectionpool")
#: What apprise says of an answer that is no success, and of a server that it does not reach: all that is taken from its log.
STATUS = re.compile(r"\berror=(\d{3})\b")
UNREACHABLE = re.compile(r"connection error|socket|timed? ?out", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What became of a notice on one channel."""

    variable: str
    problem: str | None = None  #: None: it was delivered
    seconds: float = 0.0

    @property
    def delivered(self) -> bool:
        return self.problem is None

    def __str__(self) -> str:
        return f"{self.variable}: {self.problem or 'delivered'}"


def send(channels: Sequence[Channel], notice: Notice, *, limit_seconds: float = LIMIT_SECONDS) -> tuple[Delivery, ...]:
    """Send a notice to each channel, all at once; return what became of it in their order. Never raises."""
    try:
        library = _library() if channels else None
    except Exception as error:  # noqa: BLE001 - as in `_delivered`
        return tuple(Delivery(variable=one.variable, problem=f"apprise failed ({type(error).__name__})") for one in channels)
    started = time.monotonic()
    answers: queue.SimpleQueue[tuple[int, str | None, float]] = queue.SimpleQueue()

    def run(place: int, channel: Channel) -> None:
        problem = _delivered(library, channel.url, notice)
        answers.put((place, problem, time.monotonic() - started))

    for place, channel in enumerate(channels):
        # a daemon: a channel that hangs holds up neither the migration nor the end of the process
        threading.Thread(target=run, args=(place, channel), daemon=True).start()
    found: dict[int, Delivery] = {}
    with contextlib.suppress(queue.Empty):
        while len(found) < len(channels):
            place, problem, seconds = answers.get(timeout=max(0.0, started + limit_seconds - time.monotonic()))
            found[place] = Delivery(variable=channels[place].variable, problem=problem, seconds=seconds)
    late = f"no answer within {limit_seconds:g} s"
    return tuple(
        found.get(place) or Delivery(variable=channel.variable, problem=late, seconds=limit_seconds)
        for place, channel in enumerate(channels)
    )


@functools.cache
def _library() -> Any:
    """Load apprise with all its services, before there are threads: a second or two, for those alone who have channels."""
    with warnings.catch_warnings(), _hearing():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.11 says it of a module that one service imports
        import apprise  # noqa: PLC0415 - as above

        apprise.Apprise.instantiate("json://localhost")
    return apprise


def _delivered(apprise: Any, url: str, notice: Notice) -> str | None:
    """Send a notice in this thread; return why it was not taken, in words that quote nothing."""
    try:
        with _hearing() as heard:
            # no picture from elsewhere, no name of theirs
            asset = apprise.AppriseAsset(
                app_id="migration_pipeline", app_desc="", app_url="", image_url_mask="", image_url_logo="", async_mode=False
            )
            told = apprise.Apprise(asset=asset)
            if not told.add(url):
                return "its URL is none that apprise knows"
            done = told.notify(
                title=notice.subject,
                body=notice.text,
                notify_type=apprise.NotifyType(MARKS[notice.kind]),
                body_format=apprise.NotifyFormat.TEXT,
            )
            return None if done else _reason(heard)
    except Exception as error:  # noqa: BLE001 - a channel fails nothing else; its own text may quote the URL
        return f"it failed ({type(error).__name__})"


def _reason(heard: Sequence[str]) -> str:
    for message in heard:
        if status := STATUS.search(message):
            return f"it answered with status {status[1]}"
    if any(UNREACHABLE.search(message) for message in heard):
        return "it cannot be reached"
    return "it did not take the message"


_heard: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("heard", default=None)


@contextlib.contextmanager
def _hearing() -> Iterator[list[str]]:
    """Yield what the loggers say on our behalf, and keep it from everybody else: it may quote a URL."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_is_for_others)  # it stays, once, and lets through what is not about us
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def _is_for_others(record: logging.LogRecord) -> bool:
    heard = _heard.get()
    if heard is not None and record.levelno >= logging.WARNING:
        heard.append(record.getMessage())
    return heard is None
