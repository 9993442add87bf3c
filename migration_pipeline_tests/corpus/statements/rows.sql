-- @ delete_all: Every row goes.
DELETE FROM archive;
-- @ delete_some: Some rows go.
DELETE FROM invoices WHERE status = 'paid';
-- @ delete_none: No row is like that.
DELETE FROM invoices WHERE status = 'no such status';
-- @ delete_from_empty: There is no row.
DELETE FROM empty_table;
-- @ delete_using: The join decides.
DELETE FROM codes USING new_codes n WHERE n.id = codes.id;
-- @ delete_cascades: Rows of another table go too.
DELETE FROM patients WHERE id = 5;
-- @ delete_only_cascade_matters: The table is a parent, its child rows go with it.
DELETE FROM ONLY places;
-- @ delete_set_null: A reference is set to NULL by its foreign key.
DELETE FROM patients WHERE id = 7;
-- @ delete_refused_by_trigger: A trigger keeps every row.
DELETE FROM guarded;
-- @ delete_refused_by_rule: A rule keeps every row.
DELETE FROM ruled;
-- @ delete_through_view: The view's table loses the row.
DELETE FROM viewed_view WHERE id = 1;
-- @ delete_from_partitions: Through the partitioned table.
DELETE FROM events WHERE at < '2024-01-01';
-- @ delete_from_temp: The rows are copies.
CREATE TEMP TABLE t AS SELECT * FROM patients; DELETE FROM t;
-- @ delete_own_rows: The plan inserted them.
CREATE TABLE t AS SELECT * FROM patients; DELETE FROM t WHERE id > 3;
-- @ delete_inserted_row: The plan inserted it into a table of before.
INSERT INTO archive VALUES (99, 'new'); DELETE FROM archive WHERE id = 99;
-- @ delete_inserted_row_and_another: Of the two, one was there before.
INSERT INTO archive VALUES (99, 'new'); DELETE FROM archive WHERE id IN (1, 99);
-- @ delete_and_put_back: The row is there again as it was.
DELETE FROM codes WHERE id = 1; INSERT INTO codes VALUES (1, 'one', 3);
-- @ delete_and_put_back_other: The row of that key holds something else.
DELETE FROM codes WHERE id = 1; INSERT INTO codes VALUES (1, 'uno', 3);
-- @ delete_and_put_back_elsewhere: Its key is another now.
DELETE FROM codes WHERE id = 1; INSERT INTO codes VALUES (11, 'one', 3);
-- @ delete_keyless_and_put_back_fuller: The row is there again, and a NULL of it is filled.
DELETE FROM keyless WHERE who = 'cid'; INSERT INTO keyless VALUES ('cid', 'open');
-- @ delete_duplicates: None is there.
DELETE FROM codes a USING codes b WHERE a.id = b.id AND a.ctid > b.ctid;
-- @ delete_version_row: Alembic's own row, as a merge revision deletes it.
DELETE FROM alembic_version WHERE version_num = 'other';
-- @ delete_twin_version_row: Another schema's table of the same name is data.
DELETE FROM billing.alembic_version;
-- @ cte_delete: A DELETE in a WITH.
WITH gone AS (DELETE FROM codes WHERE id = 1 RETURNING *) SELECT count(*) FROM gone;
-- @ cte_delete_moves: The row moves to another table; its own has it no more.
WITH gone AS (DELETE FROM archive RETURNING *) INSERT INTO keyless SELECT id::text, what FROM gone;
-- @ cte_delete_nested: Two levels down.
WITH a AS (SELECT 1), b AS (WITH c AS (SELECT 2) SELECT * FROM c), d AS (DELETE FROM archive RETURNING id) SELECT * FROM b;
-- @ cte_harmless: Named after what it does not do.
WITH deleted AS (SELECT * FROM codes) SELECT count(*) FROM deleted;
-- @ truncate: Every row goes.
TRUNCATE codes;
-- @ truncate_cascade: Rows of the tables that refer to it go too.
TRUNCATE wards CASCADE;
-- @ truncate_several: The empty one and the full one.
TRUNCATE empty_table, archive;
-- @ truncate_empty: There is no row.
TRUNCATE empty_table;
-- @ truncate_partition: The rows of one partition.
TRUNCATE events_2024;
-- @ truncate_restart: The rows go, and where the identity had counted to.
TRUNCATE visits RESTART IDENTITY;
-- @ truncate_created: The plan made it.
CREATE TABLE t AS SELECT * FROM codes; TRUNCATE t;
-- @ truncate_and_fill_again: The same rows are put back.
CREATE TEMP TABLE t AS SELECT * FROM codes; TRUNCATE codes; INSERT INTO codes SELECT * FROM t;
-- @ truncate_and_fill_partly: One row of three is not put back.
CREATE TEMP TABLE t AS SELECT * FROM codes; TRUNCATE codes; INSERT INTO codes SELECT * FROM t WHERE id > 1;
-- @ truncate_and_fill_with_others: As many rows, and one value is another.
CREATE TEMP TABLE t AS SELECT * FROM codes; TRUNCATE codes; INSERT INTO codes SELECT id, upper(meaning), hits FROM t;
-- @ truncate_and_fill_with_more: The same rows, and one more.
CREATE TEMP TABLE t AS SELECT * FROM codes; TRUNCATE codes; INSERT INTO codes SELECT * FROM t; INSERT INTO codes VALUES (4, 'four');
-- @ update_all: Every value is another one.
UPDATE archive SET what = 'x';
-- @ update_to_null: The values go.
UPDATE patients SET allergy = NULL;
-- @ update_no_row: No row is like that.
UPDATE patients SET allergy = NULL WHERE id < 0;
-- @ update_same: Each gets its own value.
UPDATE patients SET allergy = allergy, weight = weight;
-- @ update_same_by_luck: Every name is in lower case already.
UPDATE patients SET name = lower(name);
-- @ update_upper: Every name changes.
UPDATE patients SET name = upper(name);
-- @ update_backfill: Only NULLs are filled.
UPDATE patients SET remark = 'none' WHERE remark IS NULL;
-- @ update_backfill_beside: Only NULLs of one column are filled, the other one is overwritten.
UPDATE patients SET remark = 'none', name = '?' WHERE remark IS NULL;
-- @ update_backfill_or: Rows that have the value come along.
UPDATE patients SET remark = 'none' WHERE remark IS NULL OR allergy IS NOT NULL;
-- @ update_coalesce: Only NULLs are filled.
UPDATE patients SET allergy = coalesce(allergy, 'unknown');
-- @ update_new_column: The plan made the column.
ALTER TABLE patients ADD COLUMN fresh text; UPDATE patients SET fresh = name || ' ' || coalesce(allergy, '');
-- @ update_renamed_new_column: The new column has the old one's name, the old one lives on.
ALTER TABLE codes RENAME COLUMN meaning TO old_meaning; ALTER TABLE codes ADD COLUMN meaning text; UPDATE codes SET meaning = 'x';
-- @ update_renamed_table: The overwritten table is renamed after.
UPDATE archive SET what = 'y'; ALTER TABLE archive RENAME TO old_archive;
-- @ update_from: The join brings other values.
UPDATE codes SET meaning = n.meaning FROM new_codes n WHERE n.id = codes.id;
-- @ update_from_same: The join brings the same values.
UPDATE codes SET meaning = s.meaning FROM same_codes s WHERE s.id = codes.id;
-- @ update_there_and_back: What it changes it changes back.
UPDATE codes SET hits = hits + 1; UPDATE codes SET hits = hits - 1;
-- @ update_keys: Rows are under other keys.
UPDATE codes SET id = id + 1000;
-- @ update_key_and_value: Neither the key nor the value of before is there.
UPDATE codes SET id = id + 1000, meaning = 'z';
-- @ update_swaps_keyless: Two rows without a key swap a value.
UPDATE keyless SET result = CASE result WHEN 'positive' THEN 'negative' WHEN 'negative' THEN 'positive' END;
-- @ update_keyless_backfill: A NULL in a table without a key is filled.
UPDATE keyless SET result = 'open' WHERE result IS NULL;
-- @ update_keyless_backfill_all: NULLs in several columns are filled, in rows that look alike.
UPDATE keyless_notes SET ward = coalesce(ward, 'c'), nurse = coalesce(nurse, 'cid'), note = coalesce(note, 'none');
-- @ update_keyless_fill_and_lose: One value is filled in, another one is overwritten.
UPDATE keyless_notes SET nurse = coalesce(nurse, 'cid'), ward = CASE nurse WHEN 'bob' THEN 'c' ELSE ward END;
-- @ update_keyless_moves_value: A value moves to the other column of its row.
UPDATE keyless_notes SET ward = nurse, nurse = NULL WHERE ward IS NULL AND nurse IS NOT NULL;
-- @ update_keyless_trades: A row takes the values of one that loses them.
UPDATE keyless_notes SET ward = CASE WHEN nurse = 'bob' THEN NULL ELSE 'b' END, nurse = CASE WHEN nurse = 'bob' THEN NULL ELSE 'bob' END
WHERE nurse = 'bob' OR (ward IS NULL AND nurse IS NULL);
-- @ update_row_syntax: Several columns at once.
UPDATE codes SET (meaning, hits) = ('q', 0);
-- @ update_refused_by_trigger: A trigger keeps every row.
UPDATE guarded SET v = 'z';
-- @ update_through_view: The view's table is changed.
UPDATE viewed_view SET v = 'view';
-- @ update_json_key: One key of many changes.
UPDATE patients SET extra = extra || '{"i": 0}';
-- @ update_json_adds_key: The value is another one, though all of it is in there.
UPDATE patients SET extra = extra || '{"new": true}';
-- @ update_array_element: One element changes.
UPDATE patients SET tags[1] = 'z';
-- @ update_composite_field: One field changes.
UPDATE patients SET home.town = 'z';
-- @ update_moves_partition: The key that decides changes, the row moves.
UPDATE events SET at = '2024-03-03' WHERE id = 1;
-- @ update_in_cte: An UPDATE in a WITH.
WITH changed AS (UPDATE codes SET meaning = 'cte' RETURNING id) SELECT count(*) FROM changed;
-- @ on_conflict_update: The row of before is overwritten.
INSERT INTO codes VALUES (1, 'uno', 0) ON CONFLICT (id) DO UPDATE SET meaning = EXCLUDED.meaning;
-- @ on_conflict_update_no_conflict: No row is in the way.
INSERT INTO codes VALUES (50, 'fifty', 0) ON CONFLICT (id) DO UPDATE SET meaning = EXCLUDED.meaning;
-- @ on_conflict_update_fills_null: Only a NULL is filled.
INSERT INTO codes VALUES (2, 'two', 0) ON CONFLICT (id) DO UPDATE SET meaning = coalesce(codes.meaning, EXCLUDED.meaning);
-- @ on_conflict_nothing: The row of before stays.
INSERT INTO codes VALUES (1, 'uno', 0) ON CONFLICT DO NOTHING;
-- @ on_conflict_same: It is overwritten with itself.
INSERT INTO codes VALUES (1, 'one', 3) ON CONFLICT (id) DO UPDATE SET meaning = EXCLUDED.meaning;
-- @ insert: Rows more.
INSERT INTO codes SELECT i, 'c' || i FROM generate_series(10, 20) i;
-- @ insert_fires_delete: A trigger deletes another table's rows.
INSERT INTO audit VALUES (1);
-- @ insert_fires_delete_at_commit: A deferred trigger deletes at COMMIT.
INSERT INTO late_audit VALUES (1);
-- @ insert_trigger_disabled: The trigger is off.
ALTER TABLE audit DISABLE TRIGGER forget; INSERT INTO audit VALUES (1); ALTER TABLE audit ENABLE TRIGGER forget;
-- @ insert_rule_deletes: A rule deletes another table's rows.
INSERT INTO ruled VALUES (2, 'b');
-- @ merge_delete: Matched rows go.
MERGE INTO codes c USING new_codes n ON c.id = n.id WHEN MATCHED THEN DELETE;
-- @ merge_delete_none: Nothing matches.
MERGE INTO codes c USING new_codes n ON c.id = n.id + 1000 WHEN MATCHED THEN DELETE;
-- @ merge_update: Matched rows are overwritten.
MERGE INTO codes c USING new_codes n ON c.id = n.id WHEN MATCHED THEN UPDATE SET meaning = n.meaning;
-- @ merge_update_same: They are overwritten with what they hold.
MERGE INTO codes c USING same_codes n ON c.id = n.id WHEN MATCHED THEN UPDATE SET meaning = n.meaning;
-- @ merge_insert: Rows more.
MERGE INTO codes c USING new_codes n ON c.id = n.id WHEN NOT MATCHED THEN INSERT VALUES (n.id, n.meaning);
-- @ merge_nothing: It says so.
MERGE INTO codes c USING new_codes n ON c.id = n.id WHEN MATCHED THEN DO NOTHING;
-- @ merge_by_source [17]: Rows that have no match go.
MERGE INTO codes c USING new_codes n ON c.id = n.id WHEN NOT MATCHED BY SOURCE THEN DELETE;
-- @ do_delete: A DELETE in a block.
DO $$ BEGIN DELETE FROM archive; END $$;
-- @ do_execute: A text is executed in a block.
DO $$ BEGIN EXECUTE 'DROP TABLE archive'; END $$;
-- @ do_execute_built: The text is built of pieces.
DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE tablename = 'archive' LOOP
  EXECUTE format('TRUNCATE %I', t); END LOOP; END $$;
