"""A clinic whose server itself keeps a run in a step: by a lock that somebody holds, or by a statement that goes on.

Nothing of the run is touched, so that a run that Dagster launched is held as one at a terminal is.
"""

import contextlib
import functools
import json
import threading
from dataclasses import dataclass

import dagster as dg
import psycopg

from migration_pipeline_tests.conftest import execute, wait_until
from migration_pipeline_tests.faults.place import Place

BYSTANDER = "bystander"
REACHED_SECONDS = 120
#: A function of the clinic's, made by its first revision: it works on as long as a file of that name lies in the server's folder.
HELD = """
CREATE FUNCTION public.held(live text, copy text) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$
DECLARE file text := CASE left(current_database(), 10) WHEN 'mp_scratch' THEN copy ELSE live END;
BEGIN
  WHILE (pg_stat_file('hold_' || file, true)).modification IS NOT NULL LOOP PERFORM pg_sleep(0.1); END LOOP;
  RETURN 1;
END $$"""
#: As long as it works there, the restore of a backup builds this index.
SLOW_INDEX = "CREATE INDEX patients_held ON patients (public.held('nothing', 'restore')) WHERE id = 1"
#: Sent by the last revision, once it has dropped a table.
SLOW_STATEMENT = "SELECT public.held('upgrade', 'rehearse')"
OURS = f"""
SELECT application_name, datname, state, wait_event, left(query, 60) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> '{BYSTANDER}'
"""
AT_WORK = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND "
#: By step: what the server says of the run once it is held there.
REACHED = {
    "backup": "query LIKE 'LOCK TABLE%' AND wait_event_type = 'Lock' AND application_name = 'migration_pipeline'",
    "verify_backup": "query LIKE 'CREATE INDEX patients_held%' AND wait_event = 'PgSleep'",
    "rehearse": "application_name LIKE 'migration_pipeline rehearse%' AND wait_event = 'PgSleep'",
    "upgrade, waiting for a lock": "application_name LIKE 'migration_pipeline upgrade%' AND wait_event_type = 'Lock'",
    "upgrade, working": "application_name LIKE 'migration_pipeline upgrade%' AND wait_event = 'PgSleep'",
    "post_check": "application_name LIKE 'migration_pipeline post-check%' AND wait_event_type = 'Lock'",
}
STEPS = ("backup", "verify_backup", "rehearse", "confirm", "upgrade, waiting for a lock", "upgrade, working", "post_check")
FILES = {
    "verify_backup": "hold_restore",
    "rehearse": "hold_rehearse",
    "upgrade, working": "hold_upgrade",
    "post_check": "hold_upgrade",
}
LOCKS = {"backup": "ACCESS EXCLUSIVE", "upgrade, waiting for a lock": "ACCESS SHARE"}


class Ward(Place):
    """A place whose second pending revision takes as long as it is told to, and the restore of its backup too."""

    def mend(self):
        super().mend()
        first, last = self.revision_file("0001"), self.revision_file("0003")
        index = "".join(f"    op.execute({one!r})\n" for one in (HELD, SLOW_INDEX))
        first.write_text(first.read_text().replace("\n\n\ndef downgrade", f"\n{index}\n\ndef downgrade"))
        slow = f'    op.execute("DROP TABLE alerts")\n    op.execute({SLOW_STATEMENT!r})\n'
        last.write_text(last.read_text().replace('    op.execute("DROP TABLE alerts")\n', slow, 1))
        self.setting("lock_timeout_seconds = 250")

    def reset(self):
        execute(self.url, "DROP TABLE IF EXISTS patients CASCADE", "DROP FUNCTION IF EXISTS public.held")
        super().reset()

    @functools.cached_property
    def planned(self):
        """Return the fingerprint of the plan, as `just plan` tells it."""
        run = self.start("plan", "--json", name="plan")
        assert run.wait() == 0, run.said
        return json.loads(run.printed)["fingerprint"]

    @functools.cached_property
    def instance(self):
        return dg.DagsterInstance.from_config(str(self.folder / "dagster"))

    def newest_run(self):
        (found,) = self.instance.get_run_records(dg.RunsFilter(job_name="migrate"), limit=1)
        return found.dagster_run

    def backends(self):
        return execute(self.server.url(), OURS)

    def holds(self, what):
        """Return whether the server says this of a session."""
        return bool(execute(self.server.url(), AT_WORK + what))


@dataclass
class Hold:
    """Keeps the next run in a step, by what somebody else does on the server."""

    ward: Ward
    step: str

    def __post_init__(self):
        self._held = contextlib.ExitStack()

    def prepare(self):
        """Make the run stop there, before it begins."""
        if self.step in FILES:
            self._file.write_text("")
            self._held.callback(self._file.unlink, missing_ok=True)
        if self.step in LOCKS:
            self._keep(f"LOCK TABLE alerts IN {LOCKS[self.step]} MODE")

    @property
    def _file(self):
        return self.ward.server.folder / "data" / FILES[self.step]

    def _keep(self, lock):
        keeper = self._held.enter_context(contextlib.closing(psycopg.connect(self.ward.url, application_name=BYSTANDER)))
        keeper.execute(lock)

    def wait(self, run):
        """Wait until the run is there."""
        if self.step == "confirm":
            wait_until(lambda: run.is_asking, lambda: run.told, REACHED_SECONDS)
        elif self.step == "post_check":
            self._until(run, REACHED["upgrade, working"])
            self._stop_behind_the_commit()
            self._until(run, REACHED[self.step])
        else:
            self._until(run, REACHED[self.step])

    def _until(self, run, what):
        def reached():
            assert run.is_under_way, f"ended before {self.step}: {run.told}"
            return self.ward.holds(what)

        wait_until(reached, lambda: (self.ward.backends(), run.told), REACHED_SECONDS)

    def _stop_behind_the_commit(self):
        """Lock a catalog that post_check alone reads, as soon as the upgrade has committed and not before."""

        def lock():
            with psycopg.connect(self.ward.url, application_name=BYSTANDER) as first:  # and let it go at once
                first.execute("LOCK TABLE alembic_version IN ROW EXCLUSIVE MODE")
            self._keep("LOCK TABLE pg_catalog.pg_policy IN ACCESS EXCLUSIVE MODE")  # no new session reads it

        keeper = threading.Thread(target=lock)
        keeper.start()
        behind = f"application_name = '{BYSTANDER}' AND wait_event_type = 'Lock'"
        wait_until(lambda: self.ward.holds(behind), self.ward.backends, REACHED_SECONDS)
        self._file.unlink()
        keeper.join()

    def release(self):
        """Let whatever is still there go on."""
        self._held.close()
