"""What must not be sent, as data: transaction control, what cannot run in a transaction, what reaches past the database."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from migration_pipeline.domain import sql
from migration_pipeline.domain.tokens import pg


class StopKind(StrEnum):
    """Why a statement must not be sent, the gravest first."""

    TRANSACTION_CONTROL = "transaction control"  #: it would end or take over the pipeline's transaction
    COMMIT_FUSE = "commit fuse"  #: it would fire or drop the pipeline's commit fuse
    BLINDS = "blinds the measurement"  #: it would hide what the plan does
    NON_TRANSACTIONAL = "non-transactional"  #: PostgreSQL runs it outside a transaction only; another road may take it
    REACHES_PAST = "reaches past the database"  #: it acts on the cluster or on another system; stopped in a rehearsal alone


SENTENCES = {
    StopKind.TRANSACTION_CONTROL: "{what} would end or take over the transaction that the pipeline holds.",
    StopKind.COMMIT_FUSE: "{what} would break the pipeline's guard against a hidden COMMIT.",
    StopKind.BLINDS: "{what} would hide from the pipeline which rows are changed.",
    StopKind.NON_TRANSACTIONAL: "{what} cannot run inside a transaction, so it could not be rolled back.",
    StopKind.REACHES_PAST: "{what} reaches past this database, and a rehearsal must touch nothing but its copy.",
}


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Why a statement must not be sent: a kind for the program, a sentence for the operator."""

    kind: StopKind
    sentence: str

    @classmethod
    def of(cls, kind: StopKind, what: str, hint: str = "") -> "Stop":
        sentence = SENTENCES[kind].format(what=what)
        return cls(kind=kind, sentence=f"{sentence} {hint}" if hint else sentence)


CONSTRAINTS_HINT = "Name the constraints instead: SET CONSTRAINTS name IMMEDIATE."


def in_node(node: sql.Node, *, rehearsing: bool) -> Iterator[Stop]:
    """Yield why one statement or function call must not be sent."""
    name = sql.kind(node)
    if name in OUTSIDE and (what := OUTSIDE[name](node)):
        yield Stop.of(StopKind.NON_TRANSACTIONAL, what)
    if name in CONTROL and (what := CONTROL[name](node)):
        yield Stop.of(StopKind.TRANSACTION_CONTROL, what)
    if name == "ConstraintsSetStmt" and not len(node.constraints) and not node.deferred:
        yield Stop.of(StopKind.COMMIT_FUSE, "SET CONSTRAINTS ALL IMMEDIATE", CONSTRAINTS_HINT)
    if name == "DiscardStmt" and node.target in {pg.DISCARD_ALL, pg.DISCARD_TEMP}:
        yield Stop.of(StopKind.COMMIT_FUSE, "DISCARD ALL" if node.target == pg.DISCARD_ALL else "DISCARD TEMP")
    if name == "VariableSetStmt" and node.name.lower() in BLINDING:
        yield Stop.of(StopKind.BLINDS, f"SET {node.name.lower()}")
    if name == "FuncCall" and sql.dotted(node.funcname).name == "set_config" and _first_word(node) in BLINDING:
        yield Stop.of(StopKind.BLINDS, "set_config() of track_counts")
    if rehearsing and name in REACHING and (what := REACHING[name](node)):
        yield Stop.of(StopKind.REACHES_PAST, what)


#: Settings that switch off what the measuring reads.
BLINDING = frozenset({"track_counts"})


def _first_word(call: sql.Node) -> str:
    return (sql.string_of(call.args[0]) or "").lower() if len(call.args) else ""


def in_words(text: str, *, rehearsing: bool, is_block: bool = False) -> Iterator[Stop]:
    """Yield why a text that cannot be parsed must not be sent: any of the words, outside quotes, is enough."""
    bare = without_quotes(text)
    for stop_kind, pattern in WORDS if is_block else (*WORDS, BLOCK_WORDS):
        match = pattern.search(bare)
        if match and (rehearsing or stop_kind is not StopKind.REACHES_PAST):
            what = " ".join(match[0].upper().split()).strip("; (")
            yield Stop.of(stop_kind, f"{what}, in a text that PostgreSQL's parser cannot read,")


Check = Callable[[sql.Node], str]  #: returns what must not be sent, in PostgreSQL's words, or ""

#: https://www.postgresql.org/docs/current/sql-commit.html and its neighbours; savepoints stay inside our transaction.
TRANSACTION = {
    pg.TRANS_STMT_BEGIN: "BEGIN",
    pg.TRANS_STMT_START: "START TRANSACTION",
    pg.TRANS_STMT_COMMIT: "COMMIT",
    pg.TRANS_STMT_ROLLBACK: "ROLLBACK",
    pg.TRANS_STMT_PREPARE: "PREPARE TRANSACTION",
    pg.TRANS_STMT_COMMIT_PREPARED: "COMMIT PREPARED",
    pg.TRANS_STMT_ROLLBACK_PREPARED: "ROLLBACK PREPARED",
}
CONTROL: dict[str, Check] = {"TransactionStmt": lambda node: TRANSACTION.get(node.kind, "")}


