"""What our backups cost beside the bare tools of PostgreSQL, on a database of yours; make one of 1 GB or more.

    python benchmarks/backups.py dump URL      each format against pg_dump
    python benchmarks/backups.py restore URL   against psql and pg_restore
    python benchmarks/backups.py verify URL    each level against the dump's own seconds
    python benchmarks/backups.py prune URL     what a plan for 100,000 backups in S3, and for 10,000 in a folder, takes
    python benchmarks/backups.py memory URL    the most that our own process holds

The server must run on this machine, and we must be allowed to read its processes. The database itself is only read; a
database benchmark_... and scratch databases stand beside it for a while. Files go to TMPDIR. Both sides run in turn, and
the ratio of each pair is what counts. These are no tests.
"""

import argparse
import contextlib
import multiprocessing
import re
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import canned_s3
import measure
import psycopg
import pyrage
from measure import CPU, SIZE, WALL, WITH_SERVER, Row

from migration_pipeline import housekeeping, settings, steps
from migration_pipeline.adapters import binaries, client
from migration_pipeline.domain.backups import Form, Layout, Level
from migration_pipeline.domain.connection import Connection
from migration_pipeline.domain.plan import Plan
from migration_pipeline.workplace import Workplace

CLINIC = Path(__file__).parents[1] / "examples" / "clinic"
MOST_RESIDENT = 200  # MB
MOST_PLAN_SECONDS = 10
IN_S3, IN_FOLDER, UNKNOWN = 100_000, 10_000, 1_000
PSQL = '"$PG/psql" --no-psqlrc --quiet --single-transaction --set=ON_ERROR_STOP=1 --output=/dev/null'


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A database, the folder for what is made of it, and two keys of age."""

    url: str
    folder: Path
    programs: Path
    recipient: str
    compress: str = ""  #: what `directory` asks pg_dump for
    plan: Plan | None = None

    @property
    def connection(self):
        return Connection.from_url(self.url)

    @property
    def copy(self):
        return self.connection.replace(database=self.copy_name)

    @property
    def copy_name(self):
        return f"benchmark_{self.folder.name[-8:]}"

    def place(self, form, level=Level.RESTORE, location=None):
        """Return a run's belongings; one at a time, for each holds the migration lock."""
        environ = {
            "DATABASE_URL": self.url,
            "ALEMBIC_CONFIG": str(CLINIC / "alembic.ini"),
            "MIGRATION_ENVIRONMENT": "development",
            "BACKUP_LOCATION": location or str(self.folder / "backups"),
            "PG_BIN": str(self.programs),
        }
        target = settings.load(environ, self.folder)
        policy = replace(target.backups, form=form, level=level, identity_file=self.folder / "identity")
        return contextlib.closing(Workplace(target=replace(target, backups=policy), run_id="benchmark"))

    def backup(self, form, level=Level.RESTORE):
        with self.place(form, level) as place:
            return steps.backup(place, self.plan, protects=False)

    def remove(self, backup):
        with self.place(Form()) as place:
            place.store.remove([backup.id])

    def cost(self, run):
        return measure.cost(self.url, run)

    def shell(self, script, into=None):
        """Run a script of bare tools, which find the database, or the copy of it, as ours do."""
        connection = self.connection.replace(database=into) if into else self.connection
        with client.environment(connection, PG=str(self.programs), Z=self.compress) as environ:
            measure.shell(script, environ, self.folder)

    @contextlib.contextmanager
    def empty(self):
        """Yield the connection of an empty database, with nothing left to write of what was before."""
        with psycopg.connect(self.url, autocommit=True) as session:
            session.execute(f"CREATE DATABASE {self.copy_name} TEMPLATE template0 STRATEGY file_copy")
            session.execute("CHECKPOINT")
        try:
            yield self.copy
        finally:
            with psycopg.connect(self.url, autocommit=True) as session:
                session.execute(f"DROP DATABASE IF EXISTS {self.copy_name} WITH (FORCE)")


@contextlib.contextmanager
def bench(url):
    folder = Path(tempfile.mkdtemp(prefix="benchmark-backups-"))
    with psycopg.connect(url) as session:
        major = session.info.server_version // 10_000
        (size,) = session.execute("SELECT pg_database_size(current_database())").fetchone()
    identity = pyrage.x25519.Identity.generate()
    (folder / "identity").write_text(str(identity))
    made = Bench(url=url, folder=folder, programs=binaries.find(major), recipient=str(identity.to_public()))
    try:
        with made.place(Form()) as place:
            made = replace(made, plan=steps.plan_for_backup(place))
        print(f"a database of {size / 1e6:,.0f} MB, PostgreSQL {major}; ours / bare = ratio, the median of the pairs'\n")
        yield made
    finally:
        shutil.rmtree(folder)


