"""Notices over real channels of this machine: an HTTP server, an SMTP server, and channels that fail in each way."""

import email
import email.policy
import json
import logging
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller

from migration_pipeline import errors
from migration_pipeline.adapters import notify
from migration_pipeline.domain import notices
from migration_pipeline.domain.notices import Channel

SECRET = "s3cr3t-t0k3n"
SLACK = f"/services/T1JJ3T3L2/A1BRTD4JD/{SECRET}"
BACK_TO = datetime(2026, 11, 23, 2, 13, tzinfo=UTC)
ERROR = errors.UpgradeFailed(
    "The upgrade failed.", evidence={"state": "the database is at 0006, as before"}, next_step="just migrate"
)
DOING = {"statement": "UPDATE visits SET day = …"}
NOTICES = {
    "alert": notices.runs_long("clinic", route="6 to 8", running=timedelta(minutes=6), limit=timedelta(minutes=30), doing=DOING),
    "cancelled": notices.cancelled("clinic", ERROR),
    "failure": notices.failed("clinic", ERROR),
    "success": notices.migrated(
        "clinic", route="6 to 8", seconds=75, backup="backup_2026-11-23_02-13-40", lost=("3 rows <b> lost",)
    ),
    "restore started": notices.restore_started("Clinic", back_to=BACK_TO, expected=timedelta(minutes=9)),
    "restore done": notices.restore_done("Clinic", back_to=BACK_TO, took=timedelta(minutes=9)),
}
TYPES = dict(zip(NOTICES, ["warning", "warning", "failure", "success", "info", "info"], strict=True))


class Receiver(BaseHTTPRequestHandler):
    """Keeps what is posted; a path names the status that it answers with, or that it never does."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, body))
        if self.path.startswith("/slow"):
            self.server.ended.wait(20)
        status = self.path.partition("/status/")[2][:3]
        self.send_response(int(status or 200))
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    """An HTTP server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.received, server.ended, server.block_on_close = [], threading.Event(), False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def mail():
    """An SMTP server that keeps the messages."""

    class Keeper:
        messages = []  # noqa: RUF012 - one server a test

        async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - the name is aiosmtpd's
            self.messages.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=email.policy.default)))
            return "250 OK"

    keeper = Keeper()
    controller = Controller(keeper, hostname="127.0.0.1", port=free_port())
    controller.start()
    keeper.url = f"mailto://127.0.0.1:{controller.port}?from=database@clinic.example&to=wards@clinic.example"
    yield keeper
    controller.stop()


def free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def hook(server, path=f"/{SECRET}", variable="HOOK_URL"):
    return Channel(variable=variable, url=f"json://127.0.0.1:{server.server_port}{path}")


@pytest.mark.parametrize("name", NOTICES)
def test_a_notice_of_each_kind_arrives_as_it_is_and_quotes_no_secret(web, mail, name):
    notice = NOTICES[name]

    done = notify.send([hook(web), Channel(variable="WARD_URL", url=mail.url)], notice)

    assert [str(one) for one in done] == ["HOOK_URL: delivered", "WARD_URL: delivered"]
    ((path, body),) = web.received
    posted = json.loads(body)
    assert (path, posted["title"], posted["message"], posted["type"]) == (f"/{SECRET}", notice.subject, notice.text, TYPES[name])
    ((to, message),) = mail.messages
    assert (to, message["subject"]) == (["wards@clinic.example"], notice.subject)
    text = message.get_body(("plain",)).get_content()
    assert text.splitlines() == list(notice.lines)
    assert SECRET not in body.decode() + message.as_string()


def test_slack_gets_it_by_its_own_form(web, monkeypatch):
    from apprise.plugins.slack import NotifySlack

    monkeypatch.setattr(NotifySlack, "webhook_url", f"http://127.0.0.1:{web.server_port}/services")

    (done,) = notify.send([Channel(variable="SLACK_URL", url=f"https://hooks.slack.com{SLACK_PATH}")], NOTICES["failure"])

    assert done.delivered, done
    ((path, body),) = web.received
    assert path == SLACK_PATH
    said = json.dumps(json.loads(body))
    assert "clinic: the migration failed" in said
    assert "the database is at 0006, as before" in said
    assert "github.com" not in said, "no picture from elsewhere"


SLACK_PATH = "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
FAILING = {
    "status 404": ("/status/404", "it answered with status 404"),
    "status 500": ("/status/500", "it answered with status 500"),
    "nobody listens": (None, "it cannot be reached"),
    "an unknown service": ("foo://", "its URL is none that apprise knows"),
    "a mail server that is none": ("mail", "it cannot be reached"),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_channel_that_fails_is_named_without_its_url_and_the_others_are_told(web, caplog, capfd, name):
    caplog.set_level(logging.NOTSET)
    where, problem = FAILING[name]
    if where is None:
        failing = f"json://127.0.0.1:{free_port()}/{SECRET}"
    elif where == "mail":
        failing = f"mailto://user:{SECRET}@127.0.0.1:{free_port()}?from=a@b.example&to=c@d.example"
    elif where.startswith("/"):
        failing = hook(web, f"{where}/{SECRET}").url
    else:
        failing = f"{where}{SECRET}"

    done = notify.send([Channel(variable="PAGER_URL", url=failing), hook(web, "/other")], NOTICES["failure"])

    assert [str(one) for one in done] == [f"PAGER_URL: {problem}", "HOOK_URL: delivered"]
    assert [one.delivered for one in done] == [False, True]
    assert SECRET not in repr(done) + caplog.text + "".join(capfd.readouterr())


def test_channels_are_told_at_once_and_one_that_hangs_is_left_behind(web):
    started = time.monotonic()

    done = notify.send(
        [hook(web, "/slow", "SLOW_URL"), hook(web, "/slow", "SLOW_TOO_URL"), hook(web, "/fast")],
        NOTICES["alert"],
        limit_seconds=3,
    )

    assert time.monotonic() - started < 6
    assert [str(one) for one in done] == [
        "SLOW_URL: no answer within 3 s",
        "SLOW_TOO_URL: no answer within 3 s",
        "HOOK_URL: delivered",
    ]
    assert done[2].seconds < 3


def test_nobody_to_tell_is_nothing_to_do():
    assert notify.send((), NOTICES["alert"]) == ()


def test_what_another_thread_asks_over_http_is_still_logged(web, caplog):
    import requests

    caplog.set_level(logging.DEBUG)
    notify.send([hook(web)], NOTICES["alert"])
    caplog.clear()

    requests.post(f"http://127.0.0.1:{web.server_port}/ours", data=b"x", timeout=5)

    assert "/ours" in caplog.text
