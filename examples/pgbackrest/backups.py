#!/usr/bin/env python3
"""pgBackRest as a Target's own backup system: the commands `list`, `create` and `restore_to`. Standard library only.

A restored copy is a cluster of its own in MIGRATION_SCRATCH_FOLDER, behind a socket that nobody else reaches. It archives
nothing, replicates nothing, runs no jobs, and is taken away when standard input ends.
"""

import argparse
import json
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

POLL_SECONDS = 0.2
CHECKSUM_ERROR = "was backed up with page checksum errors and is left out"
NO_BACKUPS = 2  # https://pgbackrest.org/command.html#command-info, status code

#: What the copy must never do, whatever production's configuration says. Options on the command line win over every file.
#: https://www.postgresql.org/docs/current/runtime-config.html
HARMLESS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",  # a name within the socket's folder
    "archive_mode": "off",  # nothing of the copy ever reaches production's repository
    "archive_command": "",
    "primary_conninfo": "",
    "max_logical_replication_workers": "0",  # its subscriptions would take production's changes
    "max_wal_senders": "0",
    "synchronous_standby_names": "",
    "hot_standby": "off",  # nobody connects before the recovery is over
    "autovacuum": "off",
    "ssl": "off",
    "logging_collector": "off",
    "log_statement": "none",
    "log_min_error_statement": "panic",  # statements hold patient data
    "log_error_verbosity": "verbose",
    "external_pid_file": "",
    # a copy that is thrown away need not survive a crash
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "4GB",
}
#: What recovery cannot do with less of than production had (in pg_control).
NEEDED = {"max_prepared_xacts": "max_prepared_transactions", "max_locks_per_xact": "max_locks_per_transaction"}


