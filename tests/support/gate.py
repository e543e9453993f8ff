"""A server that stands before an MLflow server, asks for a password, or answers late."""

import http.client
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Gate(ThreadingHTTPServer):
    """It passes every request on, until `shutdown`.

    server: the address of the MLflow server.
    credentials: those of HTTP's basic authentication, without which nobody passes. None: everybody passes.
    late_s: by how many seconds the answer to the first request that creates a run is late.
    passed: how many requests have passed.
    """

    daemon_threads = True

    def __init__(self, port: int, server: str, credentials: str | None = None, late_s: float = 0.0) -> None:
        super().__init__(("127.0.0.1", port), Passage)
        self.behind = server.removeprefix("http://")
        self.credentials = credentials
        self.late_s = late_s
        self.passed = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        # A client may go away before it has its answer.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Passage(BaseHTTPRequestHandler):
    server: Gate

    def do_GET(self) -> None:
        body = self._body()
        asked, wanted = self.headers.get("Authorization"), self.server.credentials
        if wanted is not None and asked != f"Basic {wanted}":
            self.send_error(401)
            return
        self.server.passed += 1
        own = ("Authorization", "Host", "Transfer-Encoding", "Content-Length")
        headers = {name: value for name, value in self.headers.items() if name not in own}
        behind = http.client.HTTPConnection(self.server.behind, timeout=60)
        behind.request(self.command, self.path, body, headers)
        answer = behind.getresponse()
        content = answer.read()
        behind.close()
        if self.path.endswith("/runs/create"):
            late_s, self.server.late_s = self.server.late_s, 0.0
            time.sleep(late_s)
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, *arguments: object) -> None:
        pass
