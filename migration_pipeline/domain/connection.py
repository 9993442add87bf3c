"""Where a database is: the URL of any driver, read once, written again for libpq's programs and for the project's driver.

Never shows a password, and never looks at the environment, a file or the network.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from types import MappingProxyType
from typing import Self
from urllib.parse import quote

from migration_pipeline.domain.connection_url import FILES, FORM, WrongUrl, read, wrong_text

__all__ = ["Connection", "WrongUrl"]

#: asyncpg takes these only from a DSN, which SQLAlchemy hands on as it is.
ASYNCPG_DSN = ("sslcert", "sslkey", "sslrootcert", "sslcrl", "ssl_min_protocol_version", "ssl_max_protocol_version", "options")
#: What a driver that is not libpq's is told by SQLAlchemy, and how it calls it.
DRIVER_NAMES = {
    "asyncpg": {"host": "host", "port": "port", "dbname": "database", "sslmode": "ssl", "passfile": "passfile",
                "target_session_attrs": "target_session_attrs", "krbsrvname": "krbsrvname"},
    "pg8000": {"dbname": "database"},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, repr=False)
class Connection:
    """One database and how to reach it, in libpq's keywords."""

    parameters: Mapping[str, str]  #: everything but the password
    password: str | None = None
    driver: str = field(default="", compare=False)  #: the one that the URL named; "": none

    def __post_init__(self) -> None:
        problems = [(key, problem) for key, value in self.parameters.items() if (problem := wrong_text(value))]
        if not self.parameters.get("dbname"):
            problems.append(("database", f"is missing; right: {FORM}"))
        if "password" in self.parameters:
            problems.append(("password", "is no parameter; right: password="))
        if problems:
            raise WrongUrl(problems)
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read a SQLAlchemy or libpq URL; raise `WrongUrl` with everything that is wrong with it."""
        driver, found = read(url)
        password = found.pop("password", None)
        return cls(parameters=found, password=password, driver=driver)

    def __hash__(self) -> int:
        return hash(frozenset(self.parameters.items()))

    def __repr__(self) -> str:
        return f"Connection({self.where})"

    def __str__(self) -> str:
        return self.where

    @property
    def database(self) -> str:
        return self.parameters["dbname"]

    @property
    def addresses(self) -> tuple[tuple[str, str], ...]:
        """Hosts with their ports, each "" where libpq's default is meant."""
        hosts = self.parameters.get("host", self.parameters.get("hostaddr", "")).split(",")
        ports = self.parameters.get("port", "").split(",")
        return tuple(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=True))

    @property
    def where(self) -> str:
        """The database for an operator's eyes: no password, no URL."""
        hosts = ",".join((f"[{host}]" if ":" in host else host or "the local server") + (f":{port}" if port else "")
                         for host, port in self.addresses)  # fmt: skip
        user = self.parameters.get("user")
        return f"{self.database} on {hosts}" + (f" as {user}" if user else "")

    def is_same_database_as(self, other: "Connection") -> bool:
        """By address and name alone: False proves nothing, a server can have several names."""
        return self.database == other.database and self.is_same_server_as(other)

    def is_same_server_as(self, other: "Connection") -> bool:
        """By address alone, as above."""
        ours, theirs = ([(host, port or "5432") for host, port in each.addresses] for each in (self, other))
        return bool(set(ours) & set(theirs))

    def replace(self, *, database: str) -> "Connection":
        return replace(self, parameters={**self.parameters, "dbname": database})

    def with_files_below(self, folder: PurePath) -> "Connection":
        """Make the names of certificates and keys absolute: libpq would look for them where each program happens to run."""
        files = {key: str(folder / value) for key, value in self.parameters.items() if key in FILES and value != "system"}
        return replace(self, parameters={**self.parameters, **files})

    def keywords(self, *, with_password: bool) -> dict[str, str]:
        """Return the arguments of `psycopg.connect`."""
        return {**self.parameters, **({"password": self.password} if with_password and self.password is not None else {})}

    def service_file(self, passfile: PurePath | str | None = None) -> str:
        """Return a libpq service file with everything but the password, for which it names `passfile`.

        Without a password of ours the passfile is not named: libpq then looks into the account's own ~/.pgpass.
        """
        ours = {"passfile": str(passfile)} if passfile is not None and self.password is not None else {}
        lines = {**self.parameters, **ours}
        if problem := wrong_text(lines.get("passfile", "")):
            raise WrongUrl([("passfile", problem)])
        return "[migration_pipeline]\n" + "".join(f"{key}={value}\n" for key, value in lines.items())

    def passfile_line(self) -> str:
        """Return the line for a passfile, "" without a password; a socket's host is *, as libpq may call it localhost."""
        if self.password is None:
            return ""
        (host, port), *others = self.addresses
        here = ("*", "*") if others or host.startswith(("/", "@")) else (host, port)
        parts = (*here, self.database, self.parameters.get("user", ""))
        escaped = [re.sub(r"([\\:#])", r"\\\1", part) if part not in {"", "*"} else "*" for part in parts]
        return ":".join((*escaped, re.sub(r"([\\:])", r"\\\1", self.password))) + "\n"

    def driver_url(self, driver: str, *, with_password: bool = False) -> str:
        """Return the SQLAlchemy URL for a driver ("": SQLAlchemy's choice), readable by SQLAlchemy 1.4 to 2.1.

        asyncpg is told only what it knows, and several hosts only by SQLAlchemy 2.0.18 and later.
        """
        authority, rest = self._authority(with_password=with_password)
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        names = DRIVER_NAMES.get(driver)
        if names is None:
            return f"{scheme}://{authority}" + _query(rest)
        query = {names[key]: value for key, value in rest.items() if key in names}
        if driver == "asyncpg" and (files := {key: value for key, value in rest.items() if key in ASYNCPG_DSN}):
            query["dsn"] = "postgresql://" + _query(files)
        return f"{scheme}://{authority}" + _query(query)

    def asyncpg_dsn(self, *, with_password: bool = False) -> str:
        """Return what asyncpg.connect reads by itself; it would send a key that it does not know to the server as a setting."""
        authority, rest = self._authority(with_password=with_password)
        known = {**DRIVER_NAMES["asyncpg"], **dict.fromkeys(ASYNCPG_DSN)}
        return f"postgresql://{authority}" + _query({key: value for key, value in rest.items() if key in known})

    def _authority(self, *, with_password: bool) -> tuple[str, dict[str, str]]:
        """Return a URL's part up to the query, and what is left for the query.

        Sockets and several hosts stand in the query, as do odd names of databases: only SQLAlchemy 2.1 decodes the path.
        """
        rest = dict(self.parameters)
        user = rest.pop("user", "")
        secret = ":" + quote(self.password, safe="") if with_password and self.password is not None else ""
        authority = f"{quote(user, safe='')}{secret}@" if user or secret else ""
        (host, port), *others = self.addresses
        if host and "host" in rest and not others and not host.startswith(("/", "@")):
            authority += (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
            del rest["host"]
            rest.pop("port", None)
        elif others:
            rest["port"] = ",".join(port or "5432" for _, port in self.addresses)
        if re.fullmatch(r"[\w.-]+", self.database, re.ASCII):
            return f"{authority}/{rest.pop('dbname')}", rest
        return authority, rest  # no "/": asyncpg would take it for the name of the database


def _query(pairs: Mapping[str, str]) -> str:
    return "?" + "&".join(f"{key}={quote(value, safe='')}" for key, value in pairs.items()) if pairs else ""
