"""The faults: what happens to a run, when, and whether its migration is committed then."""

import itertools
import signal
from collections.abc import Callable
from dataclasses import dataclass

from migration_pipeline_tests.faults import acts
from migration_pipeline_tests.faults.happening import Happening
from migration_pipeline_tests.faults.moments import INSIDE, STEPS

COMMITTED = ("committing", "post_check")  #: moments after which the migration stays
MOMENTS = (*STEPS, *INSIDE)
EVERYWHERE = (*STEPS, "dumping", "restoring", "rehearsing", "upgrading", "committing")
CHILDREN = ("planning", "dumping", "restoring", "rehearsing", "upgrading")


@dataclass(frozen=True, kw_only=True)
class Fault:
    what: str
    at: str | None  #: a moment; None: it is there from the start
    before: Callable[[Happening], None] = acts.nothing  #: what the run starts with
    happens: Callable[[Happening], None] = acts.nothing  #: at the moment
    inside: Callable[[], None] | None = None  #: at the moment, in the run's own process
    database: str  #: as the run leaves it: before or after

    @property
    def is_plain(self):
        return self.at is not None and (self.before, self.inside, self.database) == (acts.nothing, None, "before")

    @property
    def name(self):
        return f"{self.what}, {self.at or 'from the start'}"


def at(moments, what, happens=acts.nothing, *, database=None, **more):
    """Return one fault at several moments."""
    return [
        Fault(what=what, at=one, happens=happens, database=database or ("after" if one in COMMITTED else "before"), **more)
        for one in moments
    ]


def start(what, before, database="before"):
    """Return a fault that is there from the start."""
    return [Fault(what=what, at=None, before=before, database=database)]


GROUPS = {
    "The server": [
        *at(["preflight", "backup", "verify_backup", "rehearse", "confirm", "upgrade", "upgrading", "post_check"],
            "crashes and stays away", acts.the_server_goes_away),
        *at(["preflight", "backup"], "restarts", acts.the_server_restarts, database="after"),
        *at([one for one in EVERYWHERE[2:] if one != "committing"], "restarts", acts.the_server_restarts),
        *at(["dumping", "restoring", "rehearsing", "upgrading", "committing"], "crashes and recovers", acts.the_server_crashes),
        *at(["backup"], "all our sessions are terminated", acts.our_sessions_are_terminated, database="after"),
        *at(EVERYWHERE[2:], "all our sessions are terminated", acts.our_sessions_are_terminated),
        *at(["upgrading", "committing"], "the network drops our connections", acts.connections_are_cut, before=acts.over_a_network),
        *at(["upgrading"], "the network swallows what we send", acts.connections_are_silent, before=acts.over_a_network),
    ],
    "Signals": list(itertools.chain(*(
        [*at(EVERYWHERE, f"{number.name} to the pipeline", acts.signal_to_the_run(number)),
         *at(CHILDREN, f"{number.name} to the program at work", acts.signal_to_the_child(number))]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
    ))),
    "The project": [
        *start("alembic.ini is missing", acts.no_alembic_ini),
        *start("a revision's file is broken", acts.broken_revision),
        *start("a revision raises half-way", acts.revision_that_raises),
        *start("the project's interpreter is missing", acts.no_interpreter),
        *at(["backup", "confirm", "upgrade"], "a revision's file is changed", acts.revision_is_changed),
        *at(["rehearse"], "alembic.ini disappears", acts.no_alembic_ini),
        *at(["rehearse"], "the interpreter that waits is killed", acts.spare_is_killed, database="after"),
        *at(["upgrading"], "the interpreter is never heard of again", acts.runner_is_frozen, before=acts.short_limit),
    ],
    "Programs, disks and rights": [
        *start("the password is wrong", acts.wrong_password),
        *start("the role may not create databases", acts.no_createdb),
        *start("pg_dump is missing", acts.no_programs),
        *start("pg_dump is of another major", acts.older_programs),
        *start("the backup folder is read-only", acts.read_only_backups),
        *start("the disk fills while dumping", acts.small_disk_for_backups),
        *at(["verify_backup"], "the disk of the backups is full", acts.full_disk_for_backups, before=acts.disk_for_backups),
        *at(["verify_backup"], "the backup folder disappears", acts.no_backup_folder),
        *at(["backup"], "the disk of Dagster is full", acts.full_disk_for_dagster, before=acts.disk_for_dagster),
        *at(["upgrading", "post_check"], "the disk of Dagster is full", acts.full_disk_for_dagster, before=acts.disk_for_dagster,
            database="after"),
        *start("the scratch server is missing", acts.no_scratch_server),
        *start("the scratch server is full", acts.full_scratch_server),
        *at(["verify_backup"], "the scratch server fills up", acts.scratch_server_fills_up, before=acts.scratch_server),
        *at(["verify_backup"], "a byte of the dump flips", acts.flipped_byte),
        *at(["comparing"], "the restored copy lacks a row", acts.row_is_missing),
        *at(["backup"], "the clock is set back two days", acts.nothing, inside=acts.clock_two_days_back, database="after"),
    ],
    "Others at work": [
        *start("another run waits at its question", acts.another_run_waits, database="after"),
        *at(["backup"], "two operators at the same moment", acts.another_run_is_ahead, database="after"),
        *at(["backup"], "another run migrates first", acts.another_run_overtakes, database="after"),
        *start("a run of another Target is alive", acts.another_database_is_rehearsed, database="after"),
        *at(["upgrade"], "an application holds a lock longer than every retry", acts.application_holds_a_lock),
        *at(["confirm"], "an application runs alembic upgrade head at boot", acts.application_migrates, database="after"),
        *at(["upgrading"], "an application runs alembic upgrade head at boot", acts.application_tries_to_migrate, database="after"),
        *at(["preflight"], "a writer that never stops", acts.writer_that_never_stops, database="after"),
        *at(["confirm"], "somebody answers something else", acts.wrong_answer),
        *at(["confirm"], "nobody answers", acts.no_answer),
    ],
}  # fmt: skip
FAULTS = list(itertools.chain(*GROUPS.values()))


#: What happens every day: of each kind the worst moments, and what no test of a single step sees too. The rest: `just faults`.
EVERY_DAY = {
    "crashes and recovers": ("committing",),
    "restarts": ("upgrading", "post_check"),
    "the network drops our connections": ("committing",),
    "SIGINT to the pipeline": ("dumping", "upgrading"),
    "SIGKILL to the pipeline": ("upgrading", "committing"),
    "SIGKILL to the program at work": ("dumping", "upgrading"),
    "a byte of the dump flips": ("verify_backup",),
    "the restored copy lacks a row": ("comparing",),
    "the disk fills while dumping": (None,),
    "the disk of Dagster is full": ("upgrading",),
    "another run waits at its question": (None,),
    "another run migrates first": ("backup",),
    "an application runs alembic upgrade head at boot": ("confirm",),
    "an application holds a lock longer than every retry": ("upgrade",),
}


def is_every_day(fault):
    return fault.at in EVERY_DAY.get(fault.what, ())


def chains(*, all_of_them):
    """Return the faults in the order of their tests: those that happen at one moment to one place, and leave it as it was.

    There the next `migrate` after one fault is the run that the next one happens to; the last one's goes to the end.
    """
    chosen = [fault for fault in FAULTS if all_of_them or is_every_day(fault)]
    alone = [[fault] for fault in chosen if not fault.is_plain]
    plain = sorted((fault for fault in chosen if fault.is_plain), key=lambda fault: MOMENTS.index(fault.at))
    return [*alone, *(list(group) for _, group in itertools.groupby(plain, key=lambda fault: fault.at))]