def main() -> None:
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        {"list": list_, "create": create, "restore_to": restore_to}[options.verb](options)
    except (OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
        sys.exit(f"backups.py: error: {type(error).__name__}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="backups.py")
    parser.add_argument("verb", choices=("list", "create", "restore_to"))
    parser.add_argument("--stanza", required=True)
    parser.add_argument("--config", help="pgBackRest's configuration, where it is not /etc/pgbackrest/pgbackrest.conf")
    parser.add_argument("--type", default="incr", choices=("full", "diff", "incr"), help="of the backup that create takes")
    parser.add_argument("--account", default="postgres", help="who runs pgBackRest and the copy where we are root")
    parser.add_argument("--superuser", default="postgres", help="a role of the cluster that may do everything")
    parser.add_argument("--programs", type=Path, help="the folder of PostgreSQL's programs of the backup's major version")
    parser.add_argument("--preload", default="", help="shared_preload_libraries of the copy, for what cannot do without")
    return parser.parse_args()


# list and create ─────────────────────────────────────────────────────────────────────────────────


def list_(options: argparse.Namespace) -> None:
    print(json.dumps(backups(options)))


def create(options: argparse.Namespace) -> None:
    before = {one["id"] for one in backups(options)}
    command = [*pgbackrest(options), "backup", f"--type={options.type}", "--start-fast"]
    run(options, command)
    new = [one for one in backups(options) if one["id"] not in before]
    if len(new) != 1:
        sys.exit(f"backups.py: error: {len(new)} backups are new after pgbackrest backup")
    print(json.dumps(new[0]))


def backups(options: argparse.Namespace) -> list[dict[str, object]]:
    (stanza,) = json.loads(run(options, [*pgbackrest(options), "info", "--output=json"]))
    if stanza["status"]["code"] not in (0, NO_BACKUPS):
        sys.exit(f"backups.py: error: pgbackrest info: {stanza['status']['message']}")
    found = []
    for one in stanza["backup"]:
        if one.get("error"):
            print(f"backups.py: {one['label']} {CHECKSUM_ERROR}", file=sys.stderr)
            continue
        stop = datetime.fromtimestamp(one["timestamp"]["stop"], UTC)
        found.append({"id": one["label"], "time": stop.isoformat(), "bytes": one["info"]["size"]})
    return found


def pgbackrest(options: argparse.Namespace) -> list[str]:
    config = [f"--config={options.config}"] if options.config else []
    return ["pgbackrest", f"--stanza={options.stanza}", *config, "--log-level-console=off", "--log-level-stderr=error"]


def run(options: argparse.Namespace, command: list[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, **as_account(options))
    if done.returncode:
        sys.exit(done.returncode)  # pgBackRest has said why
    return done.stdout


def as_account(options: argparse.Namespace) -> dict[str, object]:
    """Return how a program is started: as the account, where we are root, and without a way to the live database."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG") or name.startswith("PGBACKREST_")}
    if os.geteuid() != 0:
        return {"env": kept, "cwd": "/"}
    entry = pwd.getpwnam(options.account)
    kept |= {"HOME": entry.pw_dir, "USER": entry.pw_name}
    return {"env": kept, "cwd": "/", "user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


# restore_to ──────────────────────────────────────────────────────────────────────────────────────


def restore_to(options: argparse.Namespace) -> None:
    room = Path(os.environ["MIGRATION_SCRATCH_FOLDER"])
    if os.geteuid() == 0:
        shutil.chown(room, options.account)
    children: list[subprocess.Popen[bytes]] = []
    try:
        restore(options, room / "data", children)
        disarm(options, room)
        serve(options, room, children)
    finally:
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGQUIT)  # PostgreSQL: at once; nothing of it is kept
                child.wait()
        for path in room.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def restore(options: argparse.Namespace, data: Path, children: list["subprocess.Popen[bytes]"]) -> None:
    """Restore to the backup's own end: pgBackRest's default would go on to the end of the archive, which nobody counted."""
    command = [*pgbackrest(options), "restore", f"--set={os.environ['MIGRATION_BACKUP_ID']}", f"--pg1-path={data}"]
    command += ["--type=immediate", "--target-action=promote", "--archive-mode=off"]
    # without it, tablespaces are restored to where they are in production
    command += [f"--tablespace-map-all={data.parent / 'tablespaces'}"]
    child = start(options, command, stdout=subprocess.DEVNULL)
    children.append(child)
    while child.poll() is None:
        stop_at_end_of_input()
    if child.returncode:
        sys.exit(child.returncode)


def disarm(options: argparse.Namespace, room: Path) -> None:
    """Keep of production's configuration only what recovery needs. The postgresql.conf of the copy is ours, and empty."""
    data = room / "data"
    auto = data / "postgresql.auto.conf"  # read after every other file, whoever wrote it
    recovery = [line for line in auto.read_text().splitlines() if re.match(r"(?:restore_command|recovery_target\w*) = ", line)]
    auto.write_text("\n".join(recovery) + "\n")
    for name, text in (("copy.conf", ""), ("hba.conf", "local all all trust\n"), ("ident.conf", "")):
        (room / name).write_text(text)
        if os.geteuid() == 0:
            shutil.chown(room / name, options.account)


def serve(options: argparse.Namespace, room: Path, children: list["subprocess.Popen[bytes]"]) -> None:
    data, programs = room / "data", options.programs
    programs = programs or Path(f"/usr/lib/postgresql/{(data / 'PG_VERSION').read_text().strip()}/bin")
    files = {"config_file": "copy.conf", "hba_file": "hba.conf", "ident_file": "ident.conf"}
    settings = HARMLESS | {name: str(room / file) for name, file in files.items()} | needed(options, programs, data)
    settings |= {"unix_socket_directories": str(room), "shared_preload_libraries": options.preload}
    command = [str(programs / "postgres"), "-D", str(data), *(f"--{name}={value}" for name, value in settings.items())]
    with (room / "log").open("wb") as log:
        server = start(options, command, stdout=log, stderr=log)
    children.append(server)
    is_ready = [str(programs / "pg_isready"), "-q", "-h", str(room), "-p", HARMLESS["port"], "-t", "5"]
    while subprocess.run(is_ready, stdout=subprocess.DEVNULL, check=False, **as_account(options)).returncode:
        stop_at_end_of_input()
        if server.poll() is not None:
            fatal = re.findall(r"FATAL:.*", (room / "log").read_text("utf-8", "replace"))
            sys.exit(f"backups.py: error: the restored server ended. {fatal[-1] if fatal else ''}")
    database = quote(os.environ["MIGRATION_DATABASE"], safe="")
    where = f"host={quote(str(room), safe='')}&port={HARMLESS['port']}"
    print(json.dumps({"database_url": f"postgresql://{quote(options.superuser, safe='')}@/{database}?{where}"}), flush=True)
    while server.poll() is None:
        stop_at_end_of_input()
    sys.exit("backups.py: error: the restored server ended")


def needed(options: argparse.Namespace, programs: Path, data: Path) -> dict[str, str]:
    told = run(options, [str(programs / "pg_controldata"), str(data)])
    found = dict(re.findall(r"^(\w+) setting:\s+(\d+)$", told, re.MULTILINE))
    return {setting: found[name] for name, setting in NEEDED.items() if name in found}


def start(options: argparse.Namespace, command: list[str], **more: object) -> "subprocess.Popen[bytes]":
    """Start a program that the kernel ends when we are killed."""
    return subprocess.Popen(["setpriv", "--pdeathsig", "QUIT", *command], stdin=subprocess.DEVNULL, **as_account(options), **more)


def stop_at_end_of_input() -> None:
    if select.select([sys.stdin], [], [], POLL_SECONDS)[0] and not os.read(sys.stdin.fileno(), 4096):
        sys.exit(0)


if __name__ == "__main__":
    main()
