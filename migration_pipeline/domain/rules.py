"""The rules, as data: what each sees, what it means, what to do instead, and the two examples that are its test."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from migration_pipeline.domain import finders
from migration_pipeline.domain.finders import Finder
from migration_pipeline.domain.tokens import pg


class Grade(StrEnum):
    """What a finding is about."""

    LOSES_DATA = "loses data"  #: objects, rows or values are gone: the only grade that the prompt is about
    LOSES_PROTECTION = "loses protection"  #: triggers, policies, constraints: what kept the data right
    RISKS_SERVICE = "risks the service"  #: locks, rewrites, renames
    UNKNOWN = "unknown"  #: no rule understands it; it counts as lost data until everything was measured


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that is looked for."""

    code: str  #: never used for another rule
    name: str
    grade: Grade
    sees: str  #: the condition, in PostgreSQL's words
    effect: str  #: what is lost, a clause about the objects: "its rows are gone"
    instead: str  #: the way out, an imperative clause: "keep the table"
    bad: str  #: SQL in which the rule finds something
    good: str  #: SQL of the same purpose in which it finds nothing
    #: Node type of PostgreSQL's parser → what finds the objects in it. Empty: found while reading, not in one node.
    finds: Mapping[str, Finder]
    #: Rows of the Alembic version table are Alembic's own business, not data.
    is_dml: bool = False


def _loses(code: str, name: str, sees: str, effect: str, instead: str, *, bad: str, good: str, finds: Mapping[str, Finder],
           is_dml: bool = False) -> Rule:  # fmt: skip
    return Rule(code=code, name=name, grade=Grade.LOSES_DATA, sees=sees, effect=effect, instead=instead, bad=bad, good=good,
                finds=finds, is_dml=is_dml)  # fmt: skip