def _always(what: str) -> Check:
    return lambda _: what


def _if(test: Callable[[sql.Node], object], what: str) -> Check:
    return lambda node: what if test(node) else ""


def _detaches_concurrently(node: sql.Node) -> bool:
    commands = (item.alter_table_cmd for item in node.cmds)
    return any(
        command.subtype == pg.AT_DetachPartition and getattr(command, "def").partition_cmd.concurrent for command in commands
    )


def _reindex(node: sql.Node) -> str:
    if sql.option(node.params, "concurrently"):
        return "REINDEX CONCURRENTLY"
    whole = {pg.REINDEX_OBJECT_SCHEMA: "SCHEMA", pg.REINDEX_OBJECT_SYSTEM: "SYSTEM", pg.REINDEX_OBJECT_DATABASE: "DATABASE"}
    return f"REINDEX {whole[node.kind]}" if node.kind in whole else ""


#: What PostgreSQL refuses inside a transaction block: each command's page says so under Notes.
OUTSIDE: dict[str, Check] = {
    "IndexStmt": _if(lambda node: node.concurrent, "CREATE INDEX CONCURRENTLY"),
    "DropStmt": _if(lambda node: node.concurrent, "DROP INDEX CONCURRENTLY"),
    "ReindexStmt": _reindex,
    "AlterTableStmt": _if(_detaches_concurrently, "ALTER TABLE ... DETACH PARTITION CONCURRENTLY"),
    "VacuumStmt": _if(lambda node: node.is_vacuumcmd, "VACUUM"),
    "CreatedbStmt": _always("CREATE DATABASE"),
    "DropdbStmt": _always("DROP DATABASE"),
    "CreateTableSpaceStmt": _always("CREATE TABLESPACE"),
    "DropTableSpaceStmt": _always("DROP TABLESPACE"),
    "AlterSystemStmt": _always("ALTER SYSTEM"),
    "ClusterStmt": _if(lambda node: not node.HasField("relation"), "CLUSTER without a table"),
}


def _vacuum(node: sql.Node) -> str:
    return "VACUUM" if node.is_vacuumcmd and sql.option(node.options, "full") is None else ""


#: What a revision may do outside a transaction, once that is accepted: it loses nothing, and no lock of it stops reads or
#: writes. The others hold tables for as long as nobody can measure, or reach past the database.
ALONE: dict[str, Check] = {
    "IndexStmt": OUTSIDE["IndexStmt"],
    "DropStmt": OUTSIDE["DropStmt"],
    "ReindexStmt": lambda node: "REINDEX CONCURRENTLY" if sql.option(node.params, "concurrently") else "",
    "AlterTableStmt": OUTSIDE["AlterTableStmt"],
    "VacuumStmt": _vacuum,
}

#: Objects that all databases of a cluster share (https://www.postgresql.org/docs/current/catalogs-overview.html).
SHARED = {
    pg.OBJECT_DATABASE: "DATABASE",
    pg.OBJECT_ROLE: "ROLE",
    pg.OBJECT_TABLESPACE: "TABLESPACE",
    pg.OBJECT_SUBSCRIPTION: "SUBSCRIPTION",
    pg.OBJECT_PARAMETER_ACL: "PARAMETER",
    pg.OBJECT_FOREIGN_SERVER: "SERVER",
    pg.OBJECT_USER_MAPPING: "USER MAPPING",
}


def _shared(verb: str, field: str) -> Check:
    return lambda node: f"{verb} {SHARED[getattr(node, field)]}" if getattr(node, field) in SHARED else ""


def _copy(node: sql.Node) -> str:
    if node.is_program:
        return "COPY ... PROGRAM"
    return "COPY with a file of the server" if node.filename else ""


#: Function names, or with `*` their beginnings, that reach other sessions, the server's files, replication or other systems
#: (https://www.postgresql.org/docs/current/functions-admin.html).
REACHING_FUNCTIONS = re.compile(
    r"""pg_terminate_backend|pg_cancel_backend|pg_reload_conf|pg_rotate_logfile|pg_promote|pg_switch_wal|pg_create_restore_point
    |pg_backup_\w+|pg_wal_replay_\w+|pg_log_\w+|lo_export|lo_import|pg_read_\w*file\w*|pg_stat_file|pg_ls_\w+|pg_file_\w+
    |pg_\w*replication_slot\w*|pg_sync_replication_slots|pg_logical_\w+|pg_replication_origin_\w+|pg_stat_reset\w*
    |pg_stat_statements_reset|binary_upgrade_\w+|dblink\w*|http|http_\w+""",
    re.VERBOSE,
)


