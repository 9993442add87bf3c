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

# list the backups of the target
[no-exit-message]
backups *options:
    @exec migration-pipeline backups "$@"

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

# migrate projects from PyPI that nobody here wrote, and write docs/strangers.md
[no-exit-message]
strangers *options:
    @python -m pytest -m strangers -s migration_pipeline_tests/strangers "$@"

# run everything that CI runs
check:
    ruff check
    ruff format --check
    mypy
    lint-imports
    python -m pytest -n auto --dist worksteal
