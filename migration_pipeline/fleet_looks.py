"""Looks at the database of every Target of the fleet: at which revision it is, and how many are pending."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from migration_pipeline import errors, settings
from migration_pipeline.adapters import pending, postgres
from migration_pipeline.domain.fleet import Wave
from migration_pipeline.domain.fleet_table import Standing
from migration_pipeline.workplace import Workplace

AT_ONCE = 4  #: each look starts the project's own interpreter


def look(environ: Mapping[str, str], folder: Path, waves: Sequence[Wave]) -> dict[str, Standing]:
    """Return where each Target is. One that cannot be looked at says why, and keeps nobody from the others."""
    targets = [target for wave in waves for target in wave.targets]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(targets, pool.map(lambda target: _of(environ, folder, target), targets), strict=True))


def _of(environ: Mapping[str, str], folder: Path, name: str) -> Standing:
    place = None
    try:
        place = Workplace(target=settings.load(environ, folder, name), run_id="fleet")
        with postgres.session(place.live, purpose="looks") as opened:
            server = postgres.server(opened)
        plan = pending.plan(place.project, place.live, place.identity(server), "head")
    except errors.MigrationPipelineError as error:
        return Standing(problem=error.what)
    except psycopg.Error as error:
        return Standing(problem=f"PostgreSQL did not answer ({type(error).__name__})")
    finally:
        if place is not None:
            place.close()
    return Standing(at=plan.current, pending=len(plan.revisions))
