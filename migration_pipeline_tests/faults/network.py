"""A network between a run and its server, whose connections can be cut, or fall silent."""

import contextlib
import socket
import threading


class Network:
    """Carries connections from a port of its own to the server's."""

    def __init__(self, port):
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = []
        self._silent = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                near = self._listener.accept()[0]
                far = socket.create_connection(self._to)
                self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source, sink):
        with contextlib.suppress(OSError):
            while part := source.recv(1 << 16):
                if source not in self._silent:
                    sink.sendall(part)
        if source not in self._silent:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        """End all connections of now; new ones are carried."""
        self._silent.clear()
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._sockets = []

    def swallow(self):
        """Carry nothing more on the connections of now, and tell nobody; new ones are carried."""
        self._silent = set(self._sockets)

    def close(self):
        self._listener.close()
        self.cut()