DATA_RULES = (
    _loses("L01", "table dropped", "DROP TABLE", "its rows are gone", "keep the table",
           bad="DROP TABLE patients", good="CREATE TABLE old (id int); DROP TABLE old",
           finds={"DropStmt": finders.drops(pg.OBJECT_TABLE)}),
    _loses("L02", "column dropped", "ALTER TABLE ... DROP COLUMN, ALTER TYPE ... DROP ATTRIBUTE", "its values are gone",
           "keep the column", bad="ALTER TABLE patients DROP COLUMN allergy",
           good="ALTER TABLE patients ALTER allergy DROP NOT NULL",
           finds={"AlterTableStmt": finders.alters(pg.AT_DropColumn)}),
    _loses("L03", "materialized view dropped", "DROP MATERIALIZED VIEW", "the rows it stores are gone", "keep the view",
           bad="DROP MATERIALIZED VIEW report", good="DROP VIEW report",
           finds={"DropStmt": finders.drops(pg.OBJECT_MATVIEW)}),
    _loses("L04", "foreign table dropped", "DROP FOREIGN TABLE", "the way to its rows is gone", "keep the foreign table",
           bad="DROP FOREIGN TABLE lab", good="ALTER FOREIGN TABLE lab RENAME TO laboratory",
           finds={"DropStmt": finders.drops(pg.OBJECT_FOREIGN_TABLE)}),
    _loses("L05", "sequence dropped", "DROP SEQUENCE, ALTER COLUMN ... DROP IDENTITY", "where it had counted to is gone",
           "keep the sequence", bad="DROP SEQUENCE chart_no", good="ALTER SEQUENCE chart_no OWNED BY patients.chart_no",
           finds={"DropStmt": finders.drops(pg.OBJECT_SEQUENCE),
                  "AlterTableStmt": finders.alters(pg.AT_DropIdentity, certain=False)}),
    _loses("L06", "schema dropped", "DROP SCHEMA", "everything in it is gone", "keep the schema",
           bad="DROP SCHEMA archive CASCADE", good="ALTER SCHEMA archive RENAME TO archive_2025",
           finds={"DropStmt": finders.drops_schema}),
    _loses("L07", "type dropped", "DROP TYPE, DROP DOMAIN", "with CASCADE the columns of it are gone", "keep the type",
           bad="DROP TYPE status CASCADE", good="ALTER TYPE status ADD VALUE 'closed'",
           finds={"DropStmt": finders.drops(pg.OBJECT_TYPE, pg.OBJECT_DOMAIN, certain=False)}),
    _loses("L08", "extension dropped", "DROP EXTENSION", "its tables, and with CASCADE the columns of its types, are gone",
           "keep the extension", bad="DROP EXTENSION hstore CASCADE", good="CREATE EXTENSION IF NOT EXISTS hstore",
           finds={"DropStmt": finders.drops(pg.OBJECT_EXTENSION, kind="other", certain=False)}),
    _loses("L09", "everything of a role dropped", "DROP OWNED", "every object that the role owns here is gone",
           "drop the objects by name", bad="DROP OWNED BY intern", good="GRANT SELECT ON patients TO intern",
           finds={"DropOwnedStmt": finders.owned_by}),
    _loses("L10", "dependents dropped", "DROP ... CASCADE of a function, collation, view, constraint, ...",
           "columns and stored rows that depend on it may be gone", "drop it without CASCADE",
           bad="DROP FUNCTION full_name(text) CASCADE", good="DROP FUNCTION full_name(text)",
           finds={"DropStmt": finders.drops_with_cascade, "AlterTableStmt": finders.drops_with_cascade}),
    _loses("L11", "rows deleted", "DELETE, in a data-modifying CTE too", "its rows are gone", "keep the rows",
           bad="WITH gone AS (DELETE FROM visits RETURNING *) INSERT INTO archive SELECT * FROM gone",
           good="INSERT INTO archive SELECT * FROM visits", finds={"DeleteStmt": finders.deletes}, is_dml=True),
    _loses("L12", "table emptied", "TRUNCATE", "all its rows are gone", "keep the rows",
           bad="TRUNCATE visits", good="CREATE TEMP TABLE visits_new (id int); TRUNCATE visits_new",
           finds={"TruncateStmt": finders.truncates}, is_dml=True),
    _loses("L13", "rows deleted by MERGE", "MERGE ... THEN DELETE", "matched rows are gone", "keep the rows",
           bad="MERGE INTO visits v USING bad b ON v.id = b.id WHEN MATCHED THEN DELETE",
           good="MERGE INTO visits v USING new n ON v.id = n.id WHEN NOT MATCHED THEN INSERT VALUES (n.id)",
           finds={"MergeStmt": finders.merges(pg.CMD_DELETE, certain=True)}, is_dml=True),
    _loses("L14", "values overwritten", "UPDATE of a column that was there before", "old values may be gone",
           "write a new column", bad="UPDATE patients SET name = upper(name)",
           good="ALTER TABLE patients ADD COLUMN shout text; UPDATE patients SET shout = upper(name)",
           finds={"UpdateStmt": finders.updates}, is_dml=True),
    _loses("L15", "values overwritten on conflict", "INSERT ... ON CONFLICT DO UPDATE", "old values may be gone",
           "use ON CONFLICT DO NOTHING", bad="INSERT INTO codes VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET text = 'a'",
           good="INSERT INTO codes VALUES (1, 'a') ON CONFLICT DO NOTHING",
           finds={"InsertStmt": finders.overwrites_on_conflict}, is_dml=True),
    _loses("L16", "values overwritten by MERGE", "MERGE ... THEN UPDATE", "old values may be gone", "write a new column",
           bad="MERGE INTO codes c USING new n ON c.id = n.id WHEN MATCHED THEN UPDATE SET text = n.text",
           good="MERGE INTO codes c USING new n ON c.id = n.id WHEN NOT MATCHED THEN INSERT VALUES (n.id, n.text)",
           finds={"MergeStmt": finders.merges(pg.CMD_UPDATE, certain=False)}, is_dml=True),
    _loses("L17", "type changed", "ALTER TABLE ... ALTER COLUMN ... TYPE", "values may be cut or changed", "write a new column",
           bad="ALTER TABLE patients ALTER weight TYPE integer", good="ALTER TABLE patients ADD COLUMN weight_kg integer",
           finds={"AlterTableStmt": finders.alters(pg.AT_AlterColumnType, certain=False)}),
    _loses("L18", "generated values replaced", "ALTER COLUMN ... SET EXPRESSION", "its stored values may be gone",
           "add a new generated column", bad="ALTER TABLE patients ALTER bmi SET EXPRESSION AS (weight)",
           good="ALTER TABLE patients ALTER bmi DROP EXPRESSION",
           finds={"AlterTableStmt": finders.alters(pg.AT_SetExpression, certain=False)}),
    _loses("L19", "sequence moved", "setval(); PostgreSQL never rolls it back", "where it had counted to may be gone",
           "leave the sequence to nextval()", bad="SELECT setval('chart_no', 1)", good="SELECT nextval('chart_no')",
           finds={"FuncCall": finders.calls("setval", certain=False)}),
    _loses("L20", "sequence restarted", "ALTER SEQUENCE ... RESTART, ALTER COLUMN ... RESTART", "where it had counted to is gone",
           "leave the sequence where it is", bad="ALTER SEQUENCE chart_no RESTART WITH 1",
           good="ALTER SEQUENCE chart_no INCREMENT BY 2",
           finds={"AlterSeqStmt": finders.restarts_sequence, "AlterTableStmt": finders.restarts_identity}),
    _loses("L21", "large object deleted", "lo_unlink()", "the large object is gone", "keep the large object",
           bad="SELECT lo_unlink(scan) FROM letters", good="SELECT lo_get(scan) FROM letters",
           finds={"FuncCall": finders.calls("lo_unlink", certain=True)}),
    _loses("L22", "large object overwritten", "lo_put(), lo_truncate(), lowrite()", "its bytes may be gone",
           "write a new large object", bad="SELECT lo_put(scan, 0, '') FROM letters", good="SELECT lo_from_bytea(0, '')",
           finds={"FuncCall": finders.calls("lo_put", "lo_truncate", "lo_truncate64", "lowrite", certain=False)}),
)  # fmt: skip


