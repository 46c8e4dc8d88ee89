"""HTTP/2 as large hubs speak it: a real server of it (nghttpx) in front of an Origin that speaks HTTP/1.1."""
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAM = shutil.which("nghttpx") or shutil.which("nghttpx", path="/usr/sbin:/usr/local/sbin")


class Http2:
    """`with Http2(authority, origin) as front:` makes origin.url one that speaks HTTP/2 over TLS; front.spoken() says what clients spoke.
    Ends by its pid."""

    def __init__(self, authority, origin):
        self.authority, self.origin = authority, origin

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="mlxcache-http2-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._log = open(self.folder / "log", "ab")
        self._process = subprocess.Popen(
            [PROGRAM, "--conf=/dev/null", f"-f127.0.0.1,{port}", f"-b127.0.0.1,{self.origin.port}", "--workers=1", "--log-level=ERROR", "--no-ocsp",
             "--npn-list=h2,http/1.1", f"--accesslog-file={self.folder}/access", "--accesslog-format=$alpn $method $path",
             "--no-location-rewrite", str(self.authority.key), str(self.authority.certificate)],
            stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL, cwd="/")
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if self._process.poll() is not None:
                    raise AssertionError("nghttpx did not come up: " + (self.folder / "log").read_text()[-1000:]) from None
                time.sleep(0.05)
        host = self.origin.url.split("://")[1].rsplit(":", 1)[0]
        self.origin.url = f"https://{host}:{port}"
        return self

    def spoken(self):
        """[(protocol, method, path)] of every request so far."""
        return [tuple(line.split(" ", 2)) for line in (self.folder / "access").read_text().splitlines()]

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(timeout=20)
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
