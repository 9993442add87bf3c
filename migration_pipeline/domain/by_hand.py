"""The commands that restore a backup without this product: PostgreSQL's own programs, zstd and age."""

import shlex
from collections.abc import Iterator

from migration_pipeline.domain.backups import AGE, DATABASE, GLOBALS, WITH_PROVIDERS, DatabaseFacts, Form, Layout

KEY = "KEY_FILE"  #: stands for the file with the private key


def commands(backup_id: str, form: Form, database: str, facts: DatabaseFacts, *, major: int) -> tuple[str, ...]:
    """Return shell commands, in the folder of the backup's files. docs/restore.md explains each."""
    return tuple(_commands(backup_id, form, f"{database}_restored", facts, major))


def _commands(backup_id: str, form: Form, database: str, facts: DatabaseFacts, major: int) -> Iterator[str]:
    name = shlex.quote(database)
    psql = f"psql -X -v ON_ERROR_STOP=1 -d {name}"
    closed = shlex.quote('REVOKE CONNECT ON DATABASE "' + database.replace('"', '""') + '" FROM PUBLIC')
    yield f"{_plain_text(form.beside(backup_id, GLOBALS))} | psql -X -d postgres"
    yield f"createdb --template=template0 --encoding={facts.encoding} {' '.join(_locale(facts, major))} {name}"
    yield f"{psql} -c {closed}"
    if form.layout is Layout.DIRECTORY:
        yield f"pg_restore --exit-on-error --jobs={form.jobs} --dbname={name} {form.name(backup_id)}"
    else:
        yield f"{_plain_text(form.name(backup_id))} | {psql} --single-transaction"
    yield f"{_plain_text(form.beside(backup_id, DATABASE))} | {psql}"
    yield f"{psql} -c ANALYZE"


def _plain_text(file: str) -> str:
    if file.endswith(AGE):
        decrypted = f"age --decrypt -i {KEY} {file}"
        return f"{decrypted} | zstd -dc" if file.removesuffix(AGE).endswith(".zst") else decrypted
    return f"zstd -dc {file}" if file.endswith(".zst") else f"cat {file}"


def _locale(facts: DatabaseFacts, major: int) -> Iterator[str]:
    """Yield options of createdb; the provider is named wherever it can be, or it would be that of the template."""
    yield f"--lc-collate={shlex.quote(facts.collate)} --lc-ctype={shlex.quote(facts.ctype)}"
    provider, locale = facts.provider(major), shlex.quote(facts.icu_locale or "")
    if provider == "builtin":
        yield f"--locale-provider=builtin --builtin-locale={locale}"
    elif provider == "icu":
        yield f"--locale-provider=icu --icu-locale={locale}"
    elif major >= WITH_PROVIDERS:
        yield "--locale-provider=libc"
