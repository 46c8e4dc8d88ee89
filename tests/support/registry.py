"""A real OCI registry (Debian's docker-registry) on a free loopback port, and a small client that pushes models into it as Ollama's does.
Blobs are redirected to a second origin, as those of the large registries are: Ollama's client knows no other way."""
import hashlib
import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from origin import Answer, Origin, part

PROGRAM = shutil.which("docker-registry") or shutil.which("registry")
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"


class Registry:
    """`with Registry() as registry:`; registry.host is "127.0.0.1:PORT". Ends by its pid."""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="mlxcache-registry-", dir="/var/tmp"))
        self.storage = Origin("storage", self._stored, shown_host="localhost").__enter__()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{probe.getsockname()[1]}"
        (self.folder / "config.yml").write_text(
            f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {self.folder}/data\n"
            f"middleware:\n  storage:\n    - name: redirect\n      options:\n        baseurl: {self.storage.url}/\nhttp:\n  addr: {self.host}\n")
        self._log = open(self.folder / "log", "ab")
        self._process = subprocess.Popen([PROGRAM, "serve", str(self.folder / "config.yml")], stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL, cwd="/")
        for _ in range(200):
            try:
                self._call("GET", "/v2/")
                return self
            except urllib.error.URLError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.05)
        self.__exit__()
        raise AssertionError("the registry did not come up: " + self.log()[-1000:])

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(timeout=20)
        self.storage.__exit__()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def _stored(self, request):
        file = self.folder / "data" / request.path.lstrip("/")
        if ".." in request.path or not file.is_file():
            return Answer(404)
        return part(request, file.read_bytes(), {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"})

    def blobs_fetched(self):
        """Digests whose bytes were fetched so far."""
        return re.findall(r"/sha256/[0-9a-f]{2}/([0-9a-f]{64})/data", " ".join(request.path for request in self.storage.requests if request.method == "GET"))

    def _call(self, method, path, data=None, **headers):
        url = path if path.startswith("http") else f"http://{self.host}{path}"
        request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()}, method=method)
        return urllib.request.urlopen(request, timeout=30)

    def push_blob(self, name, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        with self._call("POST", f"/v2/{name}/blobs/uploads/", b"") as answer:
            place = answer.headers["Location"]
        self._call("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", data, Content_Type="application/octet-stream").close()
        return digest

    def push_model(self, name, tag, gguf, template="{{ .Prompt }}", parameters=None):
        """As `ollama push` leaves it. Returns the manifest's bytes."""
        layers = []
        for kind, data in (("model", gguf), ("template", template.encode()), ("params", json.dumps(parameters or {"temperature": 0}).encode())):
            layers.append({"mediaType": f"application/vnd.ollama.image.{kind}", "digest": self.push_blob(name, data), "size": len(data)})
        config = json.dumps({"model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "3M", "file_type": "F16", "architecture": "amd64", "os": "linux",
                             "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}}).encode()
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": CONFIG, "digest": self.push_blob(name, config), "size": len(config)},
                               "layers": layers}, indent=3).encode()
        self._call("PUT", f"/v2/{name}/manifests/{tag}", manifest, Content_Type=MANIFEST).close()
        return manifest
