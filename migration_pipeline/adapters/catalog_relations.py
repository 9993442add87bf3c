"""The SQL that reads tables, views, sequences and what hangs on them, see `catalog`.

Each query has two columns: the object and its properties as a JSON object of texts without nulls. What is PostgreSQL's default
is null. There is no `%` and no `:name` in any of them, so that no driver finds a placeholder.
"""

from migration_pipeline.adapters.catalog_words import commented, options, privileges, unless_extension

#: Schemas of the database's own, and its relations: what belongs to an extension is restored with it.
WITH = f"""
WITH schemas AS MATERIALIZED (
  SELECT n.oid, quote_ident(n.nspname) AS name, n.nspowner, n.nspacl
  FROM pg_namespace n WHERE NOT starts_with(n.nspname, 'pg_') AND n.nspname <> 'information_schema'
), relations AS MATERIALIZED (
  SELECT c.*, s.name || '.' || quote_ident(c.relname) AS name,
         NOT c.relispartition AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid) AS is_child
  FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND {unless_extension("pg_class", "c.oid")}
)
"""

#: Schemas.
SCHEMAS = f"""
SELECT 'schema ' || s.name,
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(s.nspowner),
  'privileges', {privileges("s.nspacl", "'n'", "s.nspowner")},
  'comment', about.description
))::text
FROM schemas s {commented("pg_namespace", "s.oid")}
WHERE {unless_extension("pg_namespace", "s.oid")}
"""

#: Tables, views, materialized views, sequences and foreign tables; options of the TOAST table as `toast.name=value`.
RELATIONS = f"""
SELECT CASE r.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence '
                      WHEN 'f' THEN 'foreign table ' ELSE 'table ' END || r.name,
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(r.relowner),
  'privileges', {privileges("r.relacl", "CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END", "r.relowner")},
  'comment', about.description,
  'persistence', CASE r.relpersistence WHEN 'u' THEN 'unlogged' WHEN 't' THEN 'temporary' END,
  'access method', (SELECT amname FROM pg_am a WHERE a.oid = r.relam AND amname <> 'heap'),
  'options', (SELECT string_agg(o, ', ' ORDER BY o COLLATE "C") FROM (SELECT unnest(r.reloptions) UNION ALL SELECT 'toast.' ||
    unnest(t.reloptions) FROM pg_class t WHERE t.oid = r.reltoastrelid) x(o)),
  'row security', CASE WHEN r.relrowsecurity THEN 'enabled' END,
  'row security of the owner', CASE WHEN r.relforcerowsecurity THEN 'forced' END,
  'replica identity', CASE WHEN r.relkind IN ('r', 'p') THEN CASE r.relreplident WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full'
    WHEN 'i' THEN 'index' END END,
  'partition key', CASE WHEN r.relkind = 'p' THEN pg_get_partkeydef(r.oid) END,
  'partition bound', CASE WHEN r.relispartition THEN pg_get_expr(r.relpartbound, r.oid) END,
  'parents', (SELECT string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid =
    r.oid),
  'of type', CASE WHEN r.reloftype <> 0 THEN r.reloftype::regtype::text END,
  'definition', CASE WHEN r.relkind IN ('v', 'm') THEN pg_get_viewdef(r.oid) END,
  'populated', CASE WHEN NOT r.relispopulated THEN 'no' END,
  'server', (SELECT v.srvname FROM pg_foreign_server v WHERE v.oid = f.ftserver),
  'foreign options', {options("f.ftoptions")}
))::text
FROM relations r {commented("pg_class", "r.oid")}
LEFT JOIN pg_foreign_table f ON f.ftrelid = r.oid
WHERE r.relkind <> 'c'
"""

#: Columns, and attributes of composite types. A column's place is the live column before it: a dropped column leaves a gap in the
#: numbers that a restore closes. A child's inherited columns have no place: pg_dump restores them first
#: (https://www.postgresql.org/docs/current/ddl-inherit.html). It also gives a child DEFAULT NULL where only the parent has a
#: default; that is no default, except for a domain that has its own.
COLUMNS = f"""
SELECT CASE r.relkind WHEN 'c' THEN 'attribute ' ELSE 'column ' END || r.name || '.' || quote_ident(a.attname),
json_strip_nulls(json_build_object(
  'after', CASE WHEN NOT (r.is_child AND a.attinhcount > 0) THEN lag(quote_ident(a.attname)) OVER
    (PARTITION BY a.attrelid, r.is_child AND a.attinhcount > 0 ORDER BY a.attnum) END,
  'type', format_type(a.atttypid, a.atttypmod),
  'not null', CASE WHEN a.attnotnull THEN 'yes' END,
  'default', CASE WHEN a.attgenerated = '' AND NOT (starts_with(pg_get_expr(d.adbin, d.adrelid), 'NULL::') AND t.typtype <> 'd')
    THEN pg_get_expr(d.adbin, d.adrelid) END,
  'generated', CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END,
  'generated as', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
  'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END,
  'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
  'compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
  'storage', CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN
    'm' THEN 'main' ELSE 'extended' END END,
  'statistics target', nullif(a.attstattarget, -1)::text,
  'options', {options("a.attoptions")},
  'foreign options', {options("a.attfdwoptions")},
  'privileges', {privileges("a.attacl", "'c'", "r.relowner")},
  'comment', about.description
))::text
FROM relations r
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
{commented("pg_class", "r.oid", "a.attnum")}
WHERE r.relkind <> 'S'
"""

