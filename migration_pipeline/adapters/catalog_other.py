"""The SQL that reads extensions, statistics, text search, foreign servers, publications and privileges by default, see `catalog`.

The same two columns as in `catalog_relations`; `schemas` and `relations` are defined there.
"""

from migration_pipeline.adapters.catalog_words import (
    FIRST_NORMAL_OID,
    acl_items,
    commented,
    privileges,
    sealed_options,
    unless_extension,
)

#: Extensions. Who owns one is not in a dump.
EXTENSIONS = f"""
SELECT 'extension ' || quote_ident(x.extname),
json_strip_nulls(json_build_object(
  'schema', x.extnamespace::regnamespace::text,
  'version', x.extversion,
  'comment', about.description
))::text
FROM pg_extension x {commented("pg_extension", "x.oid")}
"""

#: Collations; not their version, which is the operating system's of the day.
COLLATIONS = f"""
SELECT 'collation ' || s.name || '.' || quote_ident(c.collname),
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(c.collowner),
  'settings', (to_jsonb(c) - '{{oid,collname,collnamespace,collowner,collversion}}'::text[])::text,
  'comment', about.description
))::text
FROM pg_collation c JOIN schemas s ON s.oid = c.collnamespace {commented("pg_collation", "c.oid")}
WHERE {unless_extension("pg_collation", "c.oid")}
"""

#: Conversions between encodings.
CONVERSIONS = f"""
SELECT 'conversion ' || s.name || '.' || quote_ident(c.conname),
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(c.conowner),
  'conversion', concat_ws(' ', pg_encoding_to_char(c.conforencoding), pg_encoding_to_char(c.contoencoding), c.conproc,
    c.condefault),
  'comment', about.description
))::text
FROM pg_conversion c JOIN schemas s ON s.oid = c.connamespace {commented("pg_conversion", "c.oid")}
WHERE {unless_extension("pg_conversion", "c.oid")}
"""

#: Extended statistics.
STATISTICS = f"""
SELECT 'statistics ' || s.name || '.' || quote_ident(x.stxname),
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(x.stxowner),
  'definition', pg_get_statisticsobjdef(x.oid),
  'target', nullif(x.stxstattarget, -1)::text,
  'comment', about.description
))::text
FROM pg_statistic_ext x JOIN schemas s ON s.oid = x.stxnamespace {commented("pg_statistic_ext", "x.oid")}
"""

#: Text search: how a configuration maps token types to dictionaries, in order.
TEXT_SEARCH_CONFIGURATIONS = f"""
SELECT 'text search configuration ' || s.name || '.' || quote_ident(c.cfgname),
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(c.cfgowner),
  'parser', (SELECT p.prsname FROM pg_ts_parser p WHERE p.oid = c.cfgparser),
  'mappings', (SELECT string_agg(t.alias || ' ' || m.mapdict::regdictionary, ', ' ORDER BY t.tokid, m.mapseqno) FROM
    pg_ts_config_map m JOIN ts_token_type(c.cfgparser) t ON t.tokid = m.maptokentype WHERE m.mapcfg = c.oid),
  'comment', about.description
))::text
FROM pg_ts_config c JOIN schemas s ON s.oid = c.cfgnamespace {commented("pg_ts_config", "c.oid")}
WHERE {unless_extension("pg_ts_config", "c.oid")}
"""

#: Text search dictionaries.
TEXT_SEARCH_DICTIONARIES = f"""
SELECT 'text search dictionary ' || s.name || '.' || quote_ident(d.dictname),
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(d.dictowner),
  'template', (SELECT t.tmplname FROM pg_ts_template t WHERE t.oid = d.dicttemplate),
  'options', d.dictinitoption,
  'comment', about.description
))::text
FROM pg_ts_dict d JOIN schemas s ON s.oid = d.dictnamespace {commented("pg_ts_dict", "d.oid")}
WHERE {unless_extension("pg_ts_dict", "d.oid")}
"""

#: Text search parsers and templates, which only C functions make.
TEXT_SEARCH_PARTS = f"""
SELECT 'text search parser ' || s.name || '.' || quote_ident(p.prsname),
json_strip_nulls(json_build_object(
  'functions', concat_ws(', ', p.prsstart, p.prstoken, p.prsend, p.prsheadline, p.prslextype)
))::text
FROM pg_ts_parser p JOIN schemas s ON s.oid = p.prsnamespace WHERE {unless_extension("pg_ts_parser", "p.oid")}
UNION ALL
SELECT 'text search template ' || s.name || '.' || quote_ident(t.tmplname),
json_strip_nulls(json_build_object(
  'functions', concat_ws(', ', t.tmplinit, t.tmpllexize)
))::text
FROM pg_ts_template t JOIN schemas s ON s.oid = t.tmplnamespace WHERE {unless_extension("pg_ts_template", "t.oid")}
"""

#: Foreign data wrappers.
WRAPPERS = f"""
SELECT 'foreign data wrapper ' || quote_ident(w.fdwname),
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(w.fdwowner),
  'privileges', {privileges("w.fdwacl", "'F'", "w.fdwowner")},
  'functions', concat_ws(', ', w.fdwhandler::regproc, w.fdwvalidator::regproc),
  'sealed options', {sealed_options("w.fdwoptions")},
  'comment', about.description
))::text
FROM pg_foreign_data_wrapper w {commented("pg_foreign_data_wrapper", "w.oid")}
WHERE {unless_extension("pg_foreign_data_wrapper", "w.oid")}
"""

