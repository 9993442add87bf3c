"""What squawk says about the cases, where the program is there: a linter of migrations in common use, for comparison.

https://squawkhq.com/docs/rules. It reads text alone, as our prediction does.
"""

import json
import re
import shutil
import subprocess

#: Its rules about losing data that are on by default, and those that one can switch on.
DATA_RULES = frozenset({"ban-drop-table", "ban-drop-column", "ban-drop-database", "ban-truncate-cascade", "changing-column-type"})
OPTIONAL_DATA_RULES = (
    "ban-drop-schema",
    "ban-drop-sequence",
    "ban-drop-type",
    "ban-drop-domain",
    "ban-drop-extension",
    "ban-alter-identity",
    "ban-alter-sequence-values",
    "ban-alter-generated-expression",
)
#: A placeholder of a driver, as SQLAlchemy writes it: squawk reads SQL.
PLACEHOLDER = re.compile(r"%\(\w+\)s(?:::[A-Z ]+)?|\$\d+")


def program():
    return shutil.which("squawk")


def version():
    return subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


def rules_raised(texts, folder, major):
    """Return the names of the rules that it raises for each text: name → SQL becomes name → rules."""
    for name, text in texts.items():
        (folder / f"{name}.sql").write_text(text)
    command = [program(), "--reporter", "json", "--pg-version", f"{major}.0", "--assume-in-transaction"]
    command += [part for rule in OPTIONAL_DATA_RULES for part in ("--include", rule)]
    files = [folder / f"{name}.sql" for name in texts]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    found = {name: set() for name in texts}
    for one in json.loads(done.stdout):
        found[one["file"].rpartition("/")[2].removesuffix(".sql")].add(one["rule_name"])
    return found


def text_of(case, sent):
    """Return what it reads: the SQL itself, or the statements that a revision sends."""
    return case.sql or ";\n".join(PLACEHOLDER.sub("NULL", one.sql.replace("%%", "%")) for one in sent) + ";\n"


def loses_data(rules):
    """Tell whether a rule about losing data is among those raised by default."""
    return bool(rules & DATA_RULES)


def may_lose_data(rules):
    """Tell the same with the rules that one can switch on."""
    return bool(rules & (DATA_RULES | set(OPTIONAL_DATA_RULES)))


def any_rule(rules):
    """Tell whether anything is raised by default."""
    return bool(rules - set(OPTIONAL_DATA_RULES))
