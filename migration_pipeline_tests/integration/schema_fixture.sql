-- A schema with everything that a fingerprint must carry through dump and restore. Run as a superuser, on PostgreSQL 14 to 18.
DO $$ BEGIN
  IF to_regrole('fp_owner') IS NULL THEN CREATE ROLE fp_owner; END IF;
  IF to_regrole('fp_app') IS NULL THEN CREATE ROLE fp_app; END IF;
  IF to_regrole('"Fp Reader-ö"') IS NULL THEN CREATE ROLE "Fp Reader-ö"; END IF;
END $$;

CREATE EXTENSION citext;
CREATE EXTENSION pg_trgm;
CREATE SCHEMA clinic AUTHORIZATION fp_owner;
COMMENT ON SCHEMA clinic IS 'the clinic''s tables';
CREATE SCHEMA "Odd.Schema 1";
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA clinic TO fp_app, "Fp Reader-ö";

-- types
CREATE TYPE clinic.mood AS ENUM ('sad', 'ok', 'very happy', 'it''s');
ALTER TYPE clinic.mood ADD VALUE 'between' BEFORE 'ok';
CREATE TYPE clinic.address AS (street varchar(50), zip char(5), dropped int, country text COLLATE "C");
ALTER TYPE clinic.address DROP ATTRIBUTE dropped;
CREATE DOMAIN clinic.code AS varchar(8) NOT NULL DEFAULT 'none' CHECK (VALUE IN ('none', 'a', 'b'));
ALTER DOMAIN clinic.code ADD CONSTRAINT "lower case" CHECK (VALUE = lower(VALUE)) NOT VALID;
CREATE TYPE clinic.period AS RANGE (subtype = timestamptz);
COMMENT ON TYPE clinic.mood IS 'how one feels';
COMMENT ON DOMAIN clinic.code IS 'a code';
ALTER TYPE clinic.mood OWNER TO fp_owner;
REVOKE USAGE ON TYPE clinic.mood FROM PUBLIC;
CREATE COLLATION clinic.german (provider = libc, locale = 'C');

-- functions
CREATE FUNCTION clinic.name_of(given text, family varchar DEFAULT 'x', VARIADIC rest text[] DEFAULT '{}') RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT given || ' ' || family $$;
CREATE FUNCTION clinic.is_known(status varchar) RETURNS boolean LANGUAGE sql STABLE
  RETURN status IN ('active', 'resolved') AND (status BETWEEN 'a' AND 'z' AND length(status) > - 1);
CREATE FUNCTION clinic.words() RETURNS TABLE (a text, b int) LANGUAGE sql
  BEGIN ATOMIC SELECT 'x', -1 UNION ALL SELECT 'y', 2; SELECT 'x', (SELECT 1 AS one); END;
CREATE FUNCTION clinic.touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $body$ BEGIN NEW.changed := now(); RETURN NEW; END $body$;
CREATE PROCEDURE clinic.clean(INOUT n int DEFAULT -1) LANGUAGE plpgsql AS 'BEGIN n := 1; END';
CREATE AGGREGATE clinic.longest(text) (SFUNC = textcat, STYPE = text, INITCOND = '');
REVOKE EXECUTE ON FUNCTION clinic.is_known(varchar) FROM PUBLIC;
COMMENT ON FUNCTION clinic.touch() IS 'sets changed';
CREATE FUNCTION clinic.same(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 = $2';
CREATE OPERATOR clinic.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = clinic.same, COMMUTATOR = OPERATOR(clinic.===));
CREATE FUNCTION clinic.to_text(clinic.address) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT $1.street::text $$;
CREATE CAST (clinic.address AS text) WITH FUNCTION clinic.to_text(clinic.address) AS ASSIGNMENT;
CREATE OPERATOR CLASS clinic.int_desc FOR TYPE int4 USING btree AS
  OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 btint4cmp(int4, int4);

