"""Measures a case as an operator's rehearsal does: an Alembic project of one revision, run by the runner in its own process."""

import sys
from dataclasses import replace

from migration_pipeline import errors
from migration_pipeline.adapters import attempts, losses
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.segments import Segment
from migration_pipeline_tests import projects
from migration_pipeline_tests.corpus import running, truth
from migration_pipeline_tests.corpus.running import LIMITS, PLAN, Judged

START = '"""Where the database is."""\n\nrevision = "start"\ndown_revision = None\n\n\ndef upgrade():\n    raise AssertionError\n'


def measured(world, case, folder):
    """Return what the pipeline says after a rehearsal of the case; `folder` is for its project."""
    project_folder = projects.copy("linear", folder)
    versions = project_folder / "versions"
    for file in versions.glob("*.py"):
        file.unlink()
    (versions / "start_here.py").write_text(START)
    file = versions / "case_it.py"
    file.write_text(case.module)
    connection = Connection.from_url(world.url)
    project = Project(config=project_folder / "alembic.ini", python=sys.executable, live=connection)
    plan = replace(PLAN, revisions=(replace(PLAN.revisions[0], path=str(file)),))
    try:
        ran, _ = attempts.rehearse(
            project, connection, Segment(plan=plan), LIMITS, lambda _revision, _statement: None, role=None, is_part=False
        )
    except (errors.CannotRollBack, errors.NotAllowed) as error:
        return Judged(loses_data=True, stopped=str(error).splitlines()[0])
    except attempts.Cut as cut:
        return Judged(loses_data=True, stopped=cut.command)
    finally:
        truth.restore_sequences(world.reader, world.before)
    effects = losses.effects(ran.parts, ran.base, lambda query: world.reader.execute(query).fetchall(), plan.is_version_table)
    return running.verdict(case, effects[0])
