-- @ drop_table: A table with rows goes.
DROP TABLE letters;
-- @ drop_table_cascade: Its rows go, and a foreign key that points at it.
DROP TABLE wards CASCADE;
-- @ drop_two_tables: Both are lost, whatever the first one held.
DROP TABLE empty_table, archive;
-- @ drop_empty_table: It held no row, but could have.
DROP TABLE empty_table;
-- @ drop_table_if_exists: It exists.
DROP TABLE IF EXISTS archive;
-- @ drop_table_that_is_missing: Nothing of the name is there.
DROP TABLE IF EXISTS no_such_table;
-- @ drop_table_in_missing_schema: The twin in public stays.
DROP TABLE IF EXISTS nowhere_schema.codes;
-- @ drop_qualified_twin: The namesake in another schema goes.
DROP TABLE billing.codes;
-- @ drop_by_search_path: The search path decides which twin it is.
SET LOCAL search_path TO billing; DROP TABLE codes;
-- @ drop_odd_name: A name of dots, capitals and a percent sign.
DROP TABLE "Odd.Table%";
-- @ drop_named_like_a_command: The table is called "drop table".
DROP TABLE "drop table";
-- @ drop_in_lower_case: Case and line breaks mean nothing.
drop
  table archive;
-- @ drop_behind_comment: A comment stands between the words.
DROP /* only a test */ TABLE archive;
-- @ drop_second_statement: The second of three statements.
SELECT 1; DROP TABLE archive; SELECT 2;
-- @ drop_created_table: The plan made it itself.
CREATE TABLE scratch (id int); INSERT INTO scratch VALUES (1); DROP TABLE scratch;
-- @ drop_created_if_not_exists: IF NOT EXISTS meant the table that was there.
CREATE TABLE IF NOT EXISTS archive (id int); DROP TABLE archive;
-- @ drop_created_if_not_exists_fresh: There was none, so the plan made it.
CREATE TABLE IF NOT EXISTS scratch (id int); DROP TABLE scratch;
-- @ drop_temp_table: It is gone at the session's end anyway.
CREATE TEMP TABLE scratch AS SELECT * FROM patients; DROP TABLE scratch;
-- @ temp_table_hides_real_one: The temporary namesake goes, the real one stays.
CREATE TEMP TABLE codes (id int); DROP TABLE codes;
-- @ temp_then_real: The temporary namesake is gone first, the real table after it.
CREATE TEMP TABLE archive (id int); DROP TABLE archive; DROP TABLE archive;
-- @ drop_and_create_again: The new table of the same name is empty.
DROP TABLE archive; CREATE TABLE archive (id int PRIMARY KEY, what text);
-- @ copy_and_drop: The rows live on in a new table; the old one is gone all the same.
CREATE TABLE archive_new AS SELECT * FROM archive; DROP TABLE archive; ALTER TABLE archive_new RENAME TO archive;
-- @ rename_and_drop: Under a new name it is still the same table.
ALTER TABLE archive RENAME TO archive_old; DROP TABLE archive_old;
-- @ swap_by_rename: The plan's own table goes after two renames.
CREATE TABLE codes_new (id int); ALTER TABLE codes RENAME TO codes_old; ALTER TABLE codes_new RENAME TO codes; DROP TABLE codes;
-- @ swap_by_rename_loses: The old table goes after two renames.
CREATE TABLE codes_new (id int); ALTER TABLE codes RENAME TO codes_old; ALTER TABLE codes_new RENAME TO codes; DROP RULE ruled_insert ON ruled; DROP TABLE codes_old;
-- @ rename_table: A name is no data.
ALTER TABLE archive RENAME TO old_archive;
-- @ move_table: It changes its schema.
ALTER TABLE archive SET SCHEMA billing;
-- @ drop_partition: A partition goes with its rows.
DROP TABLE events_2023;
-- @ drop_partitioned: The partitions go with their table.
DROP TABLE events;
-- @ drop_parent: CASCADE takes the child table along.
DROP TABLE places CASCADE;
-- @ detach_partition: Its rows stay in a table of their own.
ALTER TABLE events DETACH PARTITION events_2023;
-- @ detach_and_drop: Detached first, then gone.
ALTER TABLE events DETACH PARTITION events_2024; DROP TABLE events_2024;
-- @ attach_partition: A new partition is attached.
CREATE TABLE events_2027 (id int, at date, what text, PRIMARY KEY (id, at));
ALTER TABLE events ATTACH PARTITION events_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
-- @ no_inherit: The child becomes a table of its own.
ALTER TABLE towns NO INHERIT places;
-- @ drop_schema_cascade: Everything in it goes.
DROP SCHEMA billing CASCADE;
-- @ drop_empty_schema: Nothing is in it.
DROP SCHEMA empty_schema;
-- @ drop_empty_schema_cascade: Nothing is in it, whatever CASCADE would take.
DROP SCHEMA empty_schema CASCADE;
-- @ drop_missing_schema: There is none of the name.
DROP SCHEMA IF EXISTS staging CASCADE;
-- @ drop_created_schema: The plan made it and what is in it.
CREATE SCHEMA staging; CREATE TABLE staging.t (id int); DROP SCHEMA staging CASCADE;
-- @ drop_created_schema_with_moved_table: A table of before was moved into it.
CREATE SCHEMA staging; ALTER TABLE archive SET SCHEMA staging; DROP SCHEMA staging CASCADE;
-- @ drop_table_in_created_schema: It was moved there, and is as old as before.
CREATE SCHEMA staging; ALTER TABLE archive SET SCHEMA staging; DROP TABLE staging.archive;
-- @ rename_schema: A name is no data.
ALTER SCHEMA billing RENAME TO accounts;
-- @ drop_view: A view stores nothing.
DROP VIEW ward_titles;
-- @ drop_view_cascade: Nothing depends on it.
DROP VIEW ward_titles CASCADE;
-- @ replace_view: It shows other columns now.
CREATE OR REPLACE VIEW ward_titles AS SELECT code, title, beds FROM wards;
-- @ drop_matview: The rows that it stores go.
DROP MATERIALIZED VIEW census;
-- @ drop_unfilled_matview: It never held a row, but could have.
DROP MATERIALIZED VIEW never_filled;
-- @ refresh_matview: It reads the same after.
REFRESH MATERIALIZED VIEW census;
-- @ refresh_stale_matview: It held a row that its tables have no more.
REFRESH MATERIALIZED VIEW past_census;
-- @ refresh_with_no_data: Its rows go.
REFRESH MATERIALIZED VIEW past_census WITH NO DATA;
-- @ fill_matview: It holds rows for the first time.
REFRESH MATERIALIZED VIEW never_filled;
-- @ refresh_grown_matview: Its tables have a row more.
REFRESH MATERIALIZED VIEW grown_view;
-- @ refresh_grown_matview_concurrently: The row is added to those that are there.
REFRESH MATERIALIZED VIEW CONCURRENTLY grown_view;
-- @ refresh_stale_matview_concurrently: It held a row that its tables have no more.
REFRESH MATERIALIZED VIEW CONCURRENTLY past_census;
-- @ refresh_after_delete: The view loses what the table loses.
DELETE FROM grown WHERE id = 2; REFRESH MATERIALIZED VIEW grown_view;
-- @ refresh_twice: Without its rows, and with them again.
REFRESH MATERIALIZED VIEW census WITH NO DATA; REFRESH MATERIALIZED VIEW census;
-- @ refresh_created_matview: The plan made it.
CREATE MATERIALIZED VIEW m AS SELECT 1 AS n WITH NO DATA; REFRESH MATERIALIZED VIEW m; REFRESH MATERIALIZED VIEW m WITH NO DATA;
-- @ refresh_in_block: A block refreshes it.
DO $$ BEGIN EXECUTE 'REFRESH MATERIALIZED VIEW past_census'; END $$;
-- @ matview_renamed: Its rows stay.
ALTER MATERIALIZED VIEW past_census RENAME TO census_of_the_past;
-- @ matview_made_again: The rows of the old one go.
DROP MATERIALIZED VIEW past_census; CREATE MATERIALIZED VIEW past_census AS SELECT what FROM past;
-- @ drop_index: An index can be built again.
DROP INDEX patients_name;
-- @ drop_index_cascade: Nothing depends on it.
DROP INDEX patients_name CASCADE;
-- @ drop_statistics: They can be gathered again.
DROP STATISTICS patient_stats;
-- @ drop_foreign_table: The way to its rows goes.
DROP FOREIGN TABLE lab;
-- @ drop_foreign_server: The foreign table goes with its server.
DROP SERVER lab_server CASCADE;
-- @ drop_foreign_wrapper: Server and foreign table go with it.
DROP FOREIGN DATA WRAPPER nowhere CASCADE;
-- @ drop_owned: The table of the role goes.
DROP OWNED BY corpus_intern;
-- @ drop_owned_of_nothing: The role owns nothing, it loses rights alone.
DROP OWNED BY corpus_guest;
-- @ reassign_owned: A table gets another owner.
REASSIGN OWNED BY corpus_intern TO CURRENT_USER;
-- @ drop_function: Nothing depends on it.
DROP FUNCTION kind_words();
-- @ drop_function_cascade: The generated column that calls it goes.
DROP FUNCTION shout(text) CASCADE;
-- @ drop_function_cascade_of_nothing: Nothing depends on it.
DROP FUNCTION kind_words() CASCADE;
-- @ drop_trigger_function: Its trigger goes, no data.
DROP FUNCTION forget_archive() CASCADE;
-- @ drop_collation_cascade: The column of the collation goes.
DROP COLLATION reading CASCADE;
-- @ drop_constraint: Rows stay as they are.
ALTER TABLE visits DROP CONSTRAINT visits_patient_fkey;
-- @ drop_primary_key_cascade: The foreign keys go with it, no rows.
ALTER TABLE wards DROP CONSTRAINT wards_pkey CASCADE;
-- @ drop_in_savepoint: The loss is rolled back.
SAVEPOINT a; DROP TABLE archive; ROLLBACK TO SAVEPOINT a;
-- @ create_in_savepoint: The plan's own table is rolled back, then the old one goes.
SAVEPOINT a; DROP TABLE archive; CREATE TABLE archive (id int); ROLLBACK TO SAVEPOINT a; DROP TABLE archive;
-- @ delete_in_savepoint: The loss is rolled back, the counters keep it.
SAVEPOINT a; DELETE FROM archive; ROLLBACK TO SAVEPOINT a;
-- @ delete_in_released_savepoint: A savepoint that is released undoes nothing.
SAVEPOINT a; DELETE FROM archive; RELEASE SAVEPOINT a;
-- @ delete_before_inner_savepoint: Only the inner savepoint is rolled back.
SAVEPOINT a; DELETE FROM archive; SAVEPOINT b; DROP TABLE same_codes; ROLLBACK TO b; RELEASE a;
-- @ delete_in_outer_savepoint: The outer one takes the released one back with it.
SAVEPOINT a; SAVEPOINT b; DELETE FROM archive; RELEASE b; ROLLBACK TO a;
-- @ delete_after_rollback_to_savepoint: What comes after it stands.
SAVEPOINT a; DELETE FROM codes; ROLLBACK TO a; DELETE FROM archive;
-- @ savepoint_of_one_name: Of two savepoints of a name, the later one is meant.
SAVEPOINT a; DELETE FROM archive; SAVEPOINT a; DROP TABLE same_codes; ROLLBACK TO a;
-- @ setval_in_savepoint: No rollback sets a sequence back.
SAVEPOINT a; SELECT setval('chart_no', 1); ROLLBACK TO a;
-- @ set_unlogged: It keeps its rows until a crash.
ALTER TABLE unlogged_later SET UNLOGGED;
-- @ cluster: The rows are only sorted anew.
CLUSTER patients USING patients_name;
-- @ create_table: Something new.
CREATE TABLE beds (id serial PRIMARY KEY, ward text REFERENCES wards ON DELETE CASCADE);
-- @ create_index: Something new.
CREATE INDEX ON visits (patient);
-- @ grant: A right of that name does nothing.
GRANT DELETE, TRUNCATE, UPDATE ON ALL TABLES IN SCHEMA public TO corpus_guest;
-- @ revoke: A right less.
REVOKE ALL ON patients FROM corpus_guest;
-- @ comment: Words about a drop.
COMMENT ON TABLE patients IS 'never DROP TABLE patients; DELETE FROM patients';
-- @ in_line_comment: It is a comment.
SELECT 1 -- DROP TABLE patients;
;
-- @ in_block_comment: It is a comment in a comment.
SELECT /* DELETE FROM patients; /* TRUNCATE patients; */ */ 1;
-- @ in_literal: It is a text.
INSERT INTO archive VALUES (9, 'DROP TABLE patients; DELETE FROM visits; TRUNCATE codes');
-- @ in_dollar_literal: It is a text in dollars.
INSERT INTO archive VALUES (9, $q$'; DROP TABLE patients; --$q$);
-- @ in_identifier: A column of the name.
ALTER TABLE archive ADD COLUMN "; DROP TABLE patients" text;
-- @ in_function_body: The function is made, not called.
CREATE FUNCTION later() RETURNS void LANGUAGE sql AS 'DELETE FROM patients';
-- @ function_made_and_called: The function is called.
CREATE FUNCTION later() RETURNS void LANGUAGE sql AS 'DELETE FROM codes'; SELECT later();
-- @ prepare_only: It is prepared, not executed.
PREPARE gone AS DELETE FROM codes; DEALLOCATE gone;
-- @ prepare_and_execute: It is executed.
PREPARE gone AS DELETE FROM codes; EXECUTE gone;
-- @ prepare_and_explain: It is explained, not executed.
PREPARE gone AS DELETE FROM codes; EXPLAIN EXECUTE gone;
-- @ prepare_and_analyze: It is executed to be explained.
PREPARE gone AS DELETE FROM codes; EXPLAIN ANALYZE EXECUTE gone;
-- @ prepare_and_execute_in_block: A block executes it.
PREPARE gone AS DELETE FROM codes; DO $$ BEGIN EXECUTE 'EXECUTE gone'; END $$;
-- @ prepare_two_and_execute_harmless: The other one of the two is executed.
PREPARE gone AS DELETE FROM codes; PREPARE kept AS SELECT count(*) FROM codes; EXECUTE kept;
-- @ explain: It is explained, not executed.
EXPLAIN DELETE FROM codes;
-- @ explain_analyze: It is executed to be explained.
EXPLAIN ANALYZE DELETE FROM codes;
-- @ create_trigger: What a trigger deletes later is no loss now.
CREATE TRIGGER forget_too AFTER INSERT ON codes FOR EACH ROW EXECUTE FUNCTION forget_archive();
-- @ create_rule: What a rule does later is no loss now.
CREATE RULE gone AS ON INSERT TO codes DO ALSO DELETE FROM archive;
-- @ extension_kept: It is there.
CREATE EXTENSION IF NOT EXISTS hstore;
-- @ drop_extension_cascade: The column of its type goes.
DROP EXTENSION hstore CASCADE;
-- @ drop_missing_extension: There is none of the name.
DROP EXTENSION IF EXISTS pg_trgm CASCADE;
-- @ drop_created_extension: The plan made it.
CREATE EXTENSION fuzzystrmatch; DROP EXTENSION fuzzystrmatch;
