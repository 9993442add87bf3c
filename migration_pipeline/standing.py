"""Where a run that ended before its end has left the live database, as looked at now, and which backup is safe."""

from datetime import UTC

from migration_pipeline import errors
from migration_pipeline.adapters import comparison, postgres
from migration_pipeline.domain.plan import Plan
from migration_pipeline.workplace import Workplace

#: Sessions of an upgrade that are left on the server.
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"


def of(place: Workplace, plan: Plan | None, step: str, *, refused: bool = False) -> dict[str, str]:
    """Return the state of the database and the safe backup, as evidence; `plan` is None where none was made."""
    step = "" if refused else step  # a refused upgrade is none: what is there now, something else has brought
    if plan is None:
        begun = "" if step == "backup_now" else "nothing was begun; "
        return {"state": f"{begun}the database was only read"}
    return {"state": _whereabouts(place, plan, step), **_locks(place, step), "safe": _safe(place, plan)}


def _whereabouts(place: Workplace, plan: Plan, step: str) -> str:
    heads = comparison.heads_now(place.live, plan)
    if heads is None:
        known = {
            "upgrade": "unknown: the server does not answer; PostgreSQL rolls back what was not committed",
            "post_check": "the upgrade was committed; the server does not answer now",
        }
        return known.get(step, "the server does not answer; this run had not begun to change the database")
    at = f"the database is at {', '.join(heads) or 'no revision'}"
    if heads == plan.current:
        return f"rolled back; {at}, as before" if step == "upgrade" else f"{at}, as before"
    applied = plan.applied(heads)
    if applied and applied < len(plan.revisions) and step in {"upgrade", "post_check"}:
        return f"{at}: {applied} of {len(plan.revisions)} revisions are applied"
    committed = heads == plan.heads and step in {"upgrade", "post_check"}
    return f"the upgrade was committed; {at}" if committed else f"{at}, where something else has brought it"


def _locks(place: Workplace, step: str) -> dict[str, str]:
    """Say whether the upgrade's session is gone, and its locks with it."""
    if step != "upgrade":
        return {}
    try:
        with postgres.session(place.live, purpose="looks") as opened:
            at_work = postgres.one(opened, SESSIONS, f"migration_pipeline upgrade {place.target.name}"[:63])[0]
    except errors.MigrationPipelineError:
        return {}
    return {
        "locks": f"{at_work} session of this upgrade is still at work" if at_work else "free: the upgrade's session has ended"
    }


def _safe(place: Workplace, plan: Plan) -> str:
    """Name the newest backup of this database that was verified by a restore, as the store has it now."""
    try:
        found, _ = place.store.entries()
    except errors.MigrationPipelineError as error:
        return f"unknown: {error.what}"
    ours = [one for one in found if one.identity == plan.identity and one.restored is not None]
    if not ours:
        return "no verified backup of this database is in the store"
    moment = ours[0].snapshot_time.astimezone(UTC)
    return f"{ours[0].id}, verified by a restore, holds the database as it was at {moment:%H:%M:%S} UTC on {moment:%Y-%m-%d}"
