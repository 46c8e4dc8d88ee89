"""A Hugging Face hub for tests on machines that reach none: the protocol of the real one (resolve with its headers, redirects to a
second origin with signed addresses, API, paging, error codes, tokens, gates), on two loopback origins whose every answer can be spoiled.
It stores nothing and speaks no xet. That real clients download from it is a test of its own (tests/clients/hub_test.py)."""
import functools
import hashlib
import hmac
import json
import time
from urllib.parse import parse_qs, quote, unquote, urlsplit

from origin import Answer, Origin, part

LFS = (".safetensors", ".gguf", ".bin", ".onnx", ".onnx_data")
_KEY = b"signs addresses of the second origin"


@functools.lru_cache(64)
def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@functools.lru_cache(64)
def sha256(data):
    return hashlib.sha256(data).hexdigest()


def made_up_xet_hash(data):
    """64 hex digits that belong to these bytes alone, and are not their SHA-256, as with a real xet hash."""
    return hashlib.blake2s(data, person=b"xet").hexdigest()


def entry_of(path, data, xet=False):
    """One row of a tree listing."""
    row = {"type": "file", "oid": git_sha1(data), "size": len(data), "path": path}
    if path.endswith(LFS):
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(data)}\nsize {len(data)}\n".encode()
        row |= {"oid": git_sha1(pointer), "lfs": {"oid": sha256(data), "size": len(data), "pointerSize": len(pointer)}}
        if xet:
            row["xetHash"] = made_up_xet_hash(data)
    return row


class Repo:
    def __init__(self, xet=False, private=False, gated=False, disabled=False):
        self.xet, self.private, self.gated, self.disabled = xet, private, gated, disabled
        self.commits = {}  # commit -> {path: bytes}
        self.rows = {}     # commit -> rows of its listing
        self.refs = {}     # "main" -> commit
        self.tags = {}

    def commit(self, files, ref="main", hostile_rows=()):
        """Adds a commit that holds exactly `files`; its id is made from them. `hostile_rows` stand in its listing as they are."""
        listing = json.dumps([ref, sorted((path, sha256(data)) for path, data in files.items())])
        commit = hashlib.sha1(listing.encode()).hexdigest()
        self.commits[commit] = dict(files)
        rows = [entry_of(path, data, self.xet) for path, data in sorted(files.items())]
        folders = sorted({"/".join(path.split("/")[:i]) for path in files for i in range(1, path.count("/") + 1)})
        self.rows[commit] = [{"type": "directory", "oid": hashlib.sha1(name.encode()).hexdigest(), "size": 0, "path": name} for name in folders] + rows + list(hostile_rows)
        self.refs[ref] = commit
        return commit


