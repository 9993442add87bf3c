"""Asks which relations a transaction has changed, so that only these are read again, and whether anything else has changed.

A transaction holds a lock stronger than ACCESS SHARE on every relation that it has written to or altered, cascades and triggers
included, until it ends (https://www.postgresql.org/docs/current/view-pg-locks.html). GRANT takes none: it leaves a row of the
catalog with the transaction's number. COMMENT ON CONSTRAINT and its like lock what they speak of, not its relation. What the text
of one relation says of another one (a view, a foreign key, a default) is read with that other one.
"""

from migration_pipeline.adapters.catalog_beside import OWN
from migration_pipeline.adapters.catalog_words import FIRST_NORMAL_OID

#: Types that nobody got with a table or as the array of another one.
OWN_TYPES = """(typrelid = 0 AND (typcategory <> 'A' OR typtype = 'd')
  OR EXISTS (SELECT FROM pg_class c WHERE c.oid = x.typrelid AND c.relkind = 'c'))"""
#: Catalogs of what is no relation, with the column that tells a row of ours and what else it must be, by what is read together.
COMMENTS = ("pg_description", "objoid", "(classoid <> 'pg_class'::regclass)")
NOT_OF_POSTGRESQL = "nspname !~ '^pg_'"
#: That schema is initdb's.
COMMENT_ON_PUBLIC = (
    "pg_description",
    "objoid",
    "(objoid, classoid) IN (SELECT oid, tableoid FROM pg_namespace WHERE nspname = 'public')",
)
#: These have rows of initdb's too.
COMMENTS_ON_EXTENSIONS = (
    "pg_description",
    "objoid",
    """(objoid, classoid) IN (SELECT oid, 'pg_extension'::regclass FROM pg_extension
      UNION ALL SELECT oid, 'pg_language'::regclass FROM pg_language)""",
)
COMMENT_ON_DATABASE = ("pg_shdescription", "objoid", f"objoid = {OWN} AND classoid = 'pg_database'::regclass")
OID_BITS = 32
CATALOGS = {
    "types": (("pg_type", "oid", OWN_TYPES), ("pg_enum", "oid", ""), ("pg_constraint", "oid", "contypid <> 0"), COMMENTS),
    "functions": (("pg_proc", "oid", ""), COMMENTS),
    "rest": (
        ("pg_namespace", "oid", NOT_OF_POSTGRESQL), ("pg_extension", "oid", "true"), COMMENTS, COMMENT_ON_PUBLIC,
        *((name, "oid", "") for name in ("pg_cast", "pg_operator", "pg_opclass", "pg_opfamily", "pg_amop", "pg_amproc",
          "pg_collation", "pg_conversion", "pg_statistic_ext", "pg_ts_config", "pg_ts_dict", "pg_ts_parser", "pg_ts_template",
          "pg_am", "pg_foreign_data_wrapper", "pg_foreign_server", "pg_event_trigger", "pg_default_acl",
          "pg_transform", "pg_publication", "pg_publication_rel", "pg_publication_namespace")),
        ("pg_ts_config_map", "mapcfg", ""), ("pg_language", "oid", "true"), COMMENTS_ON_EXTENSIONS,
        ("pg_database", "oid", "datname = current_database()"), COMMENT_ON_DATABASE,
        ("pg_db_role_setting", "setdatabase", f"setdatabase = {OWN}"),
    ),
}  # fmt: skip
#: Conditions that tell by themselves which rows count.
ALONE = frozenset({"true", COMMENT_ON_PUBLIC[-1], COMMENTS_ON_EXTENSIONS[-1], COMMENT_ON_DATABASE[-1], NOT_OF_POSTGRESQL})
#: The rows of this view have no number of a transaction.
USER_MAPPINGS = "SELECT hashtextextended(x::text, 0) FROM pg_user_mappings x"


def signatures(*, without: str = "") -> tuple[str, ...]:
    """Return an expression for each group; `without` is a catalog that this server does not have."""
    parts = {
        group: [_part(place, *one) for place, one in enumerate(catalogs) if one[0] != without]
        for group, catalogs in CATALOGS.items()
    }
    parts["rest"].append(USER_MAPPINGS)
    digest = "(SELECT count(*) || ' ' || coalesce(sum(y.mark), 0) FROM ({}) y(mark))"
    return tuple(digest.format("\nUNION ALL ".join(texts)) for texts in parts.values())


def _part(place: int, catalog: str, column: str, condition: str) -> str:
    """Return a number for each row, another one in each catalog."""
    own = f"x.{column} >= {FIRST_NORMAL_OID}"
    where = condition if condition in ALONE else f"{own} AND {condition}" if condition else own
    return (
        f"SELECT hashint8extended(x.xmin::text::bigint, x.{column}::bigint + {place << OID_BITS}) FROM {catalog} x WHERE {where}"
    )


