"""The SQL that reads what no dump of the database holds, for the check of downgrades alone: no fingerprint has any of it.

The same two columns as in `catalog_relations`. A value that may be a secret is a hash here, and is told to nobody.
"""

from migration_pipeline.adapters import scratch
from migration_pipeline.adapters.catalog_words import FIRST_NORMAL_OID, commented, privileges, sealed_options, unless_extension

OWN = "(SELECT oid FROM pg_database WHERE datname = current_database())"

#: The database itself. Not its name, which is another one each time, nor what a scratch database has from us: its comment, and
#: whether everybody may connect to it.
DATABASE = f"""
SELECT 'database',
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(b.datdba),
  'privileges', (SELECT string_agg(i, ', ' ORDER BY i COLLATE "C") FROM (SELECT regexp_replace(i::text, '^(=[^/]*)c', '\\1')
    FROM unnest(coalesce(b.datacl, acldefault('d', b.datdba))) i) x(i) WHERE NOT starts_with(i, '=/')),
  'connection limit', nullif(b.datconnlimit, -1)::text,
  'comment', nullif(shobj_description(b.oid, 'pg_database'), '{scratch.COMMENT}')
))::text
FROM pg_database b WHERE b.datname = current_database()
"""

#: ALTER DATABASE ... SET, and ALTER ROLE ... IN DATABASE ... SET. A name with a dot is the project's own.
SETTINGS = f"""
SELECT 'database setting ' || x.name ||
  CASE WHEN s.setrole <> 0 THEN ' of role ' || quote_ident(pg_get_userbyid(s.setrole)) ELSE '' END,
json_strip_nulls(json_build_object(
  'value', CASE WHEN strpos(x.name, '.') = 0 THEN x.value END,
  'hidden value', CASE WHEN strpos(x.name, '.') > 0 THEN md5(x.value) END
))::text
FROM pg_db_role_setting s, unnest(s.setconfig) o,
LATERAL (SELECT split_part(o, '=', 1) AS name, substr(o, strpos(o, '=') + 1) AS value) x
WHERE s.setdatabase = {OWN}
"""

#: Languages that PostgreSQL or an extension brought.
LANGUAGES = f"""
SELECT 'language ' || quote_ident(l.lanname),
json_strip_nulls(json_build_object(
  'privileges', {privileges("l.lanacl", "'l'", "l.lanowner")},
  'comment', about.description
))::text
FROM pg_language l {commented("pg_language", "l.oid")}
WHERE NOT (l.oid >= {FIRST_NORMAL_OID} AND {unless_extension("pg_language", "l.oid")})
"""

#: Options of user mappings, as far as this role may read them.
MAPPINGS = f"""
SELECT 'user mapping for ' || quote_ident(u.usename) || ' on ' || quote_ident(u.srvname),
json_strip_nulls(json_build_object('hidden options', {sealed_options("u.umoptions")}))::text
FROM pg_user_mappings u
"""

QUERIES = (DATABASE, SETTINGS, LANGUAGES, MAPPINGS)
