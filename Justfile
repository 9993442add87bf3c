set positional-arguments := true

# operate ─────────────────────────────────────────────────────────────────────────────────────────

# list the recipes
default:
    @just --list --unsorted

# migrate the database: backup, rehearsal, question, upgrade
[no-exit-message]
migrate *options:
    @migration-pipeline migrate "$@"

# take a verified backup now
[no-exit-message]
backup-db *options:
    @migration-pipeline backup-db "$@"

# show the pending revisions; changes nothing
[no-exit-message]
plan *options:
    @migration-pipeline plan "$@"

# list the backups of the target
[no-exit-message]
backups *options:
    @migration-pipeline backups "$@"

# start Dagster's UI and daemon on a local port
[no-exit-message]
ui *options:
    @migration-pipeline ui "$@"

# develop ─────────────────────────────────────────────────────────────────────────────────────────

# see the whole story on a throw-away server, in a minute
[no-exit-message]
demo *options:
    @migration-pipeline demo "$@"

# run the tests
[no-exit-message]
test *options:
    @python -m pytest "$@"

# run everything that CI runs
check:
    ruff check
    ruff format --check
    mypy
    lint-imports
    python -m pytest
