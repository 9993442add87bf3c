"""What the jobs prove, as checks of the assets: Dagster shows how each ended, and plots its numbers over time.

The jobs evaluate them while they work; nothing else does.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg

from migration_pipeline import errors, settings
from migration_pipeline.defs import assets, metadata
from migration_pipeline.defs.metadata_values import Metadata
from migration_pipeline.defs.resources import WorkplaceResource
from migration_pipeline.domain.backups import Level, VerifiedBackup
from migration_pipeline.domain.results import PostCheck, Verified

RESTORABLE = "backup_restorable"
MATCHES = "schema_matches_rehearsal"
PROVING = "the jobs migrate, backup_database and verify_newest_backup"


def known() -> list[dg.AssetChecksDefinition]:
    """Return the checks of the Targets that the settings name where the code location is loaded."""
    try:
        names = settings.names(os.environ, Path.cwd())
    except errors.SettingsError:
        return []
    return [of_target(name) for name in names]


def of_target(target: str) -> dg.AssetChecksDefinition:
    specs = [
        dg.AssetCheckSpec(
            RESTORABLE,
            asset=assets.backup_key(target),
            description=f"A backup of {target} was restored into a scratch database and compared with its manifest; "
            f"{PROVING} evaluate it.",
        ),
        dg.AssetCheckSpec(
            MATCHES,
            asset=assets.schema_key(target),
            description=f"After its upgrade, {target} has the schema and the revision that the rehearsal left; "
            "the job migrate evaluates it.",
        ),
    ]

    @dg.multi_asset_check(
        name=f"checks_of_{target.replace('-', '_')}", specs=specs, can_subset=True, description="Says which jobs evaluate them."
    )
    def told_only(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        context.log.warning("Nothing was looked at: %s evaluate these checks.", PROVING)
        yield from ()

    return told_only


def proving(context: dg.OpExecutionContext, workplace: WorkplaceResource) -> AbstractContextManager[None]:
    """Record a backup that cannot be proved; `proved` records one that was."""
    return _checking(context, workplace, assets.backup_key, RESTORABLE, errors.VerificationFailed)


def proved(context: dg.OpExecutionContext, verified: VerifiedBackup | Verified) -> None:
    """Record a backup that was restored. Its bytes alone prove nothing about that."""
    backup, found = verified.backup, verified.verification
    if found.level is not Level.CHECKSUM:
        shown = {
            "backup": backup.id,
            "level": found.level.value,
            "restore seconds": round(found.seconds, 3),
            "rows": sum(backup.manifest.rows.values()),
            "bytes": backup.manifest.bytes,
        }
        _passed(context, assets.backup_key(backup.manifest.identity.target), RESTORABLE, shown)


def comparing(context: dg.OpExecutionContext, workplace: WorkplaceResource) -> AbstractContextManager[None]:
    """Record an upgraded database that is not what the rehearsal left; `matched` records one that is."""
    return _checking(context, workplace, assets.schema_key, MATCHES, errors.PostCheckFailed)


def matched(context: dg.OpExecutionContext, workplace: WorkplaceResource, checked: PostCheck) -> None:
    _passed(context, assets.schema_key(workplace.place.target.name), MATCHES, metadata.of_post_check(checked))


@contextlib.contextmanager
def _checking(
    context: dg.OpExecutionContext,
    workplace: WorkplaceResource,
    asset: Callable[[str], dg.AssetKey],
    check: str,
    kind: type[errors.MigrationPipelineError],
) -> Iterator[None]:
    """Record a check of the Target's asset as failed where an error of this kind passes."""
    try:
        yield
    except kind as error:
        _failed(context, asset(workplace.place.target.name), check, error)
        raise


def _passed(context: dg.OpExecutionContext, asset: dg.AssetKey, check: str, shown: Metadata) -> None:
    _record(context, dg.AssetCheckEvaluation(asset_key=asset, check_name=check, passed=True, metadata=shown))


def _failed(context: dg.OpExecutionContext, asset: dg.AssetKey, check: str, error: errors.MigrationPipelineError) -> None:
    failed = dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=check,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=error.what,
        metadata=metadata.of_error(error),
    )
    _record(context, failed)


def _record(context: dg.OpExecutionContext, evaluation: dg.AssetCheckEvaluation) -> None:
    context.log_event(evaluation)  # type: ignore[arg-type]  # it takes them, and its annotation leaves them out
