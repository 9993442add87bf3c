"""The words of an `upgrade()` that are known to lose no data: calls of Alembic's, of SQLAlchemy's, of Python's."""

import builtins
import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SCHEMA_CALLS = _words(
    "add_column create_index create_unique_constraint create_foreign_key create_primary_key create_check_constraint "
    "create_table_comment drop_table_comment drop_index drop_constraint alter_column f"
)
OP_CALLS = SCHEMA_CALLS | {"create_table", "batch_alter_table", "get_bind", "get_context"}
#: Of `alter_column` and `batch_alter_table` what changes no stored value and makes no table anew.
OPTIONS = {
    "alter_column": _words("table_name column_name nullable server_default comment schema existing_type existing_nullable "
                              "existing_server_default existing_comment"
),
    "batch_alter_table": frozenset({"table_name", "schema", "naming_convention"}),
}  # fmt: skip
DEFAULTS = frozenset({"server_default", "existing_server_default"})
ASKS = _words(
    "has_table has_index get_table_names get_view_names get_schema_names get_columns get_indexes get_foreign_keys "
    "get_unique_constraints get_check_constraints get_pk_constraint get_table_comment get_enums has_sequence"
)
VALUE_CALLS = _words(
    "get append add extend lower upper strip split join format items keys values startswith endswith replace union "
    "intersection difference issubset issuperset copy with_variant create has_table"
)
LOGS = frozenset({"debug", "info", "warning", "error", "exception"})
BUILTINS = _words(
    "set list tuple dict frozenset any all len sorted str int bool next isinstance print range enumerate zip min max sum "
    "True False None reversed repr iter"
)
ERRORS = frozenset(name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, Exception))
LIBRARIES = frozenset({"sqlalchemy", "sqlmodel"})
CONSTRUCTORS = _words(
    "Column ForeignKey PrimaryKeyConstraint ForeignKeyConstraint UniqueConstraint CheckConstraint Index Identity Sequence "
    "Enum ENUM Integer BigInteger SmallInteger String Text Unicode UnicodeText Boolean Date DateTime Time "
    "Interval Float Double Numeric LargeBinary "
    "JSON JSONB Uuid UUID ARRAY VARCHAR NVARCHAR CHAR TEXT CLOB INTEGER BIGINT SMALLINT BOOLEAN TIMESTAMP DATETIME "
    "DATE TIME NUMERIC DECIMAL REAL FLOAT DOUBLE_PRECISION BYTEA BLOB BINARY VARBINARY HSTORE INET CIDR MACADDR TSVECTOR "
    "INTERVAL AutoString text true false null MetaData LONGTEXT MEDIUMTEXT TINYINT"
)
#: Their arguments are SQL, so they must be there to read.
OF_SQL = frozenset({"text", "CheckConstraint", "create_check_constraint"})
INSPECTS = frozenset({("sqlalchemy", "inspect"), ("sqlalchemy", "engine", "reflection", "Inspector", "from_engine"),
                      ("sqlalchemy", "Inspector", "from_engine")})  # fmt: skip
#: Options that are SQL too.
SQL_OPTIONS = _words(
    "sqltext condition text postgresql_where sqlite_where postgresql_using postgresql_partition_by postgresql_with prefixes"
)
CHANGING = re.compile(r"\b(drop|delete|truncate|update|alter|insert|merge|setval|rename)\b", re.IGNORECASE)
#: Methods that are known to send, whatever they are called on.
SENDING = _words(
    "execute executemany exec_driver_sql scalar scalars run_sync commit flush merge delete drop drop_all create_all drop_table "
    "drop_column alter_column rename_table bulk_insert bulk_save_objects bulk_update_mappings query truncate update"
)
#: Names that can give another name a new meaning.
OVERWRITING = frozenset({"setattr", "exec", "eval", "globals", "vars", "__builtins__", "__import__"})
#: What a file may do at its import that changes what Alembic's and SQLAlchemy's own calls do.
HOOKS = re.compile(r"listen|patch|compiles|implementation|register|replace_globals|__dict__", re.IGNORECASE)
#: What may stand before a parenthesis in a text.
PLAIN_SQL = _words(
    "in and or not now length char_length lower upper trim coalesce gen_random_uuid uuid_generate_v4 current_timestamp varchar "
    "character numeric timezone check values localtimestamp clock_timestamp jsonb_typeof date_trunc any all array_length"
)
CALLED = re.compile(r'([\w"]+(?:\s*\.\s*[\w"]+)*)\s*\(')
HIDES = re.compile(r";|/\*|--")  #: what may stand between a name and its parenthesis, or behind the expression


def is_harmless_sql(text: str) -> bool:
    """Tell whether a text, should it be an expression of SQL, calls nothing but what is known."""
    return all(name.lower() in PLAIN_SQL for name in CALLED.findall(text)) and not HIDES.search(text)