#: Constraints whose own triggers were switched off, by ALTER TABLE ... DISABLE TRIGGER ALL: nothing is checked any more.
UNCHECKED = """
SELECT 'table ' || r.name, json_build_object('constraints that are not checked', string_agg(DISTINCT quote_ident(n.conname), ', '
  ORDER BY quote_ident(n.conname)))::text
FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid JOIN pg_constraint n ON n.oid = t.tgconstraint
WHERE t.tgisinternal AND t.tgenabled IN ('D', 'R') GROUP BY r.name
"""
KINDS = "('r', 'p', 'v', 'm', 'f', 'S', 'c')"
#: What this transaction holds: relations (`mp_locked`; `mp_altered`: but for the sequences that were only drawn from), what is no
#: relation (`mp_objects`), and whether one of these is a large object, or all of them.
LOCKS = """
SELECT array_agg(l.relation) FILTER (WHERE l.locktype = 'relation'),
  array_agg(l.relation) FILTER (WHERE l.locktype = 'relation' AND s.seqrelid IS NULL),
  array_agg(l.objid) FILTER (WHERE l.locktype = 'object'),
  coalesce(bool_or(l.classid = 'pg_largeobject'::regclass OR l.relation IN ('pg_largeobject'::regclass,
    'pg_largeobject_metadata'::regclass)), false)
INTO mp_locked, mp_altered, mp_objects, mp_large
FROM pg_locks l LEFT JOIN pg_sequence s ON s.seqrelid = l.relation AND l.mode = 'RowExclusiveLock'
WHERE l.pid = pg_backend_pid() AND l.mode <> 'AccessShareLock'
"""
#: Relations that this transaction has changed. No row has a greater age than 0 but by it: subtransactions count on.
CHANGED = f"""
SELECT coalesce(i.indrelid, l.oid) FROM unnest(mp_altered) l(oid) LEFT JOIN pg_index i ON i.indexrelid = l.oid
WHERE l.oid >= {FIRST_NORMAL_OID}
UNION SELECT conrelid FROM pg_constraint WHERE oid = ANY (mp_objects)
UNION SELECT tgrelid FROM pg_trigger WHERE oid = ANY (mp_objects)
UNION SELECT polrelid FROM pg_policy WHERE oid = ANY (mp_objects)
UNION SELECT ev_class FROM pg_rewrite WHERE oid = ANY (mp_objects)
UNION SELECT c.oid FROM pg_class c WHERE c.oid >= {FIRST_NORMAL_OID} AND age(c.xmin) <= 0
UNION SELECT a.attrelid FROM pg_attribute a WHERE a.attrelid >= {FIRST_NORMAL_OID} AND a.attnum > 0 AND age(a.xmin) <= 0
"""
_SPEAKS = """
UNION SELECT x.{relation} FROM pg_depend d JOIN {catalog} x ON x.oid = d.objid
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (mp_changed) AND d.classid = '{catalog}'::regclass"""
SPEAKERS = {"pg_rewrite": "ev_class", "pg_policy": "polrelid", "pg_attrdef": "adrelid", "pg_trigger": "tgrelid"}
#: These, and those that speak of them: that matters where something was renamed.
TOLD = """
SELECT unnest(mp_changed)
UNION SELECT conrelid FROM pg_constraint WHERE contype = 'f' AND confrelid = ANY (mp_changed)
UNION SELECT inhrelid FROM pg_inherits WHERE inhparent = ANY (mp_changed)
UNION SELECT objid FROM pg_depend
WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = ANY (mp_changed)
""" + "".join(_SPEAKS.format(catalog=catalog, relation=relation) for catalog, relation in SPEAKERS.items())
#: Those of them that are the database's own, one row each; NULL: every one. The numbers of columns, where no row tells them: of
#: partitioned and foreign tables and of composite types.
RELATIONS = f"""
SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
  c.relkind = 'r' AND c.relpersistence <> 't' AS is_table, CASE WHEN c.relkind IN ('p', 'f', 'c') THEN
    (SELECT json_object_agg(a.attname, a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT
      a.attisdropped) END AS numbers
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (mp_told IS NULL OR c.oid = ANY (mp_told)) AND c.relkind IN {KINDS} AND n.nspname !~ '^pg_' AND n.nspname <>
  'information_schema' AND NOT EXISTS (
  SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""
#: Relations that were known and are gone.
GONE = "SELECT k FROM unnest(mp_known) k WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = k)"
