"""The SQL that reads functions, types and operators, see `catalog`.

The same two columns as in `catalog_relations`; `schemas` is defined there.
"""

from migration_pipeline.adapters.catalog_words import FIRST_NORMAL_OID, commented, privileges, unless_extension

#: Functions and procedures; not the constructors of range types, which come with the type and keep the restorer as owner.
FUNCTIONS = f"""
SELECT CASE p.prokind WHEN 'p' THEN 'procedure ' WHEN 'a' THEN 'aggregate ' ELSE 'function ' END || p.oid::regprocedure,
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(p.proowner),
  'privileges', {privileges("p.proacl", "'f'", "p.proowner")},
  'definition', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
  'comment', about.description
))::text
FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace {commented("pg_proc", "p.oid")}
WHERE {unless_extension("pg_proc", "p.oid")}
  AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid AND i.deptype = 'i'
                  AND i.refclassid = 'pg_type'::regclass)
"""

#: How an aggregate computes.
AGGREGATES = f"""
SELECT 'aggregate ' || p.oid::regprocedure,
json_strip_nulls(json_build_object(
  'result', pg_get_function_result(p.oid),
  'arguments', pg_get_function_arguments(p.oid),
  'parallel', p.proparallel::text,
  'state type', a.aggtranstype::regtype::text,
  'sort operator', CASE WHEN a.aggsortop <> 0 THEN a.aggsortop::regoperator::text END,
  'moving state type', CASE WHEN a.aggmtranstype <> 0 THEN a.aggmtranstype::regtype::text END,
  'functions', concat_ws(', ', a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn,
    a.aggminvtransfn, a.aggmfinalfn),
  'details', concat_ws(', ', a.aggkind, a.aggnumdirectargs, a.aggfinalextra, a.aggmfinalextra, a.aggfinalmodify,
    a.aggmfinalmodify, a.aggtransspace, a.aggmtransspace),
  'initial value', a.agginitval,
  'moving initial value', a.aggminitval
))::text
FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN schemas s ON s.oid = p.pronamespace
WHERE {unless_extension("pg_proc", "p.oid")}
"""

#: Enums, domains, ranges, composite and base types; not the types that come with tables, arrays and ranges.
TYPES = f"""
SELECT CASE t.typtype WHEN 'd' THEN 'domain ' ELSE 'type ' END || s.name || '.' || quote_ident(t.typname),
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(t.typowner),
  'privileges', {privileges("t.typacl", "'T'", "t.typowner")},
  'comment', about.description,
  'kind', CASE WHEN NOT t.typisdefined THEN 'shell' ELSE CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'r' THEN 'range' WHEN 'c' THEN
    'composite' WHEN 'b' THEN 'base' END END,
  'labels', (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid =
    t.oid),
  'type', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
  'not null', CASE WHEN t.typnotnull THEN 'yes' END,
  'default', CASE WHEN t.typtype = 'd' THEN pg_get_expr(t.typdefaultbin, 0) END,
  'collation', CASE WHEN t.typtype = 'd' AND t.typcollation <> (SELECT b.typcollation FROM pg_type b WHERE b.oid =
    t.typbasetype) THEN t.typcollation::regcollation::text END,
  'range', (SELECT concat_ws(', ', r.rngsubtype::regtype, r.rngmultitypid::regtype, r.rngcanonical, r.rngsubdiff,
    nullif(r.rngcollation, 0)::regcollation, (SELECT o.opcname FROM pg_opclass o WHERE o.oid = r.rngsubopc)) FROM pg_range r WHERE
    r.rngtypid = t.oid),
  'base', CASE WHEN t.typtype = 'b' THEN concat_ws(', ', t.typlen, t.typbyval, t.typalign, t.typstorage, t.typcategory,
    t.typispreferred, t.typdelim, t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze,
    nullif(t.typelem, 0)::regtype, t.typdefault) END
))::text
FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace {commented("pg_type", "t.oid")}
WHERE t.typtype IN ('e', 'd', 'r', 'c', 'b', 'p') AND {unless_extension("pg_type", "t.oid")}
  AND (t.typrelid = 0 OR (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c')
  AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
"""

