"""What may be sent: reads one captured statement and says why it must not reach the server, if so. It sends nothing itself.

A rehearsal runs beside other databases: what it may not send is in `domain/stops.py`, as data.
"""

from collections.abc import Iterable, Iterator, Sequence

from migration_pipeline.domain import functions, plpgsql, sql, stops, tokens
from migration_pipeline.domain.effects import Statement
from migration_pipeline.domain.sql import Parsed, parse
from migration_pipeline.domain.stops import Stop, StopKind

__all__ = ["Parsed", "Stop", "StopKind", "command", "is_read_only", "keeping_limits", "parse", "shape", "stop_reason"]


def stop_reason(parsed: Parsed, *, rehearsing: bool) -> Stop | None:
    """Return why this text must not be sent, or None. Transaction control comes first, then what cannot run in one."""
    found = list(_stops(parsed, rehearsing=rehearsing))
    return min(found, key=lambda stop: list(StopKind).index(stop.kind)) if found else None


def _stops(parsed: Parsed, *, rehearsing: bool) -> Iterator[Stop]:
    """Yield what the parser sees first: its sentences are the plainer ones."""
    unread: list[tuple[str, bool]] = []
    for text in plpgsql.all_statements(parsed):
        if text.tree is None:
            unread.append((text.sql, False))
        for node in text.nodes:
            if sql.kind(node) != "DoStmt":
                yield from stops.in_node(node, rehearsing=rehearsing)
                continue
            block = plpgsql.body(node)
            unread.append((block.unread, True))
            if block.controls_transaction:
                yield Stop.of(StopKind.TRANSACTION_CONTROL, "COMMIT or ROLLBACK in a DO block")
    for words, is_block in unread:
        yield from stops.in_words(words, rehearsing=rehearsing, is_block=is_block)


def runs_alone(parsed: Parsed) -> str:
    """Return the command that no transaction holds, such as CREATE INDEX CONCURRENTLY, where it may run without one; or ""."""
    if len(parsed.pieces) != 1:
        return ""  # PostgreSQL would make one transaction of them
    node = parsed.pieces[0].statement
    check = stops.ALONE.get(sql.kind(node))
    return check(node) if check else ""


def without_concurrently(parsed: Parsed, *, has_parameters: bool) -> str | None:
    """Return a CREATE INDEX, DROP INDEX, REINDEX or DETACH as a transaction holds it; None: it is another command."""
    if "CONCURRENTLY" not in runs_alone(parsed):
        return None
    word = next(token for _, token in tokens.scan(parsed.sql) or () if tokens.kind(token) == "CONCURRENTLY")
    raw = parsed.sql.encode()
    plain = (raw[: word.start] + raw[word.end :].lstrip()).decode()
    if has_parameters:  # it is sent as it is then: nobody undoes what the driver would
        if "%" in plain.replace("%%", ""):
            return None
        plain = plain.replace("%%", "%")
    return plain if parse(plain).tree is not None else None  # in parentheses it leaves none of PostgreSQL's behind


def adds_label(parsed: Parsed) -> bool:
    """Tell whether a text adds a label to an enum, and nothing else: others can use it once that is committed."""
    return bool(parsed.pieces) and all(
        sql.kind(piece.statement) == "AlterEnumStmt" and not piece.statement.old_val for piece in parsed.pieces
    )


def roads(sent: Iterable[Statement]) -> dict[str, str]:
    """Return what is to be said of the revisions that send what no transaction holds."""
    commands: dict[str, str] = {}
    others: set[str] = set()
    for one in sent:
        parsed = parse(one.sql, one.has_parameters)
        if command := runs_alone(parsed):
            commands.setdefault(one.revision or "", command)
        elif not is_read_only(parsed) and not adds_label(parsed):
            others.add(one.revision or "")
    return {
        revision: f"refused: {command} stands beside what can be rolled back"
        if revision in others
        else f"runs by itself, for {command} cannot be rolled back: --accept-non-transactional"
        for revision, command in commands.items()
    }