#: Foreign servers.
SERVERS = f"""
SELECT 'server ' || quote_ident(v.srvname),
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(v.srvowner),
  'privileges', {privileges("v.srvacl", "'S'", "v.srvowner")},
  'wrapper', (SELECT w.fdwname FROM pg_foreign_data_wrapper w WHERE w.oid = v.srvfdw),
  'type', v.srvtype,
  'version', v.srvversion,
  'sealed options', {sealed_options("v.srvoptions")},
  'comment', about.description
))::text
FROM pg_foreign_server v {commented("pg_foreign_server", "v.oid")}
WHERE {unless_extension("pg_foreign_server", "v.oid")}
"""

#: User mappings by name alone; the view is what an ordinary role may read.
USER_MAPPINGS = """
SELECT 'user mapping for ' || quote_ident(u.usename) || ' on ' || quote_ident(u.srvname), '{}' FROM pg_user_mappings u
"""

#: Event triggers.
EVENT_TRIGGERS = f"""
SELECT 'event trigger ' || quote_ident(t.evtname),
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(t.evtowner),
  'event', t.evtevent::text,
  'tags', (SELECT string_agg(x, ', ' ORDER BY x COLLATE "C") FROM unnest(t.evttags) x),
  'function', t.evtfoid::regprocedure::text,
  'fires', CASE t.evtenabled WHEN 'D' THEN 'never (disabled)' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END,
  'comment', about.description
))::text
FROM pg_event_trigger t {commented("pg_event_trigger", "t.oid")}
WHERE {unless_extension("pg_event_trigger", "t.oid")}
"""

#: ALTER DEFAULT PRIVILEGES.
DEFAULT_PRIVILEGES = f"""
SELECT 'default privileges of ' || quote_ident(pg_get_userbyid(d.defaclrole))
       || coalesce(' in schema ' || nullif(d.defaclnamespace, 0)::regnamespace, '') || ' on '
       || CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types'
                               WHEN 'n' THEN 'schemas' ELSE 'large objects' END,
json_strip_nulls(json_build_object(
  'privileges', {acl_items("d.defaclacl")}
))::text
FROM pg_default_acl d
"""

#: Languages, access methods and transforms that no extension brought.
LANGUAGES = f"""
SELECT 'language ' || quote_ident(l.lanname),
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(l.lanowner),
  'privileges', {privileges("l.lanacl", "'l'", "l.lanowner")},
  'functions', concat_ws(', ', l.lanplcallfoid::regproc, l.laninline::regproc, l.lanvalidator::regproc, l.lanpltrusted),
  'comment', about.description
))::text
FROM pg_language l {commented("pg_language", "l.oid")}
WHERE l.oid >= {FIRST_NORMAL_OID} AND {unless_extension("pg_language", "l.oid")}
UNION ALL
SELECT 'access method ' || quote_ident(a.amname),
json_strip_nulls(json_build_object(
  'handler', concat_ws(' ', a.amtype, a.amhandler)
))::text
FROM pg_am a WHERE a.oid >= {FIRST_NORMAL_OID} AND {unless_extension("pg_am", "a.oid")}
UNION ALL
SELECT 'transform for ' || t.trftype::regtype || ' language ' || (SELECT l.lanname FROM pg_language l WHERE l.oid = t.trflang),
json_strip_nulls(json_build_object(
  'functions', concat_ws(', ', t.trffromsql::regproc, t.trftosql::regproc)
))::text
FROM pg_transform t WHERE {unless_extension("pg_transform", "t.oid")}
"""

QUERIES = (
    EXTENSIONS, COLLATIONS, CONVERSIONS, STATISTICS, TEXT_SEARCH_CONFIGURATIONS, TEXT_SEARCH_DICTIONARIES, TEXT_SEARCH_PARTS,
    WRAPPERS, SERVERS, USER_MAPPINGS, EVENT_TRIGGERS, DEFAULT_PRIVILEGES, LANGUAGES,
)  # fmt: skip

#: Publications, and the tables in them as PostgreSQL 14 knows them.
PUBLICATIONS = f"""
SELECT 'publication ' || quote_ident(p.pubname),
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(p.pubowner),
  'settings', (to_jsonb(p) - '{{oid,pubname,pubowner}}'::text[])::text,
  'comment', about.description
))::text
FROM pg_publication p {commented("pg_publication", "p.oid")}
"""
TABLES_14 = """
SELECT 'publication ' || quote_ident(p.pubname) || ' table ' || t.prrelid::regclass, '{}'
FROM pg_publication p JOIN pg_publication_rel t ON t.prpubid = p.oid
"""

#: The tables, with columns and row filters, and the schemas in publications since PostgreSQL 15.
TABLES = """
SELECT 'publication ' || quote_ident(p.pubname) || ' table ' || t.prrelid::regclass,
json_strip_nulls(json_build_object(
  'where', pg_get_expr(t.prqual, t.prrelid),
  'columns', (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = t.prrelid
    AND a.attnum = ANY (t.prattrs))
))::text
FROM pg_publication p JOIN pg_publication_rel t ON t.prpubid = p.oid
"""
SCHEMAS = """
SELECT 'publication ' || quote_ident(p.pubname) || ' schema ' || n.pnnspid::regnamespace, '{}'
FROM pg_publication p JOIN pg_publication_namespace n ON n.pnpubid = p.oid
"""

PUBLICATION_QUERIES_14 = (PUBLICATIONS, TABLES_14)
PUBLICATION_QUERIES = (PUBLICATIONS, TABLES, SCHEMAS)
