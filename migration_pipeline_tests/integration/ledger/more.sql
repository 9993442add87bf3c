-- What each revision has to itself, made of a clinic's rows.
ALTER TABLE clinical.observations DROP CONSTRAINT observations_encounter_id_fkey,
  ADD FOREIGN KEY (encounter_id) REFERENCES clinical.encounters ON DELETE CASCADE;
UPDATE clinical.patients SET address = NULL WHERE patient_id % 7 = 0;
CREATE TABLE clinical.old_visits AS SELECT * FROM clinical.encounters WHERE encounter_id % 3 = 0;
CREATE TABLE clinical.visit_imports AS SELECT * FROM clinical.encounters WHERE encounter_id % 4 = 0;
CREATE TABLE clinical.referrals AS SELECT encounter_id AS id, nullif(left(reason, 8), 'reason 7') AS reason, ended_at FROM clinical.encounters;
ALTER TABLE clinical.referrals ADD PRIMARY KEY (id);
CREATE TABLE clinical.letters (id bigint PRIMARY KEY, body text);
INSERT INTO clinical.letters SELECT encounter_id, nullif(note, '') FROM clinical.encounters;
CREATE TYPE clinical.bed_state AS ENUM ('free', 'taken', 'cleaning');
CREATE TYPE clinical.triage AS ENUM ('red', 'green');
CREATE TYPE clinical.colour AS ENUM ('white', 'black');
CREATE TABLE clinical.beds (id bigint PRIMARY KEY, state clinical.bed_state, triage clinical.triage);
INSERT INTO clinical.beds SELECT encounter_id, (ARRAY['free', 'taken', 'cleaning', NULL])[1 + encounter_id % 4]::clinical.bed_state,
  (ARRAY['red', 'green', NULL])[1 + encounter_id % 3]::clinical.triage FROM clinical.encounters;
CREATE TABLE clinical.lab_feed (line bigint, code text, result text);
INSERT INTO clinical.lab_feed SELECT observation_id, code, value_num::text FROM clinical.observations WHERE observation_id <= 4000;
CREATE TABLE clinical.lab_log AS SELECT * FROM clinical.lab_feed;
CREATE TABLE clinical.results AS SELECT * FROM clinical.lab_feed;
CREATE TABLE clinical.codes (id bigint PRIMARY KEY, display text);
INSERT INTO clinical.codes SELECT i, CASE WHEN i % 5 > 0 THEN 'code ' || i END FROM generate_series(1, 1000) i;
CREATE TABLE clinical.stock (id bigint PRIMARY KEY, amount int, unit text);
INSERT INTO clinical.stock SELECT i, nullif(i % 6, 0), 'box' FROM generate_series(1, 2000) i;
CREATE TABLE clinical.bookings (id bigint PRIMARY KEY, ward int);
INSERT INTO clinical.bookings SELECT i, i % 20 FROM generate_series(1, 3000) i;
CREATE TABLE clinical.closures (ward int PRIMARY KEY);
CREATE FUNCTION clinical.close_ward() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN DELETE FROM clinical.bookings WHERE ward = NEW.ward; RETURN NEW; END';
CREATE TRIGGER closing AFTER INSERT ON clinical.closures FOR EACH ROW EXECUTE FUNCTION clinical.close_ward();
CREATE TABLE clinical.inbox AS SELECT * FROM clinical.letters;
CREATE TABLE clinical.archive AS SELECT * FROM clinical.letters WITH NO DATA;
UPDATE alembic_version SET version_num = '0001';