def _call(node: sql.Node) -> str:
    name = sql.dotted(node.funcname).name.lower()
    return f"{name}()" if REACHING_FUNCTIONS.fullmatch(name) else ""


REACHING: dict[str, Check] = {
    "CreateRoleStmt": _always("CREATE ROLE"),
    "AlterRoleStmt": _always("ALTER ROLE"),
    "AlterRoleSetStmt": _always("ALTER ROLE ... SET"),
    "DropRoleStmt": _always("DROP ROLE"),
    "GrantRoleStmt": _always("GRANT or REVOKE of a role"),
    "GrantStmt": _shared("GRANT or REVOKE on a", "objtype"),
    "ReassignOwnedStmt": _always("REASSIGN OWNED"),
    "DropOwnedStmt": _always("DROP OWNED"),
    "AlterDatabaseStmt": _always("ALTER DATABASE"),
    "AlterDatabaseSetStmt": _always("ALTER DATABASE ... SET"),
    "AlterDatabaseRefreshCollStmt": _always("ALTER DATABASE"),
    "AlterTableSpaceOptionsStmt": _always("ALTER TABLESPACE"),
    "RenameStmt": _shared("RENAME of a", "rename_type"),
    "AlterOwnerStmt": _shared("OWNER TO of a", "object_type"),
    "CommentStmt": _shared("COMMENT ON", "objtype"),
    "SecLabelStmt": _shared("SECURITY LABEL ON", "objtype"),
    "CopyStmt": _copy,
    "CreateForeignServerStmt": _always("CREATE SERVER"),
    "AlterForeignServerStmt": _always("ALTER SERVER"),
    "CreateUserMappingStmt": _always("CREATE USER MAPPING"),
    "AlterUserMappingStmt": _always("ALTER USER MAPPING"),
    "DropUserMappingStmt": _always("DROP USER MAPPING"),
    "ImportForeignSchemaStmt": _always("IMPORT FOREIGN SCHEMA"),
    "CreateSubscriptionStmt": _always("CREATE SUBSCRIPTION"),
    "AlterSubscriptionStmt": _always("ALTER SUBSCRIPTION"),
    "DropSubscriptionStmt": _always("DROP SUBSCRIPTION"),
    "LoadStmt": _always("LOAD"),
    "FuncCall": _call,
}

WORD = re.compile(r"[A-Za-z_]+")
#: Quoted text and comments; what follows a quote that is never closed stays in sight.
QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/", re.DOTALL)


def without_quotes(text: str) -> str:
    return QUOTED.sub(" ", text)


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


#: A text that PostgreSQL 18's grammar refuses is refused by the server too; these are for what is too deep or too new to parse.
WORDS = (
    (StopKind.TRANSACTION_CONTROL, _words(r"(?<!\bon )\bcommit\b|\brollback\b(?!\s+to)|\babort\b")),
    (StopKind.TRANSACTION_CONTROL, _words(r"\b(?:start|prepare)\s+transaction\b")),
    (StopKind.COMMIT_FUSE, _words(r"\bset\s+constraints\s+all\b|\bdiscard\b")),
    (StopKind.NON_TRANSACTIONAL, _words(r"\bconcurrently\b|\bvacuum\b|\balter\s+system\b")),
    (StopKind.NON_TRANSACTIONAL, _words(r"\b(?:create|drop)\s+(?:database|tablespace)\b")),
    (StopKind.REACHES_PAST, _words(r"\b(?:create|alter|drop)\s+(?:role|user|group|database|server|subscription|tablespace)\b")),
    (StopKind.REACHES_PAST, _words(r"\b(?:reassign|drop)\s+owned\b|\bimport\s+foreign\b|\bprogram\b|(?:^|;)\s*load\b")),
    (StopKind.REACHES_PAST, _words(r"\bgrant\b(?![^;]*\bon\b)|\bcopy\b[^;]*\b(?:from|to)\s+(?!std)")),
    (StopKind.REACHES_PAST, _words(r"\b(?:grant|comment|revoke)\b[^;]*\bon\s+(?:database|tablespace|parameter)\b")),
    (StopKind.REACHES_PAST, re.compile(rf"\b(?:{REACHING_FUNCTIONS.pattern})\s*\(", re.IGNORECASE | re.VERBOSE)),
)
#: In a DO block these two only hold it together.
BLOCK_WORDS = (StopKind.TRANSACTION_CONTROL, _words(r"(?:^|;)\s*(?:begin|end)\s*(?:;|$|work|transaction)"))