#: Constraints of domains.
DOMAIN_CONSTRAINTS = f"""
SELECT 'constraint ' || s.name || '.' || quote_ident(t.typname) || '.' || quote_ident(c.conname),
json_strip_nulls(json_build_object(
  'definition', pg_get_constraintdef(c.oid),
  'comment', about.description
))::text
FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace JOIN pg_constraint c ON c.contypid = t.oid
{commented("pg_constraint", "c.oid")}
WHERE {unless_extension("pg_type", "t.oid")}
"""

#: Casts between types.
CASTS = f"""
SELECT 'cast (' || c.castsource::regtype || ' AS ' || c.casttarget::regtype || ')',
json_strip_nulls(json_build_object(
  'function', CASE WHEN c.castfunc <> 0 THEN c.castfunc::regprocedure::text END,
  'context', c.castcontext::text,
  'method', c.castmethod::text,
  'comment', about.description
))::text
FROM pg_cast c {commented("pg_cast", "c.oid")}
WHERE c.oid >= {FIRST_NORMAL_OID} AND {unless_extension("pg_cast", "c.oid")}
"""

#: Operators.
OPERATORS = f"""
SELECT 'operator ' || o.oid::regoperator,
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(o.oprowner),
  'function', o.oprcode::text,
  'commutator', CASE WHEN o.oprcom <> 0 THEN o.oprcom::regoperator::text END,
  'negator', CASE WHEN o.oprnegate <> 0 THEN o.oprnegate::regoperator::text END,
  'estimators', concat_ws(', ', o.oprrest, o.oprjoin),
  'merges', CASE WHEN o.oprcanmerge THEN 'yes' END,
  'hashes', CASE WHEN o.oprcanhash THEN 'yes' END,
  'comment', about.description
))::text
FROM pg_operator o JOIN schemas s ON s.oid = o.oprnamespace {commented("pg_operator", "o.oid")}
WHERE {unless_extension("pg_operator", "o.oid")}
"""

#: Operator classes.
OPERATOR_CLASSES = f"""
SELECT 'operator class ' || s.name || '.' || quote_ident(o.opcname) || ' using ' || m.amname,
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(o.opcowner),
  'type', o.opcintype::regtype::text,
  'key type', CASE WHEN o.opckeytype <> 0 THEN o.opckeytype::regtype::text END,
  'is default', CASE WHEN o.opcdefault THEN 'yes' END,
  'family', f.opfname,
  'comment', about.description
))::text
FROM pg_opclass o JOIN schemas s ON s.oid = o.opcnamespace JOIN pg_am m ON m.oid = o.opcmethod
JOIN pg_opfamily f ON f.oid = o.opcfamily {commented("pg_opclass", "o.oid")}
WHERE {unless_extension("pg_opclass", "o.oid")}
"""

#: Operator families, with the operators and functions that they hold.
OPERATOR_FAMILIES = f"""
SELECT 'operator family ' || s.name || '.' || quote_ident(f.opfname) || ' using ' || m.amname,
json_strip_nulls(json_build_object(
  'owner', pg_get_userbyid(f.opfowner),
  'operators', (SELECT string_agg(concat_ws(' ', a.amopstrategy, a.amopopr::regoperator, a.amoppurpose, (SELECT b.opfname FROM
    pg_opfamily b WHERE b.oid = a.amopsortfamily)), ', ' ORDER BY a.amopstrategy, a.amopopr::regoperator::text COLLATE "C") FROM
    pg_amop a WHERE a.amopfamily = f.oid),
  'functions', (SELECT string_agg(concat_ws(' ', a.amprocnum, a.amproclefttype::regtype, a.amprocrighttype::regtype,
    a.amproc::regprocedure), ', ' ORDER BY a.amprocnum, a.amproclefttype::regtype::text COLLATE "C",
    a.amprocrighttype::regtype::text COLLATE "C") FROM pg_amproc a WHERE a.amprocfamily = f.oid),
  'comment', about.description
))::text
FROM pg_opfamily f JOIN schemas s ON s.oid = f.opfnamespace JOIN pg_am m ON m.oid = f.opfmethod
{commented("pg_opfamily", "f.oid")}
WHERE {unless_extension("pg_opfamily", "f.oid")}
"""

QUERIES = (FUNCTIONS, AGGREGATES, TYPES, DOMAIN_CONSTRAINTS, CASTS, OPERATORS, OPERATOR_CLASSES, OPERATOR_FAMILIES)
