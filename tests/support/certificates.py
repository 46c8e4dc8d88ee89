"""A certificate authority of a test's own (made with openssl), and a certificate of it for the loopback names
and for those that only a proxy of tests knows."""
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path


class Authority:
    """`with Authority() as ca:`; clients trust ca.file, servers use ca.context."""

    def __enter__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="mlxcache-ca-"))
        self.file = self._folder / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mlxcache test CA", "-keyout", "ca.key", "-out", "ca.pem",
                      "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
        (self._folder / "names").write_text("subjectAltName=DNS:localhost,DNS:hub.example,DNS:cdn.example,IP:127.0.0.1,IP:::1\nbasicConstraints=CA:FALSE\n")
        self._openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.pem")
        self.certificate, self.key = self._folder / "server.pem", self._folder / "server.key"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, self.key)
        return self

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)

    def __exit__(self, *_):
        shutil.rmtree(self._folder, ignore_errors=True)
