"""Asks an Alembic project what is pending, and reads the files of its revisions."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from migration_pipeline import errors
from migration_pipeline.adapters import alembic_project, postgres
from migration_pipeline.adapters.execution import Reader
from migration_pipeline.adapters.runner_process import Project
from migration_pipeline.domain import annotations, old_types
from migration_pipeline.domain import plan as plans
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.effects import Statement
from migration_pipeline.domain.old_types import Column
from migration_pipeline.domain.plan import Identity, Plan

COLUMNS = """
SELECT n.nspname::text, c.relname::text, a.attname::text,
  CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN format_type(a.atttypid, a.atttypmod) ELSE '' END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relname = ANY (%s) AND c.relkind IN ('r', 'p', 'f') AND a.attnum > 0
"""


def plan(project: Project, live: Connection, identity: Identity, revision: str) -> Plan:
    """Return the plan; raise NoPlan, or ProjectFailed when env.py or a revision's file cannot be read."""
    return _plan(project, live, identity, revision, Reader())[0]


def preview(
    project: Project, live: Connection, identity: Identity, revision: str
) -> tuple[Plan, list[Statement], frozenset[str]]:
    """Return the plan, the statements that its revisions would send, and the revisions of which these are all."""
    reader = Reader()
    made, facts = _plan(project, live, identity, revision, reader, preview=True)
    return made, reader.statements, frozenset(facts["previewed"])


def _plan(
    project: Project, live: Connection, identity: Identity, revision: str, reader: Reader, *, preview: bool = False
) -> tuple[Plan, Mapping[str, Any]]:
    if not re.search(r"\w", revision):  # such as an empty variable of a script: Alembic asserts that it is none
        raise errors.NoPlan(f'"{revision}" names no revision.', next_step="just plan, or just migrate head")
    try:
        facts = alembic_project.plan(project, live, revision, reader, preview=preview)
    except errors.ProjectFailed as error:
        error.next_step = error.next_step or "mend the project until `alembic history` works, then: just plan"
        raise
    checksums = {one["path"]: checksum(one["path"]) for one in facts["revisions"]}
    return plans.make(facts, identity, checksums, revision, checksum_of_folders(facts["folders"])), facts


def notes(plan: Plan, live: Connection) -> list[str]:
    """Return what looks as if env.py meant another schema: no revision was applied here, but in a namesake there was."""
    if plan.current:
        return []
    table = plan.version_table
    with postgres.session(live, purpose="looks") as opened:
        schemas = postgres.namesakes_with_rows(opened, plan.version_table_schema, table)
    here = f"{plan.version_table_schema}.{table}" if plan.version_table_schema else table
    return [f'no revision is applied by "{here}", but schema "{name}" has a "{table}" with rows: is the search_path right?'
            for name in schemas]  # fmt: skip


def columns(live: Connection, sent: Sequence[Statement]) -> list[Column]:
    """Return the columns of the tables in which the statements change a type; one that is not built in is left empty."""
    tables = old_types.altered(sent)
    if not tables:
        return []
    with postgres.session(live, purpose="looks") as opened:
        return [Column(*row) for row in postgres.rows(opened, COLUMNS, sorted(tables))]


def plan_or_default(project: Project, live: Connection, identity: Identity) -> Plan:
    """Return an empty plan with the project's version table. A broken project must not keep anybody from a backup."""
    facts: dict[str, Any] = {"version_table": "alembic_version", "version_table_schema": None, "current": []}
    with contextlib.suppress(errors.ProjectFailed):
        facts |= alembic_project.plan(project, live, "head", Reader())
    return Plan(
        identity=identity,
        target="head",
        current=tuple(facts["current"]),
        revisions=(),
        version_table=facts["version_table"],
        version_table_schema=facts["version_table_schema"],
    )


def checksum(path: str) -> str:
    return hashlib.sha256(_content(Path(path))).hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.NoPlan(
            f'The file "{path}" cannot be read.', evidence={"reason": error.strerror}, next_step="just plan"
        ) from None


def checksum_of_folders(folders: Iterable[str]) -> str:
    """Return one hash of every file of the project's migrations: a revision may read SQL or a helper from beside it."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(os.fsencode(path.relative_to(folder)) + f" {checksum(str(path))}\n".encode())
    return digest.hexdigest()


def check_files(plan: Plan) -> None:
    """Raise Stale when a revision's file is no longer what the plan was made of."""
    changed = [revision for revision in plan.revisions if checksum(revision.path) != revision.checksum]
    if changed:
        raise errors.Stale(
            f'The file of revision "{changed[0].id}" has changed since the plan was made; nothing was changed.',
            evidence={"file": changed[0].path},
            next_step="just migrate",
        )
    if checksum_of_folders(plan.folders) != plan.folders_checksum:
        raise errors.Stale(
            "A file beside the revisions has changed since the plan was made; nothing was changed.",
            evidence={"folders": ", ".join(plan.folders)},
            next_step="just migrate",
        )


def sources(plan: Plan) -> dict[str, str]:
    """Return the text of each revision's file: what stands in it is code, and may be shown."""
    return {revision.id: Path(revision.path).read_text("utf-8", "replace") for revision in plan.revisions}


def annotations_of(plan: Plan, safety_file: Path | None) -> Mapping[str, annotations.Annotation]:
    """Return what each revision declares: in its own file, else in the safety file."""
    elsewhere = annotations.from_safety_file(_content(safety_file).decode("utf-8-sig", "replace") if safety_file else "")
    return {revision.id: elsewhere.annotation(revision.id, _content(Path(revision.path))) for revision in plan.revisions}
