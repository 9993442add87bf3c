set positional-arguments := true

# operate ─────────────────────────────────────────────────────────────────────────────────────────
# exec: a signal to `just` must reach the pipeline, and not end a shell in between

# list the recipes
default:
    @just --list --unsorted

# migrate the database: backup, rehearsal, question, upgrade
[no-exit-message]
migrate *options:
    @exec migration-pipeline migrate "$@"

# take a verified backup now
[no-exit-message]
backup-db *options:
    @exec migration-pipeline backup-db "$@"

# show the pending revisions; changes nothing
[no-exit-message]
plan *options:
    @exec migration-pipeline plan "$@"

# propose the SAFETY comments that are missing; --write writes them
[no-exit-message]
annotate *options:
    @exec migration-pipeline annotate "$@"

# check what every revision declares, without a database
[no-exit-message]
check-annotations *options:
    @exec migration-pipeline check-annotations "$@"

# take every revision up, down and up again on a scratch database, and compare
[no-exit-message]
test-downgrades *options:
    @exec migration-pipeline test-downgrades "$@"

# list the backups of the target
[no-exit-message]
backups *options:
    @exec migration-pipeline backups "$@"

# replace the database with a backup; the replaced one stays beside it
[no-exit-message]
restore-db *options:
    @exec migration-pipeline restore-db "$@"

# drop a database that a restore has put aside, or list them
[no-exit-message]
drop-replaced *options:
    @exec migration-pipeline drop-replaced "$@"

# prove a backup once more: checksum, restore or rows
[no-exit-message]
verify-backup *options:
    @exec migration-pipeline verify-backup "$@"

# remove the backups that no rule keeps; --dry-run only shows them
[no-exit-message]
prune-backups *options:
    @exec migration-pipeline prune-backups "$@"

# keep a backup whatever its age
[no-exit-message]
pin-backup *options:
    @exec migration-pipeline pin-backup "$@"

# list or remove what belongs to no backup
[no-exit-message]
garbage *options:
    @exec migration-pipeline garbage "$@"

# migrate every Target in waves, through Dagster's queue
[no-exit-message]
migrate-fleet *options:
    @exec migration-pipeline migrate-fleet "$@"

# show every Target: its revision, what is pending, its last migration
[no-exit-message]
fleet *options:
    @exec migration-pipeline fleet "$@"

# start Dagster's UI and daemon on a local port
[no-exit-message]
ui *options:
    @exec migration-pipeline ui "$@"

# develop ─────────────────────────────────────────────────────────────────────────────────────────

# see the whole story on a throw-away server, in a minute
[no-exit-message]
demo *options:
    @exec migration-pipeline demo "$@"

# run the tests
[no-exit-message]
test *options:
    @python -m pytest -n auto --dist worksteal "$@"

# break a migration in every way we know, and write docs/faults.md
[no-exit-message]
faults *options:
    @python -m migration_pipeline_tests.faults.page "$@"

# end a migration in every way and in every step, and write docs/cancelling.md; half an hour
[no-exit-message]
cancels *options:
    @python -m migration_pipeline_tests.cancels.page "$@"

# write docs/rules.md from the rules
[no-exit-message]
rules:
    @python -m migration_pipeline_tests.rules_page

# run what waits for Dagster's own clocks: the daemon's ticks, the gate and the fleet as an operator sees them
long *options:
    @python -m pytest -m long -s "$@"

# migrate projects from PyPI that nobody here wrote, and write docs/strangers.md
[no-exit-message]
strangers *options:
    @python -m pytest -m strangers -s migration_pipeline_tests/strangers "$@"

# migrate twenty Targets in waves over two Celery workers; needs `uv sync --extra celery` and redis-server
[no-exit-message]
workers *options:
    @python -m pytest -m workers -s migration_pipeline_tests/workers "$@"

# judge every revision of those projects beside what it really does to rows, and write docs/verdicts.md
[no-exit-message]
verdicts *options:
    @python -m migration_pipeline_tests.strangers.verdicts "$@"

# hold every witness against the truth of the corpus, and write docs/classification.md; needs squawk (PyPI: squawk-cli)
[no-exit-message]
classification *options:
    @python -m migration_pipeline_tests.corpus.page "$@"

# run everything that CI runs
check:
    ruff check
    ruff format --check
    mypy
    lint-imports
    python -m pytest -n auto --dist worksteal