-- tables; the first column is dropped so that numbers and ranks part
CREATE TABLE clinic.patients (
  gone int,
  id bigserial PRIMARY KEY,
  mrn clinic.code UNIQUE,
  status varchar(20) NOT NULL DEFAULT 'active' CONSTRAINT status_known CHECK (status IN ('active', 'resolved', 'it''s')),
  kind char(3) DEFAULT 'abc' CHECK (kind IN ('abc', 'def') OR kind NOT IN ('x', 'y')),
  given text COLLATE "C", family varchar(50) NOT NULL DEFAULT E'a\\b\n',
  full_name text GENERATED ALWAYS AS (clinic.name_of(given, family)) STORED,
  flag boolean GENERATED ALWAYS AS (status IN ('active', 'b') AND (id BETWEEN 1 AND 5 AND (id <> -1))) STORED,
  feeling clinic.mood DEFAULT 'ok' CHECK (feeling IN ('ok', 'sad')),
  home clinic.address, tags varchar(10)[] DEFAULT ARRAY['a', 'b'], notes jsonb DEFAULT '{}'::jsonb,
  amount numeric(10, 2) DEFAULT -1.50, small int2 DEFAULT (-1)::int2, big int8 DEFAULT -3000000000,
  born date CHECK (born > '1900-01-01'), changed timestamptz DEFAULT now(), at_noon time DEFAULT '12:00',
  pause interval DEFAULT '1 day 02:00', raw bytea DEFAULT '\x00ff', seen clinic.period, mail citext,
  CONSTRAINT amounts CHECK (amount IN (1, 2.5) OR amount BETWEEN -1 AND 3 OR (kind, small) IN (('abc', 1), ('def', 2))),
  CONSTRAINT tags_known CHECK (tags <@ ARRAY['a', 'b']::varchar(10)[] AND 'a' = ANY (tags)));
ALTER TABLE clinic.patients DROP COLUMN gone;
ALTER TABLE clinic.patients ADD CONSTRAINT dates CHECK (born < changed::date) NOT VALID;
ALTER TABLE clinic.patients ALTER given SET STATISTICS 500, ALTER given SET STORAGE EXTERNAL,
  ALTER family SET (n_distinct = -0.5), SET (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false);
ALTER TABLE clinic.patients OWNER TO fp_owner;
COMMENT ON TABLE clinic.patients IS E'people\nin two lines';
COMMENT ON COLUMN clinic.patients.status IS 'one of few';
COMMENT ON CONSTRAINT status_known ON clinic.patients IS 'a closed list';
CREATE INDEX active ON clinic.patients (lower(family), born DESC NULLS LAST) WHERE status IN ('active', 'resolved') AND born IS NOT NULL;
CREATE INDEX by_expression ON clinic.patients (((status || 'x')), (amount + -1)) INCLUDE (kind) WITH (fillfactor = 80);
CREATE INDEX notes_gin ON clinic.patients USING gin (notes jsonb_path_ops);
CREATE UNIQUE INDEX "both" ON clinic.patients (status COLLATE "C" text_pattern_ops, kind) WHERE NOT (kind IN ('abc', 'def'));
ALTER INDEX clinic.by_expression ALTER COLUMN 1 SET STATISTICS 200;
CLUSTER clinic.patients USING patients_pkey;
COMMENT ON INDEX clinic.active IS 'for the list';
CREATE STATISTICS clinic.patients_stats (dependencies, mcv) ON status, kind, lower(family) FROM clinic.patients;
GRANT SELECT, INSERT ON clinic.patients TO fp_app WITH GRANT OPTION;
GRANT SELECT (id, status) ON clinic.patients TO "Fp Reader-ö";
GRANT USAGE ON SEQUENCE clinic.patients_id_seq TO fp_app;
CREATE TRIGGER touch BEFORE UPDATE OF status, kind ON clinic.patients FOR EACH ROW
  WHEN (NEW.status IN ('active', 'resolved') AND OLD.family IS DISTINCT FROM NEW.family) EXECUTE FUNCTION clinic.touch('a', 'b');
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON clinic.patients DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION clinic.touch();
ALTER TABLE clinic.patients DISABLE TRIGGER late;
ALTER TABLE clinic.patients ENABLE ROW LEVEL SECURITY;
ALTER TABLE clinic.patients FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON clinic.patients FOR UPDATE TO fp_app, "Fp Reader-ö"
  USING (status IN ('active', 'b') AND family = current_user) WITH CHECK (status NOT IN ('x', 'y'));
CREATE POLICY narrow ON clinic.patients AS RESTRICTIVE USING (id = ANY (ARRAY[1, 2]));
COMMENT ON POLICY own ON clinic.patients IS 'only mine';

CREATE TABLE clinic.visits (
  id int GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 5 CACHE 3) CONSTRAINT visits_named_key PRIMARY KEY,
  patient bigint CONSTRAINT "Patient is needed" NOT NULL REFERENCES clinic.patients ON DELETE SET NULL ON UPDATE CASCADE
    DEFERRABLE INITIALLY DEFERRED,
  during tsrange, room int NOT NULL DEFAULT 1, other int GENERATED BY DEFAULT AS IDENTITY,
  EXCLUDE USING gist (during WITH &&) WHERE (NOT isempty(during)),
  UNIQUE (room, during) DEFERRABLE);