def compression(made):
    """Return how a dump in the format `directory` is compressed here: as its own table of contents says."""
    backup = made.backup(Form(layout=Layout.DIRECTORY))
    names = [one.name for one in backup.manifest.files]
    made.remove(backup)
    return "zstd:1" if any(name.endswith(".zst") for name in names) else "1"


def dump(made, runs):
    """Time the step `backup`: dump, counts, schema, checksum, fsync, manifest. Verifying by restore is another step."""
    made = replace(made, compress=compression(made))  # whose own dump has read from the disk what the others find in memory
    key = (made.recipient,)
    plain, zstd, folder = (Form(layout=one) for one in (Layout.PLAIN, Layout.PLAIN_ZSTD, Layout.DIRECTORY))
    bare_plain = '"$PG/pg_dump" -f bare; sync bare'
    bare_zstd = '"$PG/pg_dump" | zstd -q -1 --check -o bare; sync bare'
    bare_gzip = '"$PG/pg_dump" -Fc -f bare; sync bare'
    close = {WALL: 1.05, WITH_SERVER: 1.15}  # the SHA-256 alone is a fifth of what pg_dump itself uses
    asked = [
        ("plain against pg_dump", plain, bare_plain, close),
        ("plain-zstd against pg_dump | zstd -1", zstd, bare_zstd, {WALL: 1.05}),
        ("plain-zstd against pg_dump -Fc, its gzip", zstd, bare_gzip, {CPU: 0.45, SIZE: 1.0}),
        (f"directory against pg_dump -Fd -j2 -Z {made.compress}", folder, '"$PG/pg_dump" -Fd -j2 -Z "$Z" -f bare', {WALL: 1.05}),
        ("directory against pg_dump -Fd -j2", folder, '"$PG/pg_dump" -Fd -j2 -f bare', {}),
        ("plain, encrypted, against pg_dump", replace(plain, recipients=key), bare_plain, {}),
        ("plain-zstd, encrypted, against pg_dump -Fc", replace(zstd, recipients=key), bare_gzip, {}),
    ]

    def bare(script):
        remove(made.folder / "bare")
        made.shell(script)
        return size_of(made.folder / "bare")

    rows = []
    for name, form, script, aims in asked:
        found = measure.pairs(lambda: made.cost(lambda: bare(script)), lambda: ours_dumped(made, form), runs)  # noqa: B023
        rows.append(Row(name, aims, found))
    remove(made.folder / "bare")
    measure.table(rows)


def ours_dumped(made, form, level=Level.RESTORE):
    """Time a backup and remove it, so that the next one of this second need not wait for its name."""
    taken = []

    def run():
        taken.append(made.backup(form, level))
        return taken[0].manifest.bytes

    found = made.cost(run)
    made.remove(taken[0])
    return found


def restore(made, runs):
    """Time a restore into an empty database, with the proof of the backup's bytes before it."""
    asked = [
        ("plain against psql -1 -f", Layout.PLAIN, f"{PSQL} --file={{}}", {WALL: 1.05}),
        ("plain-zstd against zstd -dc | psql -1", Layout.PLAIN_ZSTD, f"zstd -dcq {{}} | {PSQL}", {WALL: 1.05}),
        (
            "directory against pg_restore -j2",
            Layout.DIRECTORY,
            '"$PG/pg_restore" --exit-on-error -j2 -d "service=$PGSERVICE" {}',
            {WALL: 1.05},
        ),
    ]
    rows = []
    for name, layout, script, aims in asked:
        backup = made.backup(Form(layout=layout))
        bare = script.format(f'"{backup.location}"')
        found = measure.pairs(lambda: bare_restored(made, bare), lambda: ours_restored(made, backup), runs)  # noqa: B023
        rows.append(Row(name, aims, found))
        made.remove(backup)
    plain, parallel = made.backup(Form()), made.backup(Form(layout=Layout.DIRECTORY))
    bare = f'{PSQL} --file="{plain.location}"'
    found = measure.pairs(lambda: bare_restored(made, bare), lambda: ours_restored(made, parallel), runs)
    rows.append(Row("directory against psql -1 -f", {}, found))
    measure.table(rows, (WALL, CPU, WITH_SERVER))


def bare_restored(made, script):
    with made.empty() as into:
        return made.cost(lambda: made.shell(script, into.database))


def ours_restored(made, backup):
    with made.empty() as into, made.place(Form(layout=backup.manifest.layout)) as place:
        return made.cost(lambda: restored(place, backup, into))


