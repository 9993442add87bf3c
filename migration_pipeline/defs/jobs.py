"""The jobs. The ops are a chain, so they run in one process: a process for each would cost 29 s instead of 4."""

import dagster as dg
import pydantic

from migration_pipeline.defs import ops, ops_backups, ops_confirm, ops_downgrades, ops_fleet, ops_report, ops_restore
from migration_pipeline.defs.resources import WorkplaceResource
from migration_pipeline.defs.values import json_values
from migration_pipeline.operator import desk

RESOURCES = {"workplace": WorkplaceResource.configure_at_launch(), "io_manager": json_values}
Config = dict[str, object]


class MigrateConfig(ops.ConfirmConfig, ops.PreflightConfig):
    target: str = pydantic.Field(default="", description="The Target's name in pipeline.toml; empty: the only one.")
    confirmation: str = pydantic.Field(
        default="", description="CONFIRM and the first 8 characters of the plan's fingerprint; needed where data is lost."
    )
    reuse_recent_backup: bool = pydantic.Field(
        default=False, description="Use the verified backup that preflight found instead of taking another one."
    )


class RehearseConfig(ops.PreflightConfig):
    target: str = pydantic.Field(default="", description="The Target's name in pipeline.toml; empty: the only one.")


class BackupDatabaseConfig(dg.Config):
    target: str = pydantic.Field(default="", description="The Target's name in pipeline.toml; empty: the only one.")


class RestoreConfig(ops_restore.ConfirmRestoreConfig):
    target: str = pydantic.Field(default="", description="The Target's name in pipeline.toml; empty: the only one.")
    backup: str = pydantic.Field(default="", description="The backup's id; empty: the newest verified one of this database.")
    unverified_file: str = pydantic.Field(default="", description="In its place: a plain dump that no manifest vouches for.")


class DropReplacedDatabaseConfig(ops_restore.DropReplacedConfig):
    target: str = pydantic.Field(default="", description="The Target's name in pipeline.toml; empty: the only one.")


class VerifyBackupConfig(ops_backups.VerifyConfig):
    target: str = pydantic.Field(default="", description="The Target's name in pipeline.toml; empty: the only one.")


class CheckDowngradesConfig(ops_downgrades.DowngradesConfig):
    target: str = pydantic.Field(default="", description="The Target's name in pipeline.toml; empty: the only one.")


class PruneBackupsConfig(ops_backups.PruneConfig):
    target: str = pydantic.Field(default="", description="The Target's name in pipeline.toml; empty: the only one.")


def preflight_config(config: ops.PreflightConfig) -> Config:
    return {"revision": config.revision, "without_concurrently": config.without_concurrently}


@dg.config_mapping
def migrate_config(config: MigrateConfig) -> Config:
    """Hand each op its own part of the flat config."""
    return {
        "ops": {
            "preflight": {"config": preflight_config(config)},
            "backup": {"config": {"reuse_recent_backup": config.reuse_recent_backup}},
            "confirm": {
                "config": {
                    "confirmation": config.confirmation,
                    "wait_minutes": config.wait_minutes,
                    "accept_locks": config.accept_locks,
                    "accept_non_transactional": config.accept_non_transactional,
                    "accept_protection_loss": config.accept_protection_loss,
                }
            },
        },
        **_common(config.target),
    }


@dg.config_mapping
def answer_config(config: ops_confirm.AnswerConfig) -> Config:
    answer = {"run_id": config.run_id, "fingerprint": config.fingerprint, "answer": config.answer}
    return {"ops": {"answer_migration": {"config": answer}}}


@dg.config_mapping
def rehearse_config(config: RehearseConfig) -> Config:
    return {"ops": {"preflight": {"config": preflight_config(config)}}, **_common(config.target)}


@dg.config_mapping
def backup_config(config: BackupDatabaseConfig) -> Config:
    return _common(config.target)


@dg.config_mapping
def restore_config(config: RestoreConfig) -> Config:
    asked = {"backup": config.backup, "unverified_file": config.unverified_file}
    return {
        "ops": {
            "weigh_restore": {"config": asked},
            "confirm_restore": {"config": {**asked, "confirmation": config.confirmation}},
        },
        **_common(config.target),
    }


@dg.config_mapping
def drop_replaced_config(config: DropReplacedDatabaseConfig) -> Config:
    asked = {"database": config.database, "end_sessions": config.end_sessions}
    return {"ops": {"drop_replaced_database": {"config": asked}}, **_common(config.target)}


@dg.config_mapping
def verify_config(config: VerifyBackupConfig) -> Config:
    return {"ops": {"verify_stored": {"config": {"backup": config.backup, "level": config.level}}}, **_common(config.target)}