def goes_back(parsed: Parsed) -> bool:
    """Tell whether a text undoes what was sent since a savepoint."""
    return any(
        sql.kind(piece.statement) == "TransactionStmt" and piece.statement.kind == tokens.pg.TRANS_STMT_ROLLBACK_TO
        for piece in parsed.pieces
    )


def prepares_transaction(parsed: Parsed) -> bool:
    """Tell whether a text hands its transaction over to the server, where it holds its locks until somebody ends it."""
    return any(sql.kind(node) == "TransactionStmt" and node.kind == tokens.pg.TRANS_STMT_PREPARE for node in parsed.nodes)


#: Settings that would undo what makes a connection read-only, or hide what happens on it.
GUARDED_SETTINGS = frozenset(
    {"session_replication_role", "transaction_read_only", "default_transaction_read_only", "session_authorization"}
)


def is_read_only(parsed: Parsed) -> bool:
    """Tell whether a text only looks: a plain SELECT of known functions, SHOW, EXPLAIN without ANALYZE, an ordinary SET."""
    return bool(parsed.pieces) and all(_reads(node) for node in parsed.nodes)


def _reads(node: sql.Node) -> bool:
    match sql.kind(node):
        case "SelectStmt":
            return not node.HasField("into_clause") and not len(node.locking_clause)
        case "FuncCall":
            name = sql.dotted(node.funcname)
            return functions.is_reading(name.schema, name.name) and not _sets(node, GUARDED_SETTINGS, or_unknown=True)
        case "VariableSetStmt":
            multi = any(item.def_elem.defname == "transaction_read_only" for item in node.args)
            return node.name.lower() not in GUARDED_SETTINGS and node.kind != tokens.pg.VAR_RESET_ALL and not multi
        case "VariableShowStmt":
            return True
        case "ExplainStmt":
            return not sql.is_analyzing(node)
        case _:
            return False


def _sets(call: sql.Node, settings: frozenset[str], *, or_unknown: bool = False) -> bool:
    if sql.dotted(call.funcname).name != "set_config":
        return False
    setting = sql.string_of(call.args[0]) if len(call.args) else None
    return or_unknown if setting is None else setting.lower() in settings


NOTHING = "SELECT NULL WHERE false"
#: The limits of the pipeline's own transaction.
LIMITS = frozenset(
    {"lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout",
     "client_connection_check_interval"}
)  # fmt: skip


def keeping_limits(parsed: Parsed, limits: Sequence[str], *, has_parameters: bool) -> str | None:
    """Return what to send in place of a text that would set other limits than the pipeline's, or None: it sets none.

    `limits` are the statements that set the pipeline's: they follow a RESET ALL, which other settings may need.
    """
    if has_parameters and len(parsed.pieces) > 1 and "%" in parsed.sql:
        if "%" in parsed.sql.replace("%%", ""):
            return None  # its parameters would be lost
        parsed = parse(parsed.sql.replace("%%", "%"), has_parameters=False)
    pieces = [_keeping_limits(piece, limits) for piece in parsed.pieces]
    if all(kept is None for kept in pieces):
        return None
    texts = [piece.text if kept is None else kept for piece, kept in zip(parsed.pieces, pieces, strict=True)]
    return "; ".join(text for text in texts if text) or NOTHING


def _keeping_limits(piece: sql.Piece, limits: Sequence[str]) -> str | None:
    match sql.kind(piece.statement):
        case "VariableSetStmt":
            if piece.statement.kind == tokens.pg.VAR_RESET_ALL:
                return "; ".join(["RESET ALL", *limits])
            return "" if piece.statement.name.lower() in LIMITS else None
        case "SelectStmt":
            calls = [node for node in piece.nodes if sql.kind(node) == "FuncCall"]
            return "" if len(piece.nodes) == 2 and any(_sets(call, LIMITS) for call in calls) else None  # noqa: PLR2004 - itself and its one call
        case _:
            return None


