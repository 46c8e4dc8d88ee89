"""A stand-in for the Hugging Face Hub, for tests on machines that reach no hub: it answers, on a loopback port of the kernel's
choosing, the few calls by which the real clients download, list and verify. It keeps nothing, checks no token and speaks
no xet; everything that is written to disk is written by the client under test, in that client's own layout."""
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LFS = (".safetensors", ".gguf", ".bin", ".onnx", ".onnx_data")


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def made_up_xet_hash(data):
    """64 hex digits that belong to these bytes alone, and are not their SHA-256, as with a real xet hash."""
    return hashlib.blake2s(data, person=b"xet").hexdigest()


class Repo:
    def __init__(self, xet=False):
        self.xet = xet
        self.commits = {}  # commit -> {path: bytes}
        self.refs = {}     # "main" -> commit

    def commit(self, files, ref="main"):
        """Adds a commit that holds exactly `files`; its id is made from them."""
        listing = json.dumps([ref, sorted((path, sha256(data)) for path, data in files.items())])
        commit = hashlib.sha1(listing.encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.refs[ref] = commit
        return commit


class Hub:
    """`with Hub() as hub: hub.repos["org/name"] = Repo() …`; the address is hub.url."""

    def __init__(self):
        self.repos = {}
        self.served_bytes = 0

    def __enter__(self):
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                hub._answer(self, with_body=False)

            def do_GET(self):
                hub._answer(self, with_body=True)

            def do_POST(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                hub._answer(self, with_body=True)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _find(self, repo_id, revision):
        repo = self.repos.get(repo_id)
        commit = repo and repo.refs.get(revision, revision)
        return (repo, commit) if repo and commit in repo.commits else (None, None)

    def _answer(self, request, with_body):
        path = unquote(urlsplit(request.path).path)
        for marker, handle in (("/resolve/", self._resolve), ("/revision/", self._info), ("/tree/", self._tree), ("/paths-info/", self._tree)):
            if marker not in path:
                continue
            repo_id, rest = path.split(marker, 1)
            repo_id = repo_id.removeprefix("/api/models").strip("/")
            revision, _, inner = rest.partition("/")
            repo, commit = self._find(repo_id, revision)
            if repo is None:
                return self._send(request, 404, b"{}", {"X-Error-Code": "RepoNotFound" if repo_id not in self.repos else "RevisionNotFound"})
            return handle(request, repo_id, repo, commit, inner, with_body)
        if path.startswith("/bytes-of-xet/"):
            wanted = path.removeprefix("/bytes-of-xet/")
            for repo in self.repos.values():
                for files in repo.commits.values():
                    for data in files.values():
                        if made_up_xet_hash(data) == wanted:
                            return self._send(request, 200, data)
        if path.startswith("/api/models/"):
            repo_id = path.removeprefix("/api/models/")
            repo, commit = self._find(repo_id, "main")
            if repo:
                return self._info(request, repo_id, repo, commit, "", with_body)
        return self._send(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)

    @staticmethod
    def _send(request, status, body, headers=None, with_body=True):
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if with_body:
            request.wfile.write(body)

    def _send_json(self, request, value):
        self._send(request, 200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _resolve(self, request, repo_id, repo, commit, inner, with_body):
        data = repo.commits[commit].get(inner)
        if data is None:
            return self._send(request, 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, with_body)
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes", "ETag": f'"{git_sha1(data)}"'}
        if inner.endswith(LFS):
            headers |= {"X-Linked-ETag": f'"{sha256(data)}"', "X-Linked-Size": str(len(data))}
            if repo.xet:
                headers |= {"X-Xet-Hash": made_up_xet_hash(data), "X-Xet-Refresh-Route": f"{self.url}/xet-is-not-spoken-here"}
        if not with_body:
            return self._send(request, 200, b"", headers | {"Content-Length": str(len(data))}, with_body=False)
        begin, status = 0, 200
        if (asked := request.headers.get("Range", "")).startswith("bytes="):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            begin, end = int(first or 0), int(last) + 1 if last else len(data)
            headers["Content-Range"] = f"bytes {begin}-{min(end, len(data)) - 1}/{len(data)}"
            data, status = data[begin:end], 206
        self.served_bytes += len(data)
        return self._send(request, status, data, headers)

    def _entries(self, repo, commit):
        entries = []
        for path, data in sorted(repo.commits[commit].items()):
            entry = {"type": "file", "path": path, "size": len(data), "oid": git_sha1(data)}
            if path.endswith(LFS):
                pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(data)}\nsize {len(data)}\n".encode()
                entry |= {"oid": git_sha1(pointer), "lfs": {"oid": sha256(data), "sha256": sha256(data), "size": len(data), "pointerSize": len(pointer)}}
                if repo.xet:
                    entry["xetHash"] = made_up_xet_hash(data)
            entries.append(entry)
        return entries

    def _tree(self, request, repo_id, repo, commit, inner, with_body):
        self._send_json(request, self._entries(repo, commit))

    def _info(self, request, repo_id, repo, commit, inner, with_body):
        self._send_json(request, {"_id": "0", "id": repo_id, "modelId": repo_id, "sha": commit, "private": False, "gated": False, "disabled": False,
                                  "downloads": 0, "likes": 0, "tags": [], "createdAt": "2026-01-01T00:00:00.000Z", "lastModified": "2026-01-01T00:00:00.000Z",
                                  "siblings": [{"rfilename": entry["path"]} for entry in self._entries(repo, commit)]})
