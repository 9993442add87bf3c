"""Writes docs/strangers.md: what happened to each project, as it was measured."""

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "strangers.md"
LISTED = re.compile(r"^    [0-9a-f]{10,13}\s")
SHOWN = 3  # revisions of a list
HEAD = """# Projects that nobody here wrote

Written by `just strangers` on {day}: three applications as they are on PyPI, none of whose files was touched, each in a virtual
environment of its own (`project_python`), on PostgreSQL {server}, {cores} cores. Each database begins at an older release's schema with
made-up rows in it and goes through `migration-pipeline backup-db` and `migration-pipeline migrate`. A `safety.toml` declares for the
revisions; what it had to say about losses was found out by being refused first.

Afterwards the application itself says whether its schema is current. And the database equals its twin, a copy of it as it began that
Alembic alone has migrated: `pg_dump --schema-only` says the same of both, and each table has as many rows (MLflow's rows are not
compared: half of them came in between).
"""


@dataclass
class Story:
    """What happened to one project."""

    title: str
    name: str
    versions: dict = field(default_factory=dict)
    start: str = ""
    rows: int = 0
    tables: int = 0
    bare_seconds: float = 0.0
    verdict: tuple = ("", "")
    parts: list = field(default_factory=list)
    walks: list = field(default_factory=list)

    def walk(self, arguments, code, said, seconds, why):
        self.walks.append((arguments, code, said, seconds))
        if why:
            self.parts.append(f"{why}\n\n```\n$ migration-pipeline {' '.join(arguments)}\n{trimmed(said)}\n```")

    def note(self, text):
        self.parts.append(text)

    @property
    def migrations(self):
        return [walk for walk in self.walks if walk[0][0] == "migrate" and walk[1] == 0]

    def counted(self, what):
        return sum(int(found) for walk in self.migrations for found in re.findall(rf"rehearse .* ([\d,]+) {what}", walk[2]))

    def seconds_of(self, step):
        found = [one for walk in self.migrations for one in re.findall(rf"✓ {step} +([\d.]+) s", walk[2])]
        return f"{sum(map(float, found)):.1f}"


def trimmed(said):
    """Shorten a list of revisions, and the paths of an environment."""
    lines, listed = [], 0
    for line in re.sub(r"/\S+/site-packages/", "…/site-packages/", said.strip("\n")).splitlines():
        listed = listed + 1 if LISTED.match(line) else 0
        if listed <= SHOWN:
            lines.append(line.rstrip())
        elif listed == SHOWN + 1:
            lines.append("    …")
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", "\n".join(lines))


STEPS = ("preflight", "backup", "verify_backup", "rehearse", "upgrade", "post_check")


def write(stories, server):
    day = datetime.now(UTC).date().isoformat()
    texts = [HEAD.format(day=day, server=server, cores=os.cpu_count()), table(stories), seconds(stories)]
    PAGE.write_text("\n".join([*texts, *(section(story) for story in stories)]))


def table(stories):
    rows = [
        f"| [{one.title}](#{one.name}) | {one.start} | {one.rows:,} in {one.tables} | {one.counted('revisions?')} "
        f"| {one.counted('statements?')} |"
        for one in stories
    ]
    head = "| project | from the schema of | rows, tables | revisions | statements |\n" + "| --- " * 5 + "|"
    return "\n".join([head, *rows, ""])


def seconds(stories):
    head = f"| seconds | {' | '.join(STEPS)} | whole commands | Alembic alone |\n" + "| --- " * (len(STEPS) + 3) + "|"
    rows = [
        f"| {one.name} | {' | '.join(one.seconds_of(step) for step in STEPS)} "
        f"| {sum(walk[3] for walk in one.migrations):.1f} | {one.bare_seconds:.1f} |"
        for one in stories
    ]
    return "\n".join([head, *rows, "", "All `migrate` commands of a project together.", ""])


def section(story):
    said, printed = story.verdict
    versions = ", ".join(f"{name} {version}" for name, version in story.versions.items())
    parts = [f"## {story.name}", f"{story.title}: {versions}.", *story.parts, f"{said}\n\n```\n{printed}\n```"]
    return "\n\n".join(parts) + "\n"
