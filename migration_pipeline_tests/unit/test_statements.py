"""What may be sent: transaction control, what cannot run in a transaction, what reaches past the database."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration_pipeline.domain import sql, statements
from migration_pipeline.domain.statements import StopKind


def stop(text, *, rehearsing=True, has_parameters=False):
    return statements.stop_reason(statements.parse(text, has_parameters), rehearsing=rehearsing)


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE t SET a = %(a)s::VARCHAR, b = %(b)s WHERE a = %(a)s",
        "INSERT INTO t VALUES (%s, %s)",
        "SELECT 1 FROM t WHERE id IN %s",
        "INSERT INTO t VALUES %s",
        "SELECT 5 %% 2, 'a%%', %(x)s",
        "SET search_path = %s",
        "SELECT INTERVAL %(x)s",
        "SELECT E'it\\'s %(x)s', \"100%%\" FROM t -- %s\n WHERE a = %(x)s",
    ],
)
def test_a_text_with_placeholders_is_parsed(text):
    assert statements.parse(text, has_parameters=True).tree is not None
    assert statements.parse(text).tree is not None


def test_a_placeholder_of_the_same_name_is_the_same_parameter():
    tree = statements.parse("SELECT %(a)s, %(b)s, %(a)s", has_parameters=True).tree
    numbers = [item.res_target.val.param_ref.number for item in tree.stmts[0].stmt.select_stmt.target_list]
    assert numbers == [1, 2, 1]


def test_a_text_without_parameters_keeps_its_percent_signs():
    parsed = statements.parse("SELECT 5 % 2, 'a%b%%'", has_parameters=False)
    values = [item.res_target.val for item in parsed.tree.stmts[0].stmt.select_stmt.target_list]
    assert values[1].a_const.sval.sval == "a%b%%"


@pytest.mark.parametrize("text", ["FROBNICATE x", "SELECT 'a", "SELECT 1\0; DROP TABLE t", "\ud800", "SELECT (((", "%(a"])
def test_what_cannot_be_parsed_is_unknown(text):
    assert statements.parse(text).tree is None
    assert statements.parse(text, has_parameters=True).tree is None


def test_a_text_that_would_end_the_process_is_not_parsed():
    assert statements.parse("SELECT " + "1+" * 100_000 + "1").tree is None
    assert statements.parse("SELECT " + "(" * 100_000).tree is None


def test_a_long_insert_is_parsed():
    rows = ", ".join(f"({number}, 'name {number}', NULL)" for number in range(50_000))
    assert statements.parse(f"INSERT INTO t VALUES {rows}").tree is not None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("BEGIN", "BEGIN"),
        ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE", "START TRANSACTION"),
        ("COMMIT", "COMMIT"),
        ("commit work and chain", "COMMIT"),
        ("END", "COMMIT"),
        ("ROLLBACK", "ROLLBACK"),
        ("ABORT", "ROLLBACK"),
        ("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION"),
        ("COMMIT PREPARED 'x'", "COMMIT PREPARED"),
        ("ROLLBACK PREPARED 'x'", "ROLLBACK PREPARED"),
        ("SELECT 1; COMMIT", "COMMIT"),
        ("/* x */ COMMIT -- y", "COMMIT"),
        ("DO $$ BEGIN COMMIT; END $$", "COMMIT or ROLLBACK in a DO block"),
        ("DO $$ BEGIN IF true THEN ROLLBACK; END IF; END $$", "COMMIT or ROLLBACK in a DO block"),
        ("DO $$ BEGIN EXECUTE 'COMMIT'; END $$", "COMMIT"),
    ],
)
@pytest.mark.parametrize("rehearsing", [True, False])
def test_transaction_control_is_stopped(text, what, rehearsing):
    assert stop(text, rehearsing=rehearsing) == statements.Stop(
        kind=StopKind.TRANSACTION_CONTROL,
        sentence=f"{what} would end or take over the transaction that the pipeline holds.",
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX CONCURRENTLY"),
        ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)", "CREATE INDEX CONCURRENTLY"),
        ("DROP INDEX CONCURRENTLY i", "DROP INDEX CONCURRENTLY"),
        ("REINDEX INDEX CONCURRENTLY i", "REINDEX CONCURRENTLY"),
        ("REINDEX (CONCURRENTLY) TABLE t", "REINDEX CONCURRENTLY"),
        ("REINDEX SCHEMA s", "REINDEX SCHEMA"),
        ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "ALTER TABLE ... DETACH PARTITION CONCURRENTLY"),
        ("VACUUM", "VACUUM"),
        ("VACUUM FULL t", "VACUUM"),
        ("CREATE DATABASE d", "CREATE DATABASE"),
        ("DROP DATABASE d", "DROP DATABASE"),
        ("CREATE TABLESPACE s LOCATION '/x'", "CREATE TABLESPACE"),
        ("DROP TABLESPACE s", "DROP TABLESPACE"),
        ("ALTER SYSTEM SET work_mem = '1GB'", "ALTER SYSTEM"),
        ("CLUSTER", "CLUSTER without a table"),
    ],
)
@pytest.mark.parametrize("rehearsing", [True, False])
def test_what_cannot_run_in_a_transaction_is_stopped(text, what, rehearsing):
    assert stop(text, rehearsing=rehearsing) == statements.Stop(
        kind=StopKind.NON_TRANSACTIONAL,
        sentence=f"{what} cannot run inside a transaction, so it could not be rolled back.",
    )


@pytest.mark.parametrize("rehearsing", [True, False])
def test_what_breaks_the_commit_fuse_is_stopped(rehearsing):
    guard = "would break the pipeline's guard against a hidden COMMIT."
    assert stop("SET CONSTRAINTS ALL IMMEDIATE", rehearsing=rehearsing) == statements.Stop(
        kind=StopKind.COMMIT_FUSE,
        sentence=f"SET CONSTRAINTS ALL IMMEDIATE {guard} Name the constraints instead: SET CONSTRAINTS name IMMEDIATE.",
    )
    assert stop("DISCARD ALL", rehearsing=rehearsing).sentence == f"DISCARD ALL {guard}"
    assert stop("DISCARD TEMP", rehearsing=rehearsing).sentence == f"DISCARD TEMP {guard}"


REACHING = [
    ("CREATE ROLE r", "CREATE ROLE"),
    ("CREATE USER r", "CREATE ROLE"),
    ("ALTER ROLE r NOLOGIN", "ALTER ROLE"),
    ("ALTER ROLE r SET work_mem = '1GB'", "ALTER ROLE ... SET"),
    ("DROP USER r", "DROP ROLE"),
    ("GRANT a TO b", "GRANT or REVOKE of a role"),
    ("GRANT CONNECT ON DATABASE d TO r", "GRANT or REVOKE on a DATABASE"),
    ("REASSIGN OWNED BY a TO b", "REASSIGN OWNED"),
    ("DROP OWNED BY a", "DROP OWNED"),
    ("ALTER DATABASE d SET work_mem = '1GB'", "ALTER DATABASE ... SET"),
    ("ALTER DATABASE d OWNER TO r", "OWNER TO of a DATABASE"),
    ("ALTER DATABASE d RENAME TO e", "RENAME of a DATABASE"),
    ("ALTER ROLE a RENAME TO b", "RENAME of a ROLE"),
    ("ALTER TABLESPACE s SET (seq_page_cost = 2)", "ALTER TABLESPACE"),
    ("COMMENT ON DATABASE d IS 'x'", "COMMENT ON DATABASE"),
    ("COPY t TO PROGRAM 'mail'", "COPY ... PROGRAM"),
    ("COPY t FROM '/etc/passwd'", "COPY with a file of the server"),
    ("SELECT dblink_exec('host=live', 'DELETE FROM t')", "dblink_exec()"),
    ("CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw", "CREATE SERVER"),
    ("CREATE USER MAPPING FOR r SERVER s", "CREATE USER MAPPING"),
    ("IMPORT FOREIGN SCHEMA a FROM SERVER s INTO b", "IMPORT FOREIGN SCHEMA"),
    ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", "CREATE SUBSCRIPTION"),
    ("DROP SUBSCRIPTION s", "DROP SUBSCRIPTION"),
    ("SELECT pg_terminate_backend(pid) FROM pg_stat_activity", "pg_terminate_backend()"),
    ("SELECT pg_catalog.pg_reload_conf()", "pg_reload_conf()"),
    ("SELECT lo_export(1, '/tmp/x')", "lo_export()"),
    ("SELECT pg_read_file('x')", "pg_read_file()"),
    ("SELECT pg_drop_replication_slot('s')", "pg_drop_replication_slot()"),
    ("SELECT pg_logical_emit_message(true, 'a', 'b')", "pg_logical_emit_message()"),
    ("LOAD 'x'", "LOAD"),
    ("WITH d AS (DELETE FROM t RETURNING 1) SELECT pg_cancel_backend(1)", "pg_cancel_backend()"),
    ("DO $$ BEGIN CREATE ROLE r; END $$", "CREATE ROLE"),
    ("DO $$ BEGIN EXECUTE format('CREATE ROLE %I', name); END $$", "CREATE ROLE"),
    ("DO $$ DECLARE x patients%ROWTYPE; y app.t; BEGIN IF a THEN CREATE ROLE r; END IF; END $$", "CREATE ROLE"),
]


@pytest.mark.parametrize(("text", "what"), REACHING)
def test_what_reaches_past_the_database_is_stopped_in_a_rehearsal_alone(text, what):
    assert stop(text, rehearsing=True) == statements.Stop(
        kind=StopKind.REACHES_PAST,
        sentence=f"{what} reaches past this database, and a rehearsal must touch nothing but its copy.",
    )
    assert stop(text, rehearsing=False) is None


@pytest.mark.parametrize(
    "text",
    [
        "SAVEPOINT a", "RELEASE a", "ROLLBACK TO SAVEPOINT a", "SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS fk IMMEDIATE",
        "DISCARD PLANS", "ANALYZE t", "CLUSTER t", "REINDEX TABLE t", "LISTEN a", "NOTIFY a", "COPY t FROM STDIN", "LOCK t",
        "GRANT SELECT ON t TO r", "CREATE EXTENSION dblink", "SELECT 'COMMIT'", "SELECT 1 -- COMMIT", "TRUNCATE t",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE ROLE r; END $$",
        "CREATE FUNCTION f() RETURNS int RETURN pg_cancel_backend(1)", "ALTER TABLE t DETACH PARTITION p",
        "CREATE TEMP TABLE t (a int) ON COMMIT DROP", "REFRESH MATERIALIZED VIEW CONCURRENTLY v", "SELECT f(a) FROM t",
        "DO $$ BEGIN PERFORM 1; EXCEPTION WHEN others THEN NULL; END $$", "ALTER TYPE e ADD VALUE 'x'", "SELECT FROM WHERE",
    ],
)  # fmt: skip
def test_ordinary_statements_may_be_sent(text):
    assert stop(text, rehearsing=True) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("FROBNICATE; COMMIT", StopKind.TRANSACTION_CONTROL),
        ("FROBNICATE ROLLBACK", StopKind.TRANSACTION_CONTROL),
        ("FROBNICATE CONCURRENTLY", StopKind.NON_TRANSACTIONAL),
        ("FROBNICATE; CREATE ROLE x", StopKind.REACHES_PAST),
        ("FROBNICATE pg_terminate_backend (1)", StopKind.REACHES_PAST),
        ("DO $$ BEGIN this is not PL/pgSQL; COMMIT; END $$", StopKind.TRANSACTION_CONTROL),
        ("DO LANGUAGE plpython3u $$ plpy.execute(CREATE ROLE x) $$", StopKind.REACHES_PAST),
    ],
)
def test_an_unparsable_text_is_stopped_by_its_words(text, kind):
    assert stop(text).kind is kind


@pytest.mark.parametrize("text", ["FROBNICATE", "FROBNICATE 'COMMIT'", "FROBNICATE /* COMMIT */", "FROBNICATE ON COMMIT DROP"])
def test_an_unparsable_text_without_such_words_may_be_sent(text):
    assert stop(text) is None


def test_a_deep_text_is_judged_by_its_words():
    deep = "SELECT " + "NOT " * 200 + "true"
    assert statements.parse(deep).tree is None
    assert stop(deep) is None
    assert stop(f"{deep}; COMMIT").kind is StopKind.TRANSACTION_CONTROL


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a, count(*) FROM t GROUP BY a", "SHOW search_path", "EXPLAIN DELETE FROM t", "SET search_path = a", "VALUES (1)",
        "WITH x AS (SELECT 1) SELECT * FROM x", "SELECT 1; SELECT 2", "SELECT set_config('search_path', 'a', false)",
        "EXPLAIN (ANALYZE off) DELETE FROM t", "SELECT pg_catalog.version()", "SELECT to_regclass(%(t)s)",
    ],
)  # fmt: skip
def test_what_only_looks_is_read_only(text):
    assert statements.is_read_only(statements.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x", "SELECT 1 INTO t", "SELECT 1 FROM t FOR UPDATE", "SELECT f()",
        "EXPLAIN ANALYZE DELETE FROM t", "EXPLAIN (ANALYZE off, ANALYZE) DELETE FROM t", "SET session_replication_role = replica",
        "SET transaction_read_only = off", "SET TRANSACTION READ WRITE", "RESET ALL", "SELECT nextval('s')", "INSERT INTO t VALUES (1)",
        "SELECT set_config('session_replication_role', 'replica', true)", "DO $$ BEGIN END $$", "SELECT 1; DROP TABLE t", "",
        "FROBNICATE", "SELECT query_to_xml('DELETE FROM t', true, true, '')",
    ],
)  # fmt: skip
def test_what_may_write_is_not_read_only(text):
    assert not statements.is_read_only(statements.parse(text))


def test_taking_a_role_changes_no_data():
    assert statements.is_read_only(statements.parse("SET ROLE clinic_owner"))
    assert not statements.is_read_only(statements.parse("SET SESSION AUTHORIZATION clinic_owner"))


def kept(text, *, has_parameters=False):
    return statements.keeping_limits(statements.parse(text, has_parameters), ["SET LOCAL a = 1"], has_parameters=has_parameters)


@pytest.mark.parametrize(
    "text",
    [
        "SET lock_timeout = 0", "set session Lock_Timeout to '0'", "SET LOCAL statement_timeout = '1h'", "RESET lock_timeout",
        "SET statement_timeout TO DEFAULT", "SET transaction_timeout = 0", "SET idle_in_transaction_session_timeout = 0",
        "SET client_connection_check_interval = 0", "SELECT set_config('lock_timeout', '0', false)", "SET lock_timeout = 0;",
        "SELECT pg_catalog.set_config('STATEMENT_TIMEOUT'::text, '0', true)", "SET lock_timeout = 0; SET statement_timeout = 0",
    ],
)  # fmt: skip
def test_a_text_that_only_lifts_a_limit_becomes_harmless(text):
    assert kept(text) == statements.NOTHING


@pytest.mark.parametrize(
    "text",
    [
        "SET search_path = a", "SHOW lock_timeout", "SELECT current_setting('lock_timeout')", "RESET search_path", "SELECT 1", "",
        "SELECT set_config('search_path', '', false)", "SELECT 'SET lock_timeout = 0'", "ALTER ROLE r SET lock_timeout = 0",
        "SELECT set_config('lock_timeout', '0', false) FROM f()", "FROBNICATE",
    ],
)  # fmt: skip
def test_a_text_that_lifts_no_limit_is_sent_as_it_is(text):
    assert kept(text) is None


def test_among_other_statements_only_what_lifts_a_limit_is_left_out():
    assert kept("SET lock_timeout = 0; SELECT '100%' ; RESET statement_timeout;") == "SELECT '100%'"
    assert kept("SET lock_timeout = 0; SELECT '100%%'; SELECT 2", has_parameters=True) == "SELECT '100%'; SELECT 2"
    assert kept("SET lock_timeout = 0; SELECT %(a)s", has_parameters=True) is None


def test_our_limits_follow_a_reset_of_all_settings():
    assert kept("RESET ALL") == "RESET ALL; SET LOCAL a = 1"
    assert kept("SELECT 1; RESET ALL") == "SELECT 1; RESET ALL; SET LOCAL a = 1"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("alter table t add column a int", "ALTER TABLE"),
        ("CREATE UNIQUE INDEX i ON t (a)", "CREATE INDEX"),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE FUNCTION"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", "CREATE MATERIALIZED VIEW"),
        ("CREATE TEMP TABLE t (a int)", "CREATE TABLE"),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "INSERT"),
        ("/* why */ DELETE FROM t", "DELETE"),
        ("SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS"),
        ("DROP OWNED BY r", "DROP OWNED"),
        ("UPDATE 'Jane", "UPDATE"),
        ("Jane Doe", "unknown"),
    ],
)
def test_a_command_has_a_short_name(text, name):
    assert statements.command(statements.parse(text)) == name


def test_a_view_of_deleting_statements_does_not_run_them():
    parsed = statements.parse("CREATE RULE r AS ON INSERT TO t DO INSTEAD DELETE FROM u")
    assert [sql.kind(node) for node in parsed.nodes] == ["RuleStmt"]


@given(st.text())
def test_no_text_makes_parsing_raise(text):
    for has_parameters in (None, True, False):
        for wrapped in (text, f"SELECT {text}", f"DO $x$ BEGIN {text}; END $x$", f"DELETE FROM t WHERE a = '{text}'"):
            parsed = statements.parse(wrapped, has_parameters)
            statements.stop_reason(parsed, rehearsing=True)
            statements.is_read_only(parsed)
            statements.keeping_limits(parsed, [], has_parameters=bool(has_parameters))
            statements.command(parsed)


WORDS = st.lists(
    st.sampled_from(
        ["SELECT", "1", "'x'", "%s", "%(a)s", "%%", "(", ")", ";", "$$", "--\n", "COMMIT", "DO", "BEGIN", "END", "t", ","]
    )
)


@given(WORDS)
def test_no_row_of_tokens_makes_parsing_raise(words):
    parsed = statements.parse(" ".join(words))
    statements.stop_reason(parsed, rehearsing=True)