#: Constraints of tables. The foreign keys of partitions follow their parent's and take names of their own in a restore.
CONSTRAINTS = f"""
SELECT 'constraint ' || r.name || '.' || quote_ident(c.conname),
json_strip_nulls(json_build_object(
  'definition', pg_get_constraintdef(c.oid),
  'comment', about.description
))::text
FROM relations r JOIN pg_constraint c ON c.conrelid = r.oid {commented("pg_constraint", "c.oid")}
WHERE c.contype IN ('c', 'f', 'p', 'u', 'x', 'n') AND NOT (c.contype = 'f' AND c.conparentid <> 0)
"""

#: Indexes, those of constraints too.
INDEXES = f"""
SELECT 'index ' || s.name || '.' || quote_ident(x.relname),
json_strip_nulls(json_build_object(
  'definition', pg_get_indexdef(x.oid),
  'valid', CASE WHEN NOT i.indisvalid THEN 'no' END,
  'ready', CASE WHEN NOT i.indisready THEN 'no' END,
  'replica identity', CASE WHEN i.indisreplident THEN 'yes' END,
  'clustered', CASE WHEN i.indisclustered THEN 'yes' END,
  'parent', (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = x.oid),
  'statistics targets', (SELECT string_agg(a.attnum || '=' || a.attstattarget, ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE
    a.attrelid = x.oid AND a.attstattarget >= 0),
  'comment', about.description
))::text
FROM relations r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class x ON x.oid = i.indexrelid
JOIN schemas s ON s.oid = x.relnamespace {commented("pg_class", "x.oid")}
"""

#: Triggers that somebody made. Their copies on partitions follow the parent's, unless one was switched on or off by itself.
TRIGGERS = f"""
SELECT 'trigger ' || r.name || '.' || quote_ident(t.tgname),
json_strip_nulls(json_build_object(
  'definition', CASE WHEN t.tgparentid = 0 THEN pg_get_triggerdef(t.oid) END,
  'fires', CASE t.tgenabled WHEN 'D' THEN 'never (disabled)' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' ELSE CASE WHEN
    t.tgparentid <> 0 THEN 'on origin' END END,
  'comment', about.description
))::text
FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid LEFT JOIN pg_trigger p ON p.oid = t.tgparentid
{commented("pg_trigger", "t.oid")}
WHERE NOT t.tgisinternal AND t.tgenabled IS DISTINCT FROM p.tgenabled
"""

#: Rules other than the one that makes a view.
RULES = f"""
SELECT 'rule ' || r.name || '.' || quote_ident(w.rulename),
json_strip_nulls(json_build_object(
  'definition', pg_get_ruledef(w.oid),
  'fires', CASE w.ev_enabled WHEN 'D' THEN 'never (disabled)' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END,
  'comment', about.description
))::text
FROM relations r JOIN pg_rewrite w ON w.ev_class = r.oid {commented("pg_rewrite", "w.oid")}
WHERE w.rulename <> '_RETURN'
"""

#: Policies of row level security.
POLICIES = f"""
SELECT 'policy ' || r.name || '.' || quote_ident(p.polname),
json_strip_nulls(json_build_object(
  'command', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' END,
  'permissive', CASE WHEN NOT p.polpermissive THEN 'no' END,
  'roles', (SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(o)) END, ', ' ORDER BY
    pg_get_userbyid(o) COLLATE "C") FROM unnest(p.polroles) o),
  'using', pg_get_expr(p.polqual, p.polrelid),
  'with check', pg_get_expr(p.polwithcheck, p.polrelid),
  'comment', about.description
))::text
FROM relations r JOIN pg_policy p ON p.polrelid = r.oid {commented("pg_policy", "p.oid")}
"""

#: What a sequence does, never where it stands.
SEQUENCES = """
SELECT 'sequence ' || r.name,
json_strip_nulls(json_build_object(
  'type', format_type(q.seqtypid, NULL),
  'start', q.seqstart::text,
  'increment', q.seqincrement::text,
  'minimum', q.seqmin::text,
  'maximum', q.seqmax::text,
  'cache', q.seqcache::text,
  'cycle', CASE WHEN q.seqcycle THEN 'yes' END,
  'owned by', d.refobjid::regclass || '.' || quote_ident(a.attname)
))::text
FROM relations r JOIN pg_sequence q ON q.seqrelid = r.oid
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
                     AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
"""

QUERIES = (SCHEMAS, RELATIONS, COLUMNS, CONSTRAINTS, INDEXES, TRIGGERS, RULES, POLICIES, SEQUENCES)
