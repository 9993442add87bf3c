"""A server that does not answer a connection keeps it for a minute, and every DROP DATABASE waits as long: ours go with us."""

import signal
import socket

import pytest

from migration_pipeline.adapters import postgres
from migration_pipeline.domain.connection import Connection


class Interrupt(BaseException):
    """As Dagster raises it: no Exception."""


def test_an_interrupted_handshake_leaves_no_socket_open():
    def interrupt(_number, _frame):
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with (
            pytest.raises(Interrupt) as caught,
            postgres.session(
                Connection.from_url(f"postgresql://app@127.0.0.1:{silent.getsockname()[1]}/clinic"), purpose="looks"
            ),
        ):
            pass
        signal.signal(signal.SIGALRM, before)
        accepted, _ = silent.accept()
        with accepted:
            accepted.settimeout(2)
            while accepted.recv(1 << 10):  # what was sent, and then the end
                pass

    assert caught.value.__traceback__ is not None, "while the interrupt is on its way up"