def _unguards(code: str, name: str, sees: str, effect: str, instead: str, *, bad: str, good: str,
              finds: Mapping[str, Finder]) -> Rule:  # fmt: skip
    return Rule(code=code, name=name, grade=Grade.LOSES_PROTECTION, sees=sees, effect=effect, instead=instead, bad=bad, good=good,
                finds=finds)  # fmt: skip


#: A first set: what loses data, and the gravest losses of protection.
PROTECTION_RULES = (
    _unguards("P01", "trigger disabled", "ALTER TABLE ... DISABLE TRIGGER", "its trigger, or its foreign keys, check nothing",
              "leave the trigger on", bad="ALTER TABLE patients DISABLE TRIGGER ALL",
              good="ALTER TABLE patients ENABLE TRIGGER ALL",
              finds={"AlterTableStmt": finders.alters(pg.AT_DisableTrig, pg.AT_DisableTrigAll, pg.AT_DisableTrigUser)}),
    _unguards("P02", "row level security off", "ALTER TABLE ... DISABLE or NO FORCE ROW LEVEL SECURITY",
              "every role that may read it reads every row", "keep row level security on",
              bad="ALTER TABLE patients DISABLE ROW LEVEL SECURITY", good="ALTER TABLE patients ENABLE ROW LEVEL SECURITY",
              finds={"AlterTableStmt": finders.alters(pg.AT_DisableRowSecurity, pg.AT_NoForceRowSecurity)}),
    _unguards("P03", "guard dropped", "DROP TRIGGER, POLICY, RULE, EVENT TRIGGER", "what it kept right is kept no more",
              "keep it", bad="DROP TRIGGER audit ON patients", good="ALTER TRIGGER audit ON patients RENAME TO audit_patients",
              finds={"DropStmt": finders.drops_protection}),
    _unguards("P04", "triggers and foreign keys off", "SET session_replication_role", "triggers and foreign keys check nothing",
              "leave the setting alone", bad="SET LOCAL session_replication_role = replica", good="SET LOCAL lock_timeout = '5s'",
              finds={"VariableSetStmt": finders.sets_replication_role}),
    _unguards("P05", "constraint dropped", "ALTER TABLE ... DROP CONSTRAINT", "it accepts what it refused before",
              "keep the constraint", bad="ALTER TABLE visits DROP CONSTRAINT visits_patient_fkey",
              good="ALTER TABLE visits RENAME CONSTRAINT visits_patient_fkey TO visits_patient_id_fkey",
              finds={"AlterTableStmt": finders.alters(pg.AT_DropConstraint)}),
    _unguards("P06", "table unlogged", "ALTER TABLE ... SET UNLOGGED", "it is emptied after a crash", "keep it logged",
              bad="ALTER TABLE visits SET UNLOGGED", good="ALTER TABLE visits SET LOGGED",
              finds={"AlterTableStmt": finders.alters(pg.AT_SetUnLogged)}),
    _unguards("P07", "writes thrown away", "CREATE RULE ... DO INSTEAD NOTHING", "writes to it are silently dropped",
              "revoke the right instead", bad="CREATE RULE r AS ON INSERT TO visits DO INSTEAD NOTHING",
              good="REVOKE INSERT ON visits FROM intern", finds={"RuleStmt": finders.instead_nothing}),
)  # fmt: skip


def _unknown(code: str, name: str, sees: str, instead: str, *, bad: str, good: str,
             finds: Mapping[str, Finder] | None = None) -> Rule:  # fmt: skip
    return Rule(code=code, name=name, grade=Grade.UNKNOWN, sees=sees, effect="what it does is not known", instead=instead,
                bad=bad, good=good, finds=finds or {})  # fmt: skip


UNPARSABLE = _unknown("U01", "text not understood", "a text that PostgreSQL 18's parser refuses", "write plain SQL",
                      bad="FROBNICATE patients", good="SELECT 1")  # fmt: skip
OPAQUE = _unknown("U02", "block not understood", "a DO block that runs texts it builds, or is not plain PL/pgSQL",
                  "write the statements out", bad="DO $$ BEGIN EXECUTE 'TABLE ' || current_setting('x'); END $$",
                  good="DO $$ BEGIN EXECUTE 'SELECT 1'; END $$")  # fmt: skip
CALL = _unknown("U03", "unknown function called", "a call of a function that is not PostgreSQL's own",
                "write its statements into the revision", bad="SELECT tidy_up()", good="SELECT now()",
                finds={"FuncCall": finders.calls_unknown})  # fmt: skip
STRANGE = _unknown("U04", "statement without a rule", "a statement that no rule knows", "use a statement that a rule knows",
                   bad="ALTER EXTENSION hstore UPDATE", good="COMMENT ON TABLE patients IS 'people'")  # fmt: skip

RULES = (*DATA_RULES, *PROTECTION_RULES, UNPARSABLE, OPAQUE, CALL, STRANGE)
BY_CODE = {rule.code: rule for rule in RULES}