-- @ do_execute_built_harmless: The text is built of pieces, and only looks.
DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'billing' LOOP
  EXECUTE format('ANALYZE billing.%I', t); END LOOP; END $$;
-- @ do_condition_false: The branch is never taken.
DO $$ BEGIN IF (SELECT count(*) FROM codes) = 0 THEN DROP TABLE codes; END IF; END $$;
-- @ do_rolled_back: The block's exception undoes it.
DO $$ BEGIN BEGIN DELETE FROM archive; RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN NULL; END; END $$;
-- @ do_rolled_back_and_deletes: One DELETE is undone, the other one stands.
DO $$ BEGIN DELETE FROM archive WHERE id = 1; BEGIN DELETE FROM archive; RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN NULL; END; END $$;
-- @ do_drop_rolled_back: The block's exception undoes the drop.
DO $$ BEGIN DROP TABLE archive; RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN NULL; END $$;
-- @ do_condition_true: The branch is taken.
DO $$ BEGIN IF (SELECT count(*) FROM same_codes) > 0 THEN DROP TABLE same_codes; END IF; END $$;
-- @ do_truncate_rolled_back: The block's exception undoes it, and the rows stay.
DO $$ BEGIN TRUNCATE codes; RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN NULL; END $$;
-- @ do_insert_undone_and_delete: What is undone is counted as much as what is lost.
DO $$ BEGIN BEGIN INSERT INTO archive VALUES (8, 'a'), (9, 'b'); RAISE EXCEPTION 'no'; EXCEPTION WHEN OTHERS THEN NULL; END; END $$;
DELETE FROM archive WHERE id = 1;
-- @ do_harmless: A block that makes a type.
DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_type WHERE typname = 'colour') THEN CREATE TYPE colour AS ENUM ('red'); END IF; END $$;
-- @ do_raise: It only says something about deleting.
DO $$ BEGIN RAISE NOTICE 'DELETE FROM patients'; END $$;
-- @ function_deletes: A call deletes.
SELECT purge();
-- @ function_updates: A call overwrites.
SELECT blank(id) FROM codes;
-- @ function_harmless: A call of a function of the database that only reads.
SELECT kind_words();
-- @ procedure_truncates: A call empties a table.
CALL wipe_codes();
-- @ procedure_harmless: A call that does nothing.
CALL do_little();
-- @ perform_in_do: A block calls the function that deletes.
DO $$ BEGIN PERFORM purge(); END $$;
-- @ fk_cascade_added: Protection changes, no row does.
ALTER TABLE invoices DROP CONSTRAINT invoices_patient_fkey,
  ADD CONSTRAINT invoices_patient_fkey FOREIGN KEY (patient) REFERENCES patients ON DELETE CASCADE;
