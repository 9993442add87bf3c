"""Reads large objects as if they were a table's rows: how many, whose, and digests of what they hold."""

from migration_pipeline.domain.table_rows import LARGE_OBJECTS

OID = 2613  #: of pg_largeobject, since it is there
PATH = ("pg_catalog", "pg_largeobject")
COLUMNS = ("oid", "owner", "privileges", "comment", "data")

#: Whether any was made, dropped or written to by this transaction: locks tell all but a GRANT.
CHANGED = "SELECT FROM pg_largeobject_metadata WHERE age(xmin) <= 0"
#: Not everybody may read what they hold.
DATA = """(SELECT sum(hashtextextended(p.pageno || md5(p.data), 0)) FROM pg_largeobject p WHERE p.loid = m.oid)::text"""
NUMBERED = ", ".join(f"json_build_array('{column}', {number})" for number, column in enumerate(COLUMNS, 1))
MARK = 'count(*)::text, coalesce(sum(hashtextextended({} COLLATE "C", 0)), 0)::text'
QUERY = f"""
SELECT array_to_json(ARRAY[{MARK.format("x::text")}, {", ".join(MARK.format(f"x.{column}") for column in COLUMNS)}])
FROM (SELECT m.oid::text AS oid, pg_get_userbyid(m.lomowner)::text AS owner, coalesce(m.lomacl::text, '') AS privileges,
  coalesce(obj_description(m.oid, 'pg_largeobject'), '') AS comment, coalesce(%s, '') AS data FROM pg_largeobject_metadata m) x
"""
READ = f"""
  IF mp_also IS NULL OR mp_large OR {OID} = ANY (mp_also) OR EXISTS ({CHANGED}) THEN
    EXECUTE format($mp${QUERY}$mp$,
      CASE WHEN has_table_privilege('pg_largeobject', 'SELECT') THEN $mp${DATA}$mp$ ELSE '''''' END) INTO mp_row;
    mp_rows := mp_rows || json_build_array({OID}, '{LARGE_OBJECTS}', json_build_array('{PATH[0]}', '{PATH[1]}'),
      json_build_array({NUMBERED}), mp_row);
  END IF;"""
