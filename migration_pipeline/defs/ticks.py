"""One evaluation of a sensor that watches Targets: it looks at all of them at once, tells people, and says what decided."""

import os
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

import dagster as dg
import pydantic

from migration_pipeline import errors, settings
from migration_pipeline.adapters import notify
from migration_pipeline.domain.notices import Notice
from migration_pipeline.workplace import Workplace

#: Dagster gives up on a tick after 60 s: what is not told by then is told by the next one.
TELL_SECONDS = 40.0
MOST_AT_ONCE = 8
Found = TypeVar("Found")
State = TypeVar("State")


class Cursor(Generic[State]):
    """What a sensor remembers from one tick to the next, by Target or by run."""

    def __init__(self, kind: type[State]) -> None:
        self._kind = pydantic.TypeAdapter(dict[str, kind])  # type: ignore[valid-type]

    def read(self, context: dg.SensorEvaluationContext) -> dict[str, State]:
        try:
            return self._kind.validate_json(context.cursor or "{}")
        except ValueError:  # of another version of this pipeline
            return {}

    def write(self, context: dg.SensorEvaluationContext, state: dict[str, State], only: Collection[str]) -> None:
        """Remember the state of these names, and forget all others."""
        kept = {name: one for name, one in state.items() if name in only}
        context.update_cursor(self._kind.dump_json(kept).decode())


class Tick:
    """What a tick found, a sentence each; it becomes the tick's result."""

    def __init__(self, context: dg.SensorEvaluationContext) -> None:
        self._context = context
        self._sentences: list[str] = []
        self._tell_until = time.monotonic() + TELL_SECONDS

    def targets(self) -> list[str]:
        """Return the names of all Targets."""
        try:
            names = settings.names(os.environ, Path.cwd())
        except errors.SettingsError as error:
            self._sentences.append(f"The settings cannot be read: {error.what}")
            return []
        if not names:
            self._sentences.append("The settings name no Target: there is no pipeline.toml, and no DATABASE_URL.")
        return names

    def look(self, names: Collection[str], work: Callable[[Workplace], Found]) -> Iterator[tuple[str, Workplace, Found]]:
        """Yield what the work finds at each Target, or at the only one for an empty name.

        What cannot be looked at is a sentence, and stops no other.
        """

        def safely(name: str) -> tuple[Workplace, Found] | str:
            try:
                place = Workplace(target=settings.load(os.environ, Path.cwd(), name or None), run_id="")
                return place, work(place)
            except errors.MigrationPipelineError as error:
                return error.what
            except Exception as error:  # noqa: BLE001 - its own text may hold row values, and would be stored
                return f"It could not be looked at ({type(error).__name__})."

        with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
            for name, found in zip(names, pool.map(safely, names), strict=True):
                if isinstance(found, str):
                    self.say(name, found)
                else:
                    yield name, *found

    def say(self, name: str, sentence: str) -> None:
        self._sentences.append(f"{name}: {sentence}" if name else sentence)

    def tell(self, place: Workplace, notice: Notice) -> bool:
        """Send a notice to those who operate the Target; return whether that is done. Never raises."""
        channels = place.target.alerts
        self._context.log.warning("%s\n%s", notice.subject, notice.text)
        if not channels:
            self._sentences.append(f"{notice.subject}; nobody is told, for its settings name no alerts.")
            return True
        if time.monotonic() > self._tell_until:
            self._sentences.append(f"{notice.subject}; the next tick tells it, for this one has taken too long.")
            return False
        deliveries = notify.send(channels, notice)
        told = [one.variable for one in deliveries if one.delivered]
        failed = [str(one) for one in deliveries if not one.delivered]
        for one in failed:
            self._context.log.error("A notice was not delivered: %s", one)
        to = f"told to {', '.join(told)}" if told else "nobody was told"
        problem = f"; not delivered: {'; '.join(failed)}" if failed else ""
        self._sentences.append(f"{notice.subject}; {to}{problem}.")
        return bool(told)

    def result(self, nothing: str) -> dg.SkipReason:
        """Return the sentences; `nothing`: that of a tick that had nothing to look at."""
        return dg.SkipReason("\n".join(self._sentences) or nothing)
