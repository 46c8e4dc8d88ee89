"""One web origin for tests: HTTP/1.1 on a free loopback port (IPv4 or IPv6, with TLS if asked), which records every request and lets
faults (faults.py) spoil its answers. What it answers is the business of who makes it (hub.py, registries, proxies)."""
import dataclasses
import socket
import ssl
import struct
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 1 << 16


@dataclasses.dataclass
class Request:
    """One request as it came, and what became of it."""
    origin: str
    method: str
    target: str       # as sent: path and query, undecoded
    headers: list     # (name, value) as sent
    body: bytes = b""
    status: int = 0
    sent: int = 0     # bytes of the answer's body that were handed to the kernel

    def header(self, name, default=None):
        return next((value for key, value in self.headers if key.lower() == name.lower()), default)

    @property
    def path(self):
        return self.target.partition("?")[0]

    def mentions(self, text):
        return text in self.target or any(text in value for _, value in self.headers) or text.encode() in self.body


@dataclasses.dataclass
class Answer:
    status: int = 200
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = b""             # or a memoryview of a part
    begin: int = 0                # where `body` begins in the file that it is a part of
    length: object = "true"       # Content-Length: that of the body, another number, or None for none
    delay: float = 0.0            # seconds before the first byte
    rate: float = 0.0             # bytes a second; 0: as fast as it goes
    cut_after: object = None      # bytes of the body after which `cut` happens
    cut: str = "close"            # "close", "reset", or "stall": nothing more until the client gives up
    endless: bool = False         # the body is repeated until the client hangs up
    clock_skew: float = 0.0       # seconds by which Date is wrong


def part(request, data, headers):
    """The whole, or the range that was asked for."""
    asked = request.header("Range", "")
    condition = request.header("If-Range")
    if not asked.startswith("bytes=") or "," in asked or condition not in (None, headers.get("ETag")):
        return Answer(200, headers, data)
    first, _, last = asked.removeprefix("bytes=").partition("-")
    begin = int(first) if first else max(0, len(data) - int(last))
    end = min(len(data), int(last) + 1) if first and last else len(data)
    if begin >= len(data):
        return Answer(416, headers | {"Content-Range": f"bytes */{len(data)}"})
    return Answer(206, headers | {"Content-Range": f"bytes {begin}-{end - 1}/{len(data)}"}, memoryview(data)[begin:end], begin=begin)


class Fault:
    def __init__(self, change, match, times):
        self.change, self.match, self.left = change, match, times
        self.happened = 0


class Origin:
    """`with Origin("cdn", respond) as origin:`; `respond(Request) -> Answer`. The address is origin.url."""

    def __init__(self, name, respond, host="127.0.0.1", tls=None, shown_host=None):
        """`tls`: a certificates.Authority. `shown_host`: the name by which clients are told to come."""
        self.name, self.respond, self.tls = name, respond, tls
        self._host, self._shown = host, shown_host or host
        self.requests = []
        self._faults = []
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def fault(self, change, path="", method="GET", times=1):
        """Spoils the next `times` answers (None: all) to `method` (None: any) whose target contains `path` (or that `path(request)` picks)."""
        picks = path if callable(path) else lambda request: path in request.target
        fault = Fault(change, lambda request: (method is None or request.method == method) and picks(request), times)
        with self._lock:
            self._faults.append(fault)
        return fault

    def heal(self):
        with self._lock:
            self._faults.clear()

    def forget(self):
        """Starts the record of requests anew, and returns the old one."""
        with self._lock:
            old, self.requests = self.requests, []
        return old

    @property
    def served_bytes(self):
        with self._lock:
            return sum(request.sent for request in self.requests)

    def _spoil(self, request, answer):
        with self._lock:
            due = []
            for fault in self._faults:
                if (fault.left is None or fault.left > 0) and fault.match(request):
                    fault.happened += 1
                    if fault.left is not None:
                        fault.left -= 1
                    due.append(fault.change)
        for change in due:
            change(answer, request)
        return answer

    def __enter__(self):
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 120

            def log_message(self, *_):
                pass

            def _serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0) or 0))
                request = Request(origin.name, self.command, self.path, list(self.headers.items()), body)
                with origin._lock:
                    origin.requests.append(request)
                origin._deliver(self, request, origin._spoil(request, origin.respond(request)))

            do_HEAD = do_GET = do_POST = do_PUT = do_PATCH = _serve

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in origin._host else socket.AF_INET
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass  # clients that hang up are what these tests are about

            def get_request(self):
                connection, address = super().get_request()
                if origin.tls:  # the handshake happens on first use, in the connection's own thread
                    connection = origin.tls.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                return connection, address

        self._server = Server((self._host, 0), Handler)
        self.port = self._server.server_address[1]
        shown = f"[{self._shown}]" if ":" in self._shown else self._shown
        self.url = f"{'https' if self.tls else 'http'}://{shown}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _deliver(self, handler, request, answer):
        request.status = answer.status
        if answer.delay:
            self._closing.wait(answer.delay)
        if answer.cut == "reset" and answer.cut_after == -1:
            return self._reset(handler)
        handler.send_response_only(answer.status)
        handler.send_header("Date", formatdate(time.time() + answer.clock_skew, usegmt=True))
        for name, value in answer.headers.items():
            for one in value if isinstance(value, list) else [value]:
                handler.send_header(name, one)
        length = len(answer.body) if answer.length == "true" else answer.length
        if length is None:
            handler.send_header("Connection", "close")
            handler.close_connection = True
        elif "Content-Length" not in answer.headers:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        if request.method == "HEAD" or answer.status in (204, 304):
            return
        try:
            self._send_body(handler, request, answer, length)
        except (OSError, ssl.SSLError):
            handler.close_connection = True

    def _send_body(self, handler, request, answer, length):
        view, end = memoryview(answer.body), len(answer.body)
        if answer.cut_after is not None:
            end = min(end, answer.cut_after)
        started, at = time.monotonic(), 0
        while at < end or answer.endless:
            if answer.endless and at >= end:
                at = 0
            piece = view[at:min(end, at + PIECE)]
            handler.connection.sendall(piece) if hasattr(handler.connection, "sendall") else handler.wfile.write(piece)
            at += len(piece)
            request.sent += len(piece)
            if answer.rate:
                ahead = request.sent / answer.rate - (time.monotonic() - started)
                if ahead > 0 and self._closing.wait(ahead):
                    return
        if answer.cut_after is not None:
            if answer.cut == "reset":
                return self._reset(handler)
            if answer.cut == "stall":
                self._wait_for_hang_up(handler)
            handler.close_connection = True
        elif length is not None and length != len(answer.body):
            handler.close_connection = True

    def _wait_for_hang_up(self, handler):
        handler.connection.settimeout(0.2)
        while not self._closing.is_set():
            try:
                if not handler.connection.recv(1):
                    return
            except (socket.timeout, ssl.SSLWantReadError):
                continue

    @staticmethod
    def _reset(handler):
        handler.close_connection = True
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