BY_NODE = {"SelectStmt": "SELECT", "InsertStmt": "INSERT", "UpdateStmt": "UPDATE", "DeleteStmt": "DELETE", "MergeStmt": "MERGE"}


def shape(statement: Statement) -> str:
    """Return what two runs of a revision have in common though they meet other rows."""
    return sql.shape(statement.sql, statement.has_parameters)


def command(parsed: Parsed) -> str:
    """Return the short name of a text's first statement, such as `ALTER TABLE`; `unknown` when it cannot be read."""
    if parsed.pieces and (name := BY_NODE.get(sql.kind(parsed.pieces[0].statement))):
        return name
    return leading_words(parsed.pieces[0].text if parsed.pieces else parsed.sql) or "unknown"


VERBS = frozenset(
    """ABORT ALTER ANALYZE BEGIN CALL CHECKPOINT CLOSE CLUSTER COMMENT COMMIT COPY CREATE DEALLOCATE DECLARE DELETE DISCARD DO
    DROP END EXECUTE EXPLAIN FETCH GRANT IMPORT INSERT LISTEN LOAD LOCK MERGE MOVE NOTIFY PREPARE REASSIGN REFRESH REINDEX RELEASE
    RESET REVOKE ROLLBACK SAVEPOINT SECURITY SELECT SET SHOW START TRUNCATE UNLISTEN UPDATE VACUUM VALUES WITH""".split()  # noqa: SIM905 - a list to read, not to scan
)
WITH_OBJECT = frozenset({"ALTER", "CREATE", "DROP", "REFRESH"})
MODIFIERS = frozenset({"OR", "REPLACE", "TEMP", "TEMPORARY", "UNLOGGED", "UNIQUE", "GLOBAL", "LOCAL", "RECURSIVE", "CONSTRAINT"})
TWO_WORDS = frozenset({"MATERIALIZED", "FOREIGN", "EVENT", "DEFAULT", "USER", "ACCESS", "TEXT", "OPERATOR"})
PAIRS = frozenset(
    {("PREPARE", "TRANSACTION"), ("SET", "CONSTRAINTS"), ("SECURITY", "LABEL"), ("DROP", "OWNED"), ("REASSIGN", "OWNED"),
     ("ROLLBACK", "PREPARED"), ("COMMIT", "PREPARED"), ("IMPORT", "FOREIGN"), ("START", "TRANSACTION")}
)  # fmt: skip


def leading_words(text: str) -> str:
    """Return the words of PostgreSQL's own language that a text begins with: never a name, never a value."""
    words: list[str] = stops.WORD.findall(stops.without_quotes(text[:2000]).upper())[:6]
    if not words or words[0] not in VERBS:
        return ""
    if tuple(words[:2]) in PAIRS:
        return " ".join(words[:2])
    if words[0] not in WITH_OBJECT:
        return words[0]
    rest = [word for word in words[1:] if word not in MODIFIERS]
    if not rest or rest[0] not in OBJECTS:
        return words[0]
    return " ".join([words[0], *rest[: 2 if rest[0] in TWO_WORDS and rest[1:2] and rest[1] in OBJECTS else 1]])


OBJECTS = TWO_WORDS | frozenset(
    """AGGREGATE CAST CLASS COLLATION CONVERSION DATABASE DATA DOMAIN EXTENSION FAMILY FUNCTION GROUP INDEX LANGUAGE MAPPING
    METHOD OWNED POLICY PRIVILEGES PROCEDURE PUBLICATION ROLE ROUTINE RULE SCHEMA SEARCH SEQUENCE SERVER STATISTICS
    SUBSCRIPTION SYSTEM TABLE TABLESPACE TRANSFORM TRIGGER TYPE VIEW""".split()  # noqa: SIM905 - a list to read, not to scan
)
