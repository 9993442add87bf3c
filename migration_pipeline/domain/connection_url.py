"""Reading the URL of any PostgreSQL driver into libpq's keywords; collects everything that is wrong with it.

Never guesses: what SQLAlchemy and libpq read differently is refused. Never repeats a value, which may be part of a password.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from urllib.parse import unquote

from migration_pipeline.errors import UNPRINTABLE

FORM = "postgresql://USER:PASSWORD@HOST:5432/DATABASE"
DRIVERS = ("psycopg2", "psycopg", "psycopg_async", "psycopg2cffi", "asyncpg", "pg8000")

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SWITCH = ("0", "1")
TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
#: What libpq knows (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS) and is handed on.
CHOICES = {
    "sslmode": SSL_MODES,
    "sslnegotiation": ("postgres", "direct"),
    "sslcertmode": ("disable", "allow", "require"),
    "sslsni": SWITCH,
    "ssl_min_protocol_version": TLS_VERSIONS,
    "ssl_max_protocol_version": TLS_VERSIONS,
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "gssdelegation": SWITCH,
    "gsslib": ("gssapi", "sspi"),
    "keepalives": SWITCH,
    "target_session_attrs": ("any", "read-write", "primary"),  # a standby cannot be migrated
    "client_encoding": ("utf8", "UTF8", "utf-8", "UTF-8"),
}
NUMBERS = frozenset(("connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"))
FILES = frozenset(("sslcert", "sslkey", "sslrootcert", "sslcrl", "sslcrldir", "passfile"))
TEXTS = FILES | {"host", "hostaddr", "port", "user", "dbname", "password", "options", "requirepeer", "require_auth", "krbsrvname"}
#: What changes nothing for us: tuning of a driver's caches, time limits that are ours to set, names that are ours to give.
DROPPED = frozenset(
    (
        "application_name", "fallback_application_name", "client_encoding", "sslcompression", "tcp_keepalive",
        "prepared_statement_cache_size", "prepared_statement_name_func", "statement_cache_size", "max_cached_statement_lifetime",
        "max_cacheable_statement_size", "command_timeout", "timeout", "async_fallback", "prepare_threshold",
    )
)  # fmt: skip
REFUSED = {
    "direct_tls": "write sslnegotiation=direct",
    "load_balance_hosts": "remove it: the backup and the migration would reach different servers",
    "pgbouncer": "remove it, and name the server itself: a pooler in transaction mode cannot carry a migration",
    "replication": "remove it: a migration needs an ordinary connection",
    "schema": "write options=-csearch_path%3DSCHEMA",
    "server_settings": "write options=-cNAME%3DVALUE",
    "service": "write host, user and database into the URL: no service file is read",
    "servicefile": "write host, user and database into the URL: no service file is read",
    "sslpassword": "use a client key without a passphrase that only its owner can read",
    "unix_sock": "write host=/FOLDER/OF/THE/SOCKET",
}
OTHER_NAMES = {"database": "dbname", "username": "user", "ssl": "sslmode"}
#: asyncpg's `ssl`, beside the names of the modes; libpq itself reads ssl=true as require.
SSL_WORDS = {"true": "require", "false": "disable"}
MAX_BYTES = 900  # libpq reads a line of a service file up to 1,023 bytes
MAX_PORT = 65535


class WrongUrl(ValueError):
    """A URL that cannot be used: pairs of a key ("" for the whole URL) and a clause "is ...; right: ...", never a value."""

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{key or 'the URL'} {clause}" for key, clause in self.problems))


def wrong_text(value: str) -> str | None:
    """Return what keeps a value out of libpq's files, which hold one value a line and know no quotes."""
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "is not UTF-8; right: UTF-8"
    if UNPRINTABLE.search(value):
        return "holds a control character; right: printable text"
    if value != value.rstrip() or len(value.encode()) > MAX_BYTES:
        return f"ends with white space or is too long; right: up to {MAX_BYTES} bytes that end with none"
    return None


def wrong_password(value: str) -> str | None:
    """Return what keeps a password out of a passfile: it may be longer and odder than anything else, but is one line."""
    if any(character in "\0\r\n" for character in value):
        return "holds a line end or a NUL; right: one line of text"
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "is not UTF-8; right: UTF-8"
    return None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a clause that suggests what a mistyped word may mean, or ""."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.7) or [name for name in names if len(word) > 1 and name.startswith(word)]
    return f'; did you mean "{close[0]}"?' if close else ""


def read(url: str) -> tuple[str, dict[str, str]]:
    """Return the driver ("" for none) and libpq's keywords, the password among them; raise `WrongUrl`."""
    reader = _Reader()
    reader.read(url.strip())
    if reader.problems:
        raise WrongUrl(reader.problems)
    return reader.driver, reader.found


