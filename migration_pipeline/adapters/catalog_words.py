"""Phrases that the catalog's queries share; all arguments are SQL of our own, never a value."""

#: The first OID that initdb does not give: https://www.postgresql.org/docs/current/system-catalog-initial-data.html.
FIRST_NORMAL_OID = 16384


def privileges(acl: str, kind: str, owner: str) -> str:
    """Return the sorted items; null where they are the default, written out or not.

    The kinds are those of acldefault: https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-ACLITEM.
    """
    default = f'acldefault(({kind})::"char", {owner})'
    return f"CASE WHEN {acl} IS NOT NULL THEN nullif({acl_items(acl)}, {acl_items(default)}) END"


def acl_items(acl: str) -> str:
    return f"(SELECT coalesce(string_agg(i::text, ', ' ORDER BY i::text COLLATE \"C\"), 'none') FROM unnest({acl}) i)"


def options(array: str) -> str:
    return f"CASE WHEN {array} IS NOT NULL THEN (SELECT string_agg(o, ', ' ORDER BY o COLLATE \"C\") FROM unnest({array}) o) END"


def sealed_options(array: str) -> str:
    """As `options`, with a hash for each value: a foreign server's options may hold a secret."""
    value = "left(encode(sha256(convert_to(o.option_value, 'UTF8')), 'hex'), 16)"
    return (
        f"(SELECT string_agg(o.option_name || '=#' || {value}, ', ' ORDER BY o.option_name COLLATE \"C\")"
        f" FROM pg_options_to_table({array}) o)"
    )


def commented(catalog: str, oid: str, part: str = "0") -> str:
    """Join the comment as `about.description`."""
    return (
        f"LEFT JOIN pg_description about ON about.objoid = {oid} AND about.objsubid = {part}"
        f" AND about.classoid = 'pg_catalog.{catalog}'::regclass"
    )


def unless_extension(catalog: str, oid: str) -> str:
    """Exclude members of extensions (https://www.postgresql.org/docs/current/catalog-pg-depend.html, deptype e)."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_catalog.{catalog}'::regclass"
        f" AND e.objid = {oid} AND e.deptype = 'e')"
    )