ALTER TABLE clinic.visits RENAME TO encounters;
ALTER TABLE clinic.encounters RENAME COLUMN room TO place;
ALTER TABLE clinic.encounters REPLICA IDENTITY USING INDEX visits_named_key;
CREATE UNLOGGED TABLE clinic.scratch (a int, b text);
CREATE SEQUENCE clinic.numbers AS int INCREMENT -2 MINVALUE -100 MAXVALUE 50 START 10 CYCLE;
ALTER SEQUENCE clinic.numbers OWNED BY clinic.scratch.a;
ALTER TABLE clinic.scratch OWNER TO fp_app;
CREATE SEQUENCE clinic.free;
COMMENT ON SEQUENCE clinic.free IS 'nobody''s';
CREATE TABLE clinic.of_type OF clinic.address (PRIMARY KEY (street));
CREATE TABLE clinic.plain (a int, b varchar(5), c text DEFAULT 'a');
CREATE TABLE clinic.many AS SELECT 1 AS a;
ALTER TABLE clinic.many REPLICA IDENTITY FULL;
REVOKE ALL ON clinic.many FROM postgres;

-- inheritance, with a column that reaches the child last
CREATE TABLE clinic.parent (a int NOT NULL, CONSTRAINT positive CHECK (a IN (1, 2)));
CREATE TABLE clinic.child (b varchar(5) CHECK (b IN ('x', 'y')), c int) INHERITS (clinic.parent);
ALTER TABLE clinic.parent ADD COLUMN late text DEFAULT 'l';
ALTER TABLE clinic.child ADD COLUMN d int;
ALTER TABLE ONLY clinic.child ALTER late SET DEFAULT 'child';

-- partitions, one of them with other column numbers and names of its own
CREATE TABLE clinic.events (id bigint NOT NULL, at timestamptz NOT NULL, kind varchar(10) CHECK (kind IN ('a', 'b')), patient bigint,
  PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE clinic.events_2024 PARTITION OF clinic.events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE clinic.events_odd (gone int, kind varchar(10) CONSTRAINT events_kind_check CHECK (kind IN ('a', 'b')), patient bigint,
  at timestamptz CONSTRAINT "at is there" NOT NULL, id bigint NOT NULL, CONSTRAINT odd_fk FOREIGN KEY (patient) REFERENCES clinic.patients);
ALTER TABLE clinic.events_odd DROP COLUMN gone;
ALTER TABLE clinic.events ADD FOREIGN KEY (patient) REFERENCES clinic.patients;
ALTER TABLE clinic.events ATTACH PARTITION clinic.events_odd FOR VALUES FROM ('2025-01-01') TO (MAXVALUE);
CREATE TABLE clinic.events_rest PARTITION OF clinic.events DEFAULT PARTITION BY RANGE (at);
CREATE TABLE clinic.events_rest_old PARTITION OF clinic.events_rest FOR VALUES FROM (MINVALUE) TO ('2000-01-01');
CREATE INDEX events_kind ON clinic.events (kind) WHERE kind IN ('a', 'b');
CREATE INDEX only_parent ON ONLY clinic.events (patient);
CREATE TABLE clinic.refers (id bigint, at timestamptz, FOREIGN KEY (id, at) REFERENCES clinic.events);
CREATE TRIGGER touch_events BEFORE INSERT ON clinic.events FOR EACH ROW EXECUTE FUNCTION clinic.touch();
ALTER TABLE clinic.events_2024 DISABLE TRIGGER touch_events;
CREATE TABLE clinic.hashed (a text, b int) PARTITION BY HASH ((a || 'x'), b);
CREATE TABLE clinic.listed (a clinic.mood, b varchar(5)) PARTITION BY LIST ((b IN ('x', 'y')));
CREATE TABLE clinic.listed_true PARTITION OF clinic.listed FOR VALUES IN (true, NULL);
CREATE TABLE clinic.hashed_0 PARTITION OF clinic.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);

-- odd names
CREATE TABLE "Odd.Schema 1"."Table ""with"" quotes" ("select" int, "Größe in m²" numeric CHECK ("Größe in m²" IN (1, 2.5)),
  "a.b" varchar(5) DEFAULT 'a' CHECK ("a.b" IN ('a', 'b')), " " text, "it's" text, "UPPER" int);