@dg.config_mapping
def prune_config(config: PruneBackupsConfig) -> Config:
    return {"ops": {"prune": {"config": {"dry_run": config.dry_run}}}, **_common(config.target)}


@dg.config_mapping
def check_downgrades_config(config: CheckDowngradesConfig) -> Config:
    return {"ops": {"test_downgrades": {"config": {"since": config.since, "to": config.to}}}, **_common(config.target)}


@dg.config_mapping
def start_fleet_config(config: ops_fleet.StartFleetConfig) -> Config:
    return {"ops": {"open_fleet": {"config": {"wave": config.wave}}}, **_drawn_by_terminal()}


def _common(target: str) -> Config:
    return {"resources": {"workplace": {"config": {"target": target}}}, **_drawn_by_terminal()}


def _drawn_by_terminal() -> Config:
    return {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}} if desk.is_taken else {}


@dg.job(config=migrate_config, executor_def=dg.in_process_executor, resource_defs=RESOURCES)
def migrate() -> None:
    """Migrate a database behind a verified backup, a measured rehearsal and a confirmation."""
    checked = ops.preflight()
    verified = ops.verify_backup(checked, ops.backup(checked))
    rehearsal = ops.rehearse(checked, verified)
    confirmation = ops.confirm(checked, verified, rehearsal, ops.classify_safety(checked, rehearsal))
    result = ops.upgrade(checked, verified, rehearsal, confirmation)
    ops.post_check(checked, rehearsal, result)


@dg.job(config=answer_config, executor_def=dg.in_process_executor)
def confirm_migration() -> None:
    """Answer a migration that waits: read the ledger on its run's page, open the link there, and type CONFIRM."""
    ops_confirm.answer_migration()


@dg.job(config=rehearse_config, executor_def=dg.in_process_executor, resource_defs=RESOURCES)
def rehearse_migration() -> None:
    """Rehearse a migration on a verified backup and keep the safety report of it; nothing is changed in the database."""
    checked = ops.preflight()
    verified = ops.verify_backup(checked, ops_report.backup_to_rehearse_on.alias("backup")(checked))
    rehearsal = ops.rehearse(checked, verified)
    ops_report.outlook(checked, rehearsal, ops.classify_safety(checked, rehearsal))


@dg.job(config=backup_config, executor_def=dg.in_process_executor, resource_defs=RESOURCES)
def backup_database() -> None:
    """Take a backup of a database and verify it by a restore."""
    ops.backup_now()


@dg.job(config=restore_config, executor_def=dg.in_process_executor, resource_defs=RESOURCES)
def restore_database() -> None:
    """Replace a database with one of its backups, restored beside it and compared first; the replaced one stays."""
    cost = ops_restore.weigh_restore()
    consent = ops_restore.confirm_restore(cost)
    ops_restore.swap_names(cost, ops_restore.restore_beside(cost, consent), consent)


@dg.job(config=drop_replaced_config, executor_def=dg.in_process_executor, resource_defs=RESOURCES)
def drop_replaced() -> None:
    """Drop a database that a restore has put aside."""
    ops_restore.drop_replaced_database()


@dg.job(config=verify_config, executor_def=dg.in_process_executor, resource_defs=RESOURCES)
def verify_newest_backup() -> None:
    """Prove the newest backup, or a named one, once more by restoring it."""
    ops_backups.verify_stored()


@dg.job(config=prune_config, executor_def=dg.in_process_executor, resource_defs=RESOURCES)
def prune_backups() -> None:
    """Remove the backups that no rule of the retention policy keeps."""
    ops_backups.prune()


@dg.job(config=check_downgrades_config, executor_def=dg.in_process_executor, resource_defs=RESOURCES)
def check_downgrades() -> None:
    """Take every revision up, down and up again on a scratch database; the live database is not met."""
    ops_downgrades.test_downgrades()


@dg.job(config=start_fleet_config, executor_def=dg.in_process_executor)
def start_fleet() -> None:
    """Start the migration of every Target, wave by wave; the sensor fleet_waves submits the runs."""
    ops_fleet.open_fleet()


@dg.job(executor_def=dg.in_process_executor)
def stop_fleet() -> None:
    """Stop the fleet: migrations that wait in the queue do not begin, those that run go on."""
    ops_fleet.close_fleet()


@dg.job(executor_def=dg.in_process_executor)
def show_fleet() -> None:
    """Look at every Target of the fleet; the table is kept with the asset `fleet`."""
    ops_fleet.look_at_fleet()
