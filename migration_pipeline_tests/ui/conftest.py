"""A site as the pipeline tests have it."""

from migration_pipeline_tests.pipeline.conftest import make_site18

__all__ = ["make_site18"]