class Hub:
    """`with Hub() as hub: hub.repos["org/name"] = Repo() …`; the address is hub.url. Two origins: hub.control, and hub.cdn to which
    large files are redirected."""

    def __init__(self, host="127.0.0.1", tls=None, cdn_host="127.0.0.1", shown=(None, None)):
        """`shown`: names of the two origins that only a proxy of the test knows (proxies.NAMES)."""
        self.repos = {}
        self.renamed = {}               # old id -> new id
        self.tokens = {}                # token -> ids of gated repos that it may read
        self.page_size = 1000
        self.address_lasts = 3600       # seconds
        self.rate_limit = (4999, 300)   # remaining, seconds to the window's end
        self.control = Origin("hub", self._control, host, tls, shown[0])
        # Another name for the loopback interface: clients that compare only hosts must see another one, as with the real hub.
        self.cdn = Origin("cdn", self._cdn, cdn_host, tls, shown[1] or ("localhost" if cdn_host == "127.0.0.1" else cdn_host))
        self._payloads = {}

    def __enter__(self):
        self.control.__enter__()
        self.cdn.__enter__()
        self.url = self.control.url
        return self

    def __exit__(self, *_):
        self.control.__exit__()
        self.cdn.__exit__()

    @property
    def origins(self):
        return (self.control, self.cdn)

    @property
    def requests(self):
        return [request for origin in self.origins for request in origin.requests]

    @property
    def served_bytes(self):
        """Bytes of files that went out, listings left out."""
        return sum(request.sent for request in self.requests if "/api/" not in request.path)

    def forget(self):
        for origin in self.origins:
            origin.forget()

    def heal(self):
        for origin in self.origins:
            origin.heal()

    # ---- the control origin ----

    def _control(self, request):
        answer = self._routed(request)
        remaining, seconds = self.rate_limit
        kind = "api" if request.path.startswith("/api/") else "resolvers"
        answer.headers.setdefault("RateLimit", f'"{kind}";r={remaining};t={seconds}')
        answer.headers.setdefault("RateLimit-Policy", f'"fixed window";"{kind}";q=5000;w=300')
        answer.headers.setdefault("X-Request-Id", "Root=1-test")
        return answer

    def _routed(self, request):
        token = (request.header("Authorization") or "").removeprefix("Bearer ").strip()
        if token and token not in self.tokens:
            return self._error(401, "", "Invalid credentials in Authorization header")
        path = unquote(request.path)
        if path == "/api/whoami-v2":
            return self._json({"type": "user", "name": "tester"}) if token else self._error(401, "", "Invalid username or password.")
        if path.startswith("/bytes-of-xet/"):
            return self._bytes_of_xet(path.removeprefix("/bytes-of-xet/"))
        # The revision is one quoted segment ("refs%2Fpr%2F1"), so the path is cut before it is unquoted.
        for marker, handle in (("/resolve/", self._resolve), ("/revision/", self._info), ("/tree/", self._tree), ("/paths-info/", self._paths_info),
                               ("/refs", self._refs)):
            head, found, rest = request.path.partition(marker)
            if not found or marker == "/refs" and rest:
                continue
            repo_id = unquote(head).removeprefix("/api/models/").strip("/")
            revision, _, inner = rest.partition("/")
            return self._in_repo(request, token, repo_id, unquote(revision) or "main", unquote(inner), handle)
        if path.startswith("/api/models/"):
            return self._in_repo(request, token, path.removeprefix("/api/models/"), "main", "", self._info)
        return self._error(404, "", "Sorry, we can't find the page you are looking for.")

    def _in_repo(self, request, token, repo_id, revision, inner, handle):
        if repo_id in self.renamed:
            return Answer(307, {"Location": request.target.replace(repo_id, self.renamed[repo_id], 1)}, b"Temporary Redirect")
        repo = self.repos.get(repo_id)
        if repo is None or repo.private and not token:
            return self._error(404 if token else 401, "RepoNotFound", "Repository not found" if token else "Invalid username or password.")
        if repo.disabled:
            return self._error(403, "", "Access to this resource is disabled.")
        if handle == self._resolve and repo.gated and repo_id not in self.tokens.get(token, ()):
            if not token:
                return self._error(401, "GatedRepo", f"Access to model {repo_id} is restricted. You must have access to it and be authenticated to access it. Please log in.")
            return self._error(403, "GatedRepo", f"Access to model {repo_id} is restricted and you are not in the authorized list. Visit {self.url}/{repo_id} to ask for access.")
        commit = repo.refs.get(revision) or repo.tags.get(revision) or revision
        if commit not in repo.commits:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return handle(request, repo_id, repo, commit, inner)

    @staticmethod
    def _error(status, code, message):
        headers = {"Content-Type": "application/json", "X-Error-Message": message}
        if code:
            headers["X-Error-Code"] = code
        return Answer(status, headers, json.dumps({"error": message}).encode())

    @staticmethod
    def _json(value, **headers):
        return Answer(200, {"Content-Type": "application/json; charset=utf-8", **headers}, json.dumps(value).encode())

    def _resolve(self, request, repo_id, repo, commit, inner):
        data = repo.commits[commit].get(inner)
        if data is None:
            answer = self._error(404, "EntryNotFound", "Entry not found")
            answer.headers["X-Repo-Commit"] = commit
            return answer
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes", "ETag": f'"{git_sha1(data)}"',
                   "Content-Disposition": f'inline; filename="{inner.rsplit("/", 1)[-1]}"'}
        if not inner.endswith(LFS):
            return part(request, data, headers)
        digest = sha256(data)
        self._payloads[digest] = data
        headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data)), "Location": self._signed(digest, repo_id)}
        if repo.xet:
            headers |= {"X-Xet-Hash": made_up_xet_hash(data), "X-Xet-Refresh-Route": f"{self.url}/xet-is-not-spoken-here"}
        return Answer(302, headers, b"Found. Redirecting")

    def _rows(self, repo, commit, inner):
        rows = repo.rows[commit]
        return [row for row in rows if row["path"].startswith(inner + "/")] if inner else rows

    def _tree(self, request, repo_id, repo, commit, inner):
        query = parse_qs(urlsplit(request.target).query)
        rows = self._rows(repo, commit, inner)
        if query.get("recursive", ["false"])[0].lower() not in ("true", "1"):
            depth = inner.count("/") + 1 if inner else 0
            rows = [row for row in rows if row["path"].count("/") == depth]
        size = min(int(query.get("limit", [self.page_size])[0]), self.page_size)
        begin = int(query.get("cursor", ["0"])[0])
        headers = {}
        if begin + size < len(rows):
            kept = "&".join(f"{name}={quote(values[0])}" for name, values in query.items() if name != "cursor")
            headers["Link"] = f'<{self.url}{request.path}?{kept}{"&" if kept else ""}cursor={begin + size}>; rel="next"'
        return self._json(rows[begin:begin + size], **headers)

    def _paths_info(self, request, repo_id, repo, commit, inner):
        text = request.body.decode()
        paths = json.loads(text).get("paths", []) if text.lstrip().startswith("{") else parse_qs(text).get("paths", [])
        return self._json([row for row in repo.rows[commit] if row["path"] in set(paths)])

    def _refs(self, request, repo_id, repo, commit, inner):
        def listed(refs, prefix):
            return [{"name": name, "ref": prefix + name, "targetCommit": target} for name, target in refs.items() if not name.startswith("refs/")]
        return self._json({"branches": listed(repo.refs, "refs/heads/"), "tags": listed(repo.tags, "refs/tags/"), "converts": [],
                           "pullRequests": [{"name": name.removeprefix("refs/"), "ref": name, "targetCommit": target} for name, target in repo.refs.items() if name.startswith("refs/pr/")]})

    def _info(self, request, repo_id, repo, commit, inner):
        rows = [row for row in repo.rows[commit] if row["type"] == "file"]
        blobs = "blobs=true" in request.target.lower()
        siblings = [{"rfilename": row["path"]} | ({"size": row["size"], "blobId": row["oid"]} | ({"lfs": {
            "sha256": row["lfs"]["oid"], "size": row["size"], "pointerSize": row["lfs"]["pointerSize"]}} if "lfs" in row else {}) if blobs else {}) for row in rows]
        return self._json({"_id": "0", "id": repo_id, "modelId": repo_id, "sha": commit, "private": repo.private, "gated": "manual" if repo.gated else False, "disabled": False,
                           "downloads": 0, "likes": 0, "tags": [], "createdAt": "2026-01-01T00:00:00.000Z", "lastModified": "2026-01-01T00:00:00.000Z", "siblings": siblings})

    def _bytes_of_xet(self, wanted):
        for repo in self.repos.values():
            for files in repo.commits.values():
                for data in files.values():
                    if made_up_xet_hash(data) == wanted:
                        return Answer(200, {}, data)
        return self._error(404, "", "no such xet hash")

    # ---- the second origin ----

    @staticmethod
    def _signature(path, expires):
        return hmac.new(_KEY, f"{path} {expires}".encode(), "sha256").hexdigest()

    def _signed(self, digest, repo_id):
        path = f"/repos/{hashlib.sha1(repo_id.encode()).hexdigest()[:8]}/{digest}"
        expires = int(time.time() + self.address_lasts)
        return f"{self.cdn.url}{path}?Expires={expires}&Signature={self._signature(path, expires)}"

    def _cdn(self, request):
        query = parse_qs(urlsplit(request.target).query)
        expires, signature = query.get("Expires", ["0"])[0], query.get("Signature", [""])[0]
        if request.header("Authorization"):
            return Answer(400, {"Content-Type": "application/xml"}, b"<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>")
        if not hmac.compare_digest(signature, self._signature(request.path, expires)):
            return Answer(403, {"Content-Type": "application/xml"}, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        if int(expires) < time.time():
            return Answer(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
        digest = request.path.rsplit("/", 1)[-1]
        data = self._payloads.get(digest)
        if data is None:
            return Answer(404, {"Content-Type": "application/xml"}, b"<Error><Code>NoSuchKey</Code></Error>")
        return part(request, data, {"ETag": f'"{digest[:32]}"', "Accept-Ranges": "bytes", "Content-Type": "binary/octet-stream"})