-- @ setval_back: It will give out numbers again.
SELECT setval('chart_no', 1, false);
-- @ setval_ahead: It goes on from further up.
SELECT setval('chart_no', 1000);
-- @ setval_where_it_is: It stays where it is.
SELECT setval('chart_no', 30);
-- @ setval_one_back: Only the last number is given out again.
SELECT setval('chart_no', 30, false);
-- @ setval_to_max: As everybody writes it; the rows reach as far.
SELECT setval(pg_get_serial_sequence('patients', 'id'), (SELECT max(id) FROM patients));
-- @ setval_descending_back: It counts down, so up is back.
SELECT setval('down_no', -1);
-- @ setval_descending_ahead: It counts down, so further down is ahead.
SELECT setval('down_no', -100);
-- @ nextval: It goes on.
SELECT nextval('chart_no');
-- @ restart_sequence: It counts from the beginning again.
ALTER SEQUENCE chart_no RESTART;
-- @ restart_sequence_ahead: It goes on from further up.
ALTER SEQUENCE chart_no RESTART WITH 500;
-- @ restart_fresh_sequence: It never gave out a number.
ALTER SEQUENCE fresh_no RESTART;
-- @ restart_twin_sequence: In another schema.
ALTER SEQUENCE billing.invoice_no RESTART WITH 1;
-- @ sequence_increment: It counts on in other steps.
ALTER SEQUENCE chart_no INCREMENT BY 10;
-- @ sequence_increment_fresh: It has given out no number yet.
ALTER SEQUENCE fresh_no INCREMENT BY 10;
-- @ drop_sequence: Where it had counted to goes.
DROP SEQUENCE chart_no;
-- @ drop_created_sequence: The plan made it.
CREATE SEQUENCE s; SELECT nextval('s'); DROP SEQUENCE s;
-- @ lo_unlink: The large object goes.
SELECT lo_unlink(4711);
-- @ lo_unlink_by_rows: Those that the rows name.
SELECT lo_unlink(scan) FROM letters WHERE id = 1;
-- @ lo_unlink_none: No row names one.
SELECT lo_unlink(scan) FROM letters WHERE id = 99;
-- @ lo_unlink_created: The plan made it.
SELECT lo_from_bytea(4800, 'new'); SELECT lo_unlink(4800);
-- @ lo_unlink_made_again: Its number is given to another one.
SELECT lo_unlink(4711); SELECT lo_from_bytea(4711, 'another scan');
-- @ lo_unlink_and_put_back: It is there again, byte for byte.
SELECT lo_unlink(4711); SELECT lo_from_bytea(4711, 'scan of a page');
-- @ lo_put_beyond: Bytes are added behind a hole.
SELECT lo_put(4711, 5000, 'more');
-- @ lo_put_created: The plan made it.
SELECT lo_from_bytea(4800, 'new'); SELECT lo_put(4800, 0, 'old');
-- @ lo_put_created_and_old: The plan made one of the two.
SELECT lo_from_bytea(4800, 'new'); SELECT lo_put(4800, 0, 'old'); SELECT lo_put(4711, 0, 'OLD');
-- @ lo_put: Bytes are overwritten.
SELECT lo_put(4711, 0, 'XXXX');
-- @ lo_put_appends: Bytes are added at the end.
SELECT lo_put(4711, 14, ' and more');
-- @ lo_put_same: The same bytes.
SELECT lo_put(4711, 0, 'scan');
-- @ lo_create: Something new.
SELECT lo_create(0);
-- @ lo_truncate: Bytes at the end go.
SELECT lo_truncate(lo_open(4711, 131072), 4);
-- @ letter_deleted: The row goes, its large object stays behind.
DELETE FROM letters WHERE id = 2;
-- @ replica_role: Without triggers the cascade does not run; the row goes.
SET LOCAL session_replication_role = replica; DELETE FROM patients WHERE id = 11;
-- @ lock_table: It waits and keeps others out, no more.
LOCK TABLE patients IN ACCESS EXCLUSIVE MODE;
-- @ analyze: It only counts.
ANALYZE patients;
-- @ set_timeout: A setting.
SET LOCAL lock_timeout = '5s';
