"""`python -m migration_pipeline.cli`: the console script, by the interpreter at hand."""

from migration_pipeline.cli import main

main()