def restored(place, backup, into):
    with place.store.fetched(backup) as folder:
        place.restore(backup, folder, into, int(backup.manifest.server_version) // 10_000)


def verify(made, runs):
    """Time each level against the dump that it verifies, and a dump with the hashes of its rows against one without."""
    found = measure.pairs(lambda: ours_dumped(made, Form()), lambda: ours_dumped(made, Form(), Level.ROWS), runs)
    rows = [Row("a backup that records row hashes against one that does not", {}, found)]
    dumps, verified = [], {level: [] for level in Level}
    for _ in range(runs):
        taken = []
        dumps.append(made.cost(lambda: taken.append(made.backup(Form(), Level.ROWS))))  # noqa: B023
        for level in Level:
            with made.place(Form(), Level.ROWS) as place:  # the next level is not given the copy that this one has restored
                verified[level].append(made.cost(lambda: steps.verify(place, taken[0], level)))  # noqa: B023
        made.remove(taken[0])
    for level, costs in verified.items():
        rows.append(Row(f"level {level} against its dump", {}, list(zip(dumps, costs, strict=True))))
    measure.table(rows, (WALL, CPU, WITH_SERVER))


def prune(made, runs):
    """Count what the plan of a prune asks of S3, and its own CPU. The manifests are copies of one of this database."""
    sample = made.backup(Form()).manifest
    lines = [["", "wall, s", "our CPU, s", "requests"]]
    verdicts = []
    for name, many, is_known in (
        (f"S3, {IN_S3:,} backups in the index", IN_S3, True),
        (f"S3, {UNKNOWN:,} backups and no index", UNKNOWN, False),
    ):
        for _ in range(runs if is_known else 1):
            serving = canned_s3.serving(sample, many, with_index=is_known)
            with serving as requests, made.place(Form(), location=canned_s3.LOCATION) as place:
                taken = planned(made, place, many)
                lines.append([name, f"{taken.wall:.2f}", f"{taken.cpu:.2f}", told(requests())])
                if is_known:
                    verdicts.append(told_of(f"{name}: our CPU, s", taken.cpu, MOST_PLAN_SECONDS))
    location = made.folder / "many"
    canned_s3.fill_folder(location / "default", sample, IN_FOLDER)
    for _ in range(runs):
        with made.place(Form(), location=str(location)) as place:
            taken = planned(made, place, IN_FOLDER)
            lines.append([f"folder, {IN_FOLDER:,} backups", f"{taken.wall:.2f}", f"{taken.cpu:.2f}", "-"])
    measure.show(lines)
    print(*verdicts, sep="\n")


def planned(made, place, many):
    """Time a dry run; it must have seen them all."""

    def run():
        found = housekeeping.prune(place, dry_run=True)
        if len(found.retention.decisions) != many or found.rejected:
            raise SystemExit(f"{len(found.retention.decisions):,} of {many:,} backups were decided on: {found.rejected[:3]}")

    return made.cost(run)


def told_of(what, found, most):
    return f"{what} {found:.1f}, aim < {most}: {'reached' if found < most else 'MISSED'}"


def told(requests):
    return ", ".join(f"{many:,} {kind}" for kind, many in sorted(requests.items()))


def memory(made, runs):
    """Look at the most that a process of its own ever held, for each format, both ways."""
    del runs
    key = (made.recipient,)
    forms = {
        "plain": Form(),
        "plain, encrypted": Form(recipients=key),
        "plain-zstd": Form(layout=Layout.PLAIN_ZSTD),
        "plain-zstd, encrypted": Form(layout=Layout.PLAIN_ZSTD, recipients=key),
        "directory": Form(layout=Layout.DIRECTORY),
    }
    lines = [["resident, MB", "before", "dump", "restore"]]
    verdicts = []
    for name, form in forms.items():
        before, most_dumping, backup = in_a_process_of_its_own(Bench.backup, made, form)
        with made.empty():
            _, most_restoring, _ = in_a_process_of_its_own(restored_there, made, form, backup)
        made.remove(backup)
        lines.append([name, *(f"{one:.0f}" for one in (before, most_dumping, most_restoring))])
        verdicts.append(told_of(f"{name}: resident, MB", max(most_dumping, most_restoring), MOST_RESIDENT))
    measure.show(lines)
    print(*verdicts, sep="\n")


def restored_there(made, form, backup):
    with made.place(form) as place:
        restored(place, backup, made.copy)


def in_a_process_of_its_own(work, *arguments):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(watched, work, *arguments).result()


def watched(work, *arguments):
    before = most_resident()
    result = work(*arguments)
    return before, most_resident(), result


def most_resident():
    """Return MB. What getrusage tells begins with what the parent held before the exec; this is the program's own."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def size_of(path):
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(one.stat().st_size for one in files)


PARTS = {"dump": dump, "restore": restore, "verify": verify, "prune": prune, "memory": memory}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=PARTS)
    parser.add_argument("url")
    parser.add_argument("--runs", type=int, default=3, help="pairs of each comparison")
    chosen = parser.parse_args()
    with bench(chosen.url) as prepared:
        PARTS[chosen.what](prepared, chosen.runs)
