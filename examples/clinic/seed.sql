-- 50,000 made-up rows for the clinic's schema at revision 0018, the same in every run.
--
-- One string for one transaction: psql -1 -f seed.sql, or a driver's execute(). The tables must be empty.
-- Every value is arithmetic on a row number: no random(), no now(). Names are syllables that no language has.

SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';

CREATE FUNCTION pg_temp.word(number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT initcap(s[1 + number % 10] || s[1 + number / 10 % 10] || s[1 + number / 100 % 10])
    FROM (VALUES (ARRAY['bax', 'dov', 'fez', 'gup', 'jiq', 'kol', 'myx', 'nuv', 'pyz', 'wog'])) AS syllables (s)
$$;

INSERT INTO practitioners (id, staff_number, name, speciality, active)
SELECT i, 'S' || lpad(i::text, 5, '0'), pg_temp.word(i * 617) || ' ' || pg_temp.word(i * 271),
       (ARRAY['general', 'cardiology', 'paediatrics', 'emergency', 'oncology'])[1 + i % 5], i % 12 <> 0
FROM generate_series(1, 60) AS i;

INSERT INTO patients (id, hospital_number, family_name, given_name, date_of_birth, allergy_note, created_at, updated_at)
SELECT i, 'H' || lpad(i::text, 7, '0'), pg_temp.word(i * 7919), pg_temp.word(i / 8 * 104729),
       DATE '1930-01-01' + i * 7919 % 33000,
       CASE WHEN i % 7 IN (2, 5) THEN 'Told at admission: reacts to ' || lower(pg_temp.word(i * 31)) END,
       TIMESTAMPTZ '2021-02-10 08:00:00Z' + i * INTERVAL '4 hours', TIMESTAMPTZ '2021-02-10 08:00:00Z' + i * INTERVAL '4 hours'
FROM generate_series(1, 8000) AS i;

INSERT INTO patient_contacts (patient_id, phone, email)
SELECT i, CASE WHEN i % 9 > 0 THEN '000-' || lpad(i::text, 7, '0') END,
       CASE WHEN i % 9 = 0 OR i % 3 > 0 THEN 'patient' || i || '@example.invalid' END
FROM generate_series(1, 8000) AS i;

INSERT INTO encounters (id, patient_id, practitioner_id, kind, started_at, ended_at)
SELECT i, 1 + i * 7919 % 8000, CASE WHEN i % 20 > 0 THEN 1 + i % 60 END,
       (ARRAY['outpatient', 'outpatient', 'inpatient', 'emergency', 'virtual'])[1 + i % 5]::encounter_kind,
       TIMESTAMPTZ '2021-03-01 08:00:00Z' + i * INTERVAL '3 hours',
       CASE WHEN i % 50 > 0 THEN TIMESTAMPTZ '2021-03-01 08:20:00Z' + i * INTERVAL '3 hours' + i % 90 * INTERVAL '1 minute' END
FROM generate_series(1, 11000) AS i;

INSERT INTO observations (id, encounter_id, kind, value, unit, recorded_at)
SELECT i, 1 + i % 11000, (ARRAY['heart rate', 'temperature', 'systolic pressure'])[1 + i % 3],
       CASE i % 3 WHEN 0 THEN 55 + i % 60 WHEN 1 THEN 36 + i % 30 * 0.1 ELSE 100 + i % 70 END,
       (ARRAY['1/min', 'Cel', 'mm[Hg]'])[1 + i % 3], TIMESTAMPTZ '2021-03-01 08:05:00Z' + (1 + i % 11000) * INTERVAL '3 hours'
FROM generate_series(1, 12000) AS i;

INSERT INTO medications (id, code, name, form)
SELECT i, 'M' || lpad(i::text, 5, '0'), pg_temp.word(i * 89) || 'ol ' || (i % 8 + 1) * 25 || ' mg',
       (ARRAY['tablet', 'solution', 'capsule', 'ointment'])[1 + i % 4]
FROM generate_series(1, 140) AS i;

INSERT INTO prescriptions (id, patient_id, medication_id, practitioner_id, dose_mg, status, prescribed_at, started_on)
SELECT i, 1 + i * 7927 % 8000, 1 + i % 140, 1 + i % 60, (1 + i % 8) * 25,
       (ARRAY['active', 'active', 'completed', 'on-hold', 'stopped', 'draft'])[1 + i % 6],
       TIMESTAMPTZ '2021-06-22 09:00:00Z' + i * INTERVAL '5 hours', DATE '2021-06-23' + i * 5 / 24
FROM generate_series(1, 6000) AS i;

INSERT INTO allergies (id, patient_id, substance, severity, status, noted_on)
SELECT i, 1 + i * 7901 % 8000, lower(pg_temp.word(i * 53)) || 'in',
       (ARRAY['mild', 'moderate', 'severe'])[1 + i % 3]::allergy_severity,
       (ARRAY['active', 'active', 'active', 'resolved', 'refuted'])[1 + i % 5], DATE '2022-03-08' + i % 900
FROM generate_series(1, 3000) AS i;

INSERT INTO legacy_alerts (id, patient_id, message, raised_at)
SELECT i, 1 + i * 7907 % 8000, 'Ask about ' || lower(pg_temp.word(i * 43)), TIMESTAMPTZ '2021-06-22 10:00:00Z' + i * INTERVAL '29 hours'
FROM generate_series(1, 800) AS i;

INSERT INTO patient_changes (id, patient_id, action, column_names, changed_by, changed_at)
SELECT i, 1 + i * 7919 % 8000, 'UPDATE', ARRAY['family_name', 'updated_at'], 'clinic',
       TIMESTAMPTZ '2024-06-04 08:00:00Z' + i * INTERVAL '7 hours'
FROM generate_series(1, 1000) AS i;

-- The ids above were given, so the sequences behind the columns have not moved yet.
SELECT setval(pg_get_serial_sequence(name, 'id'), highest)
FROM (VALUES ('practitioners', 60), ('patients', 8000), ('encounters', 11000), ('observations', 12000), ('medications', 140),
             ('prescriptions', 6000), ('allergies', 3000), ('legacy_alerts', 800), ('patient_changes', 1000)) AS given (name, highest);

DROP FUNCTION pg_temp.word(bigint);
ANALYZE;
