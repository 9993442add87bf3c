"""What a value of each of PostgreSQL's plainer types looks like: patterns with a number in them.

Every table has the same uuids, as it has the same numbers: a reference without a foreign key finds its row.
"""

DISJOINT = 10  #: how far apart ranges and shapes of two rows are, so that they exclude each other never

SIMPLE = {
    "bytea": "\\x{n:08x}", "uuid": "00000000-0000-4000-8000-{n:012x}", "time": "{h:02}:{m:02}:56.789",
    "timetz": "{h:02}:{m:02}:56.789+00",
    "interval": "{n} days 02:03:04", "json": '{{"n": {n}}}', "jsonb": '{{"n": {n}}}', "jsonpath": "$.n{n}", "xml": "<n>{n}</n>",
    "inet": "10.0.{b}.{a}", "cidr": "10.{b}.{a}.0/24", "macaddr": "08:00:2b:00:{b:02x}:{a:02x}",
    "macaddr8": "08:00:2b:00:00:00:{b:02x}:{a:02x}", "tsvector": "word{n}", "tsquery": "word{n}", "point": "({p},{p})",
    "line": "{{1,-1,{p}}}", "lseg": "[({p},{p}),({q},{q})]", "box": "(({q},{q}),({p},{p}))", "path": "(({p},{p}),({q},{q}))",
    "polygon": "(({p},{p}),({q},{q}),({p},{q}))", "circle": "<({p},{p}),1>", "pg_lsn": "0/{n:X}", "txid_snapshot": "{n}:{n}:",
    "pg_snapshot": "{n}:{n}:", "xid": "{n}", "xid8": "{n}", "cid": "{n}", "tid": "(0,{n})", "int2vector": "{n} {n}",
    "oidvector": "{n} {n}",
    "refcursor": "cursor {n}", "regclass": "pg_class", "regtype": "integer", "regrole": "{n}", "regnamespace": "pg_catalog",
    "regproc": "now", "regprocedure": "now()", "regconfig": "simple", "hstore": '"n"=>"{n}"', "ltree": "n{n}", "lquery": "n{n}",
    "cube": "({p},{q})", "geometry": "POINT({n} 1)", "geography": "POINT(1 1.{n})", "isbn": "{n}", "seg": "{p} .. {q}",
}  # fmt: skip
#: What else is tried where a check refuses the usual value.
OTHERS = {
    "json": ("[1]", '"text"', "1", "true", "{{}}", "[]"), "jsonb": ("[1]", '"text"', "1", "true", "{{}}", "[]"),
    "inet": ("::{n:x}", "192.168.{b}.{a}"), "interval": ("{n} seconds", "-{n} days"), "xml": ("<a/>",), "bytea": ("\\x{n:064x}",),
}  # fmt: skip


def sample(pattern: str, number: int) -> str:
    """Return the value of this number; `p` and `q` are places that no other one touches."""
    n = number + 1
    p = n * DISJOINT
    return pattern.format(n=n, a=n % 250 + 1, b=n // 250 % 250, h=n % 24, m=n // 24 % 60, p=p, q=p + 1)
