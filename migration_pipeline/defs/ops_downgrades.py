"""The op that checks a project's downgrades: no live database is met."""

import dagster as dg
import pydantic

from migration_pipeline import downgrade_slices
from migration_pipeline.defs.failures import told
from migration_pipeline.defs.ops import POSTGRES, TARGET_TAG
from migration_pipeline.defs.resources import WorkplaceResource
from migration_pipeline.domain.downgrade_range import Range
from migration_pipeline.domain.downgrades import Report
from migration_pipeline.workplace import Workplace


class DowngradesConfig(dg.Config):
    since: str = pydantic.Field(default="", description="Check what comes after this revision; empty: all.")
    to: str = pydantic.Field(default="", description="Check up to this revision; empty: up to every head.")


def look(_place: Workplace) -> dict[str, str]:
    return {"state": "the live database was not met"}


@dg.op(tags=POSTGRES)
def test_downgrades(context: dg.OpExecutionContext, config: DowngradesConfig, workplace: WorkplaceResource) -> None:
    """Take every revision up, down and up again on a scratch database, and compare schema and rows."""
    with told(context, workplace, look=look):
        context.instance.add_run_tags(context.run_id, {TARGET_TAG: workplace.place.target.name})
        chosen = Range(since=config.since or None, to=config.to or None)
        report = downgrade_slices.check_target(workplace.place, chosen)
    context.add_output_metadata(
        {"result": "\n".join([report.summary, *report.notes]), "revisions": dg.MetadataValue.md(_table(report))}
    )


def _table(report: Report) -> str:
    rows = [f"| {one.revision} | {one.result} | {'; '.join([*([one.reason] if one.reason else []), *one.notes])} |"
            for one in report.revisions]  # fmt: skip
    return "\n".join(["| revision | result | |", "|---|---|---|", *rows])