CREATE INDEX "Index.x y" ON "Odd.Schema 1"."Table ""with"" quotes" ("select", ("UPPER" + 1)) WHERE "a.b" IN ('a', 'b');
CREATE TABLE "Odd.Schema 1"."order" ("user" text, "table" text, CONSTRAINT "check" CHECK ("user" <> "table"));
COMMENT ON COLUMN "Odd.Schema 1"."order"."user" IS '100 % 😀';
CREATE VIEW "Odd.Schema 1"."View'v" AS SELECT "select" AS "from", "Größe in m²" AS "ü" FROM "Odd.Schema 1"."Table ""with"" quotes";

-- views
CREATE VIEW clinic.active_patients WITH (security_barrier = true, check_option = local) AS
  SELECT id, status, family FROM clinic.patients WHERE status IN ('active', 'resolved') AND (born > '1950-01-01' AND id BETWEEN 1 AND 9);
ALTER VIEW clinic.active_patients ALTER COLUMN status SET DEFAULT 'active';
CREATE VIEW clinic.all_names AS SELECT 'x' AS name, 1 AS n UNION SELECT family, -1 FROM clinic.patients UNION ALL SELECT 'z', NULL;
CREATE VIEW clinic.counts AS
  WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 10)
  SELECT p.status, count(*) FILTER (WHERE p.kind IN ('abc', 'def')) AS c, sum(t.n) OVER (PARTITION BY p.status ORDER BY t.n DESC NULLS LAST) AS s
  FROM clinic.patients p LEFT JOIN LATERAL (SELECT * FROM t) t ON t.n = p.id AND p.status NOT IN ('a', 'b')
  GROUP BY GROUPING SETS ((p.status, t.n), ()) HAVING count(*) > 0;
CREATE TABLE clinic.renamed (a int, b varchar(5));
CREATE VIEW clinic.over_renamed AS SELECT a, r.b, e.place FROM clinic.renamed r JOIN (SELECT id AS a, place FROM clinic.encounters) e USING (a)
  WHERE r.b IN ('x', 'y') AND EXISTS (SELECT r.a, 'q' FROM clinic.many m WHERE m.a = r.a);
ALTER TABLE clinic.renamed RENAME a TO "A";
CREATE MATERIALIZED VIEW clinic.totals AS SELECT status, count(*) AS n FROM clinic.patients WHERE status IN ('active', 'b') GROUP BY status;
CREATE UNIQUE INDEX totals_status ON clinic.totals (status);
CREATE MATERIALIZED VIEW clinic.empty AS SELECT 1 AS a WITH NO DATA;
CREATE RULE no_delete AS ON DELETE TO clinic.many WHERE OLD.a IN (1, 2) AND OLD.a BETWEEN 1 AND 3 DO INSTEAD NOTHING;
CREATE RULE log AS ON UPDATE TO clinic.many DO ALSO INSERT INTO clinic.scratch SELECT a, 'x' FROM clinic.many UNION SELECT -1, 'y';
ALTER TABLE clinic.many DISABLE RULE log;

-- text search, foreign tables, publications, event triggers
CREATE TEXT SEARCH DICTIONARY clinic.plain (TEMPLATE = simple, STOPWORDS = english);
CREATE TEXT SEARCH CONFIGURATION clinic.search (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION clinic.search ALTER MAPPING FOR word, asciiword WITH clinic.plain, simple;
CREATE FOREIGN DATA WRAPPER nowhere OPTIONS (debug 'true');
CREATE SERVER elsewhere TYPE 't' VERSION '1' FOREIGN DATA WRAPPER nowhere OPTIONS (secret 'hunter2');
CREATE USER MAPPING FOR fp_app SERVER elsewhere OPTIONS (password 'hunter2');
CREATE FOREIGN TABLE clinic.far (a int OPTIONS (name 'A') NOT NULL, b varchar(5) CHECK (b IN ('a', 'b'))) SERVER elsewhere OPTIONS (file 'f');
SET client_min_messages = error;
CREATE PUBLICATION two_tables FOR TABLE clinic.encounters, clinic.many WITH (publish = 'insert, update');
CREATE FUNCTION clinic.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('DROP TABLE', 'ALTER TABLE') EXECUTE FUNCTION clinic.on_ddl();
ALTER EVENT TRIGGER watch DISABLE;

-- default privileges
ALTER DEFAULT PRIVILEGES FOR ROLE fp_owner IN SCHEMA clinic GRANT SELECT ON TABLES TO fp_app, "Fp Reader-ö";
ALTER DEFAULT PRIVILEGES FOR ROLE fp_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA "Odd.Schema 1" GRANT USAGE ON SEQUENCES TO fp_app;