class _Reader:
    def __init__(self) -> None:
        self.driver = ""
        self.found: dict[str, str] = {}
        self.problems: list[tuple[str, str]] = []
        self.hides_keys = False  #: of the query: they may be part of a password

    def read(self, url: str) -> None:
        match = re.fullmatch(r"postgres(?:ql)?(?:\+(\w*))?://(.*)", url, re.DOTALL)
        if not match:
            self.wrong("", f"is no PostgreSQL URL; right: {FORM}")
            return
        self.driver, rest = match[1] or "", match[2]
        if match[1] is not None and self.driver not in DRIVERS:
            self.wrong("", f"names a driver that is not known; right: none, or one of {', '.join(DRIVERS)}")
        # libpq ends the user's part at the first "@" before any "/", SQLAlchemy at the first "@" of all. Where the two differ,
        # part of a password would be read as a host: nothing more is looked at, nor said.
        before, at, after = rest.partition("@")
        if "@" in after or (at and "/" in before):
            self.wrong("", 'can be read in two ways; right: "/" as %2F and "@" as %40 wherever they are part of a value')
            return
        user, _, password = (before if at else "").partition(":")
        where, _, query = (after if at else rest).partition("?")
        hosts, slash, database = where.partition("/")
        self.keep("user", user)
        self.keep("password", password)
        self.keep("dbname", database)
        self.read_addresses(hosts)
        self.hides_keys = "pass" in query or not (at or (slash and not self.problems))  # USER:PASSWORD without its "@HOST"
        self.read_query(query)
        if "dbname" not in self.found and not any(key == "database" for key, _ in self.problems):
            self.wrong("database", f"is missing; right: {FORM}")

    def wrong(self, key: str, clause: str) -> None:
        self.problems.append((key, clause))

    def keep(self, key: str, written: str) -> None:
        """Decode what is not empty, and keep it."""
        if written and (value := self.decoded(written, "database" if key == "dbname" else key)):
            self.found[key] = value

    def decoded(self, text: str, key: str) -> str:
        """Return a part of the URL as meant, or "" if it is wrong."""
        if re.search("%(?![0-9A-Fa-f]{2})", text):
            self.wrong(key, "has a % that begins no code; right: %25")
            return ""
        try:
            value = unquote(text, errors="strict")
        except UnicodeDecodeError:
            value = "\ud800"
        if problem := wrong_password(value) if key == "password" else wrong_text(value):
            self.wrong(key, problem)
            return ""
        return value

    def read_addresses(self, text: str) -> None:
        """Keep hosts and ports as written between user and database, or (SQLAlchemy's way) in host= of the query."""
        hosts, ports = [], []
        for part in text.split(",") if text else ():
            match = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::(\d*))?", part)
            host = self.decoded(match[1] or match[2] or "", "host") if match else ""
            if not match or not re.fullmatch(r"[/@][^,]*|[\w.\-:%]*", host) or ("," in text and not host):
                self.wrong("host", "is no host name, address or folder of a socket; right: HOST, HOST:PORT or [IPv6]:PORT")
                return
            hosts.append(host)
            ports.append(match[3] or "")
        if any(hosts):
            self.found["host"] = ",".join(hosts)
        if any(ports):
            self.keep_ports(ports)

    def keep_ports(self, ports: list[str]) -> None:
        if all(not port or (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= MAX_PORT) for port in ports):
            self.found["port"] = ",".join(ports)
        else:
            self.wrong("port", f"is no port; right: a number from 1 to {MAX_PORT}")

    def read_query(self, query: str) -> None:
        """Keep the query's keys; one wins over the same in front of it, as in libpq and in SQLAlchemy."""
        pairs: dict[str, list[str]] = {}
        for part in query.split("&") if query else ():
            name, equals, value = part.partition("=")
            key = OTHER_NAMES.get(name, name)
            if not equals or not value:
                self.wrong(self.shown(key), "has no value; right: KEY=VALUE")
            elif "+" in value and key not in DROPPED:
                self.wrong(self.shown(key), 'holds a "+", a space for SQLAlchemy and a plus for libpq; right: %20 or %2B')
            else:
                pairs.setdefault(key, []).append(value)
        for key, values in pairs.items():
            if key in {"host", "port"}:
                values[:] = [",".join(values)]
            if len(values) > 1:
                self.wrong(self.shown(key), "is given twice; right: once")
            else:
                self.read_parameter(key, values[0])
        count = len(self.found.get("host", "").split(","))
        if len(self.found.get("port", "").split(",")) not in {1, count}:
            self.wrong("port", "does not fit the hosts; right: one port, or one for each host")

    def read_parameter(self, key: str, written: str) -> None:
        if key in REFUSED:
            self.wrong(key, f"is not supported; right: {REFUSED[key]}")
        elif key in DROPPED and key not in CHOICES:
            return
        elif key not in CHOICES and key not in NUMBERS and key not in TEXTS:
            shown = self.shown(key)
            hint = nearest(key, (*CHOICES, *NUMBERS, *TEXTS)) if shown == key else ""
            self.wrong(shown, "is no connection parameter of libpq" + (hint or "; right: remove it"))
        elif value := self.decoded(written, "database" if key == "dbname" else key):
            self.keep_parameter(key, value)

    def keep_parameter(self, key: str, value: str) -> None:
        value = SSL_WORDS.get(value, value) if key == "sslmode" else value
        if key == "host":
            self.read_host_parameter(value)
        elif key == "port":
            self.keep_ports(value.split(","))
        elif key in CHOICES and value not in CHOICES[key]:
            self.wrong(key, f"is not known; right: {', '.join(CHOICES[key])}")
        elif key in NUMBERS and not re.fullmatch("[0-9]{1,9}", value):
            self.wrong(key, "is no whole number; right: a number of seconds or of tries")
        elif key not in DROPPED:
            self.found[key] = value

    def read_host_parameter(self, value: str) -> None:
        """Sockets and bare IPv6 addresses are as they are; HOST:PORT is SQLAlchemy's way."""
        parts = [f"[{part}]" if part.startswith(("/", "@")) or (part.count(":") > 1 and "[" not in part) else part
                 for part in value.split(",")]  # fmt: skip
        self.found.pop("host", None)
        self.read_addresses(",".join(part.replace("%", "%25") for part in parts))

    def shown(self, key: str) -> str:
        """Return the key for a message; not one that may be part of a password with a raw "&" or "?" in it."""
        known = key in CHOICES or key in NUMBERS or key in TEXTS or key in REFUSED
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", key) and not self.hides_keys
        return key if known or plain else "a key of the query"
