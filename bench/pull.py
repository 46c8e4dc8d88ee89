"""`./dev bench pull`: mlxcache pull beside `hf download` (huggingface_hub 2.x, plain HTTP), aria2c and `ollama pull`, all from one loopback
server (server.go), which sends files with sendfile and answers everything else from a table."""
import hashlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "support"), str(HERE.parent / "tests" / "clients")]
import measure  # noqa: E402
import payloads  # noqa: E402
from measure import once, spread, table  # noqa: E402

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
FAR = ("-far", "50ms", "-rate", str(40 << 20), "-resets", "0.01")


def make_files(folder, seed, spec):
    """spec: {name: bytes}. Files of noise that begin as GGUF do. Returns {path: (file, sha256, git id)}."""
    made = {}
    for i, (name, size) in enumerate(sorted(spec.items())):
        path = folder / hashlib.sha1(name.encode()).hexdigest()
        whole, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size)
        with open(path, "wb") as file:
            left = size
            while left:
                piece = payloads.noise(seed * 1_000_003 + i * 1009 + left, min(left, 64 << 20))
                if left == size and name.endswith(".gguf"):
                    piece = (payloads.gguf(seed + i, 64)[:4096] + piece)[:len(piece)]
                file.write(piece), whole.update(piece), git.update(piece)
                left -= len(piece)
        made[name] = (str(path), whole.hexdigest(), git.hexdigest(), size)
    return made


def hub_routes(repo, files):
    """What server.go shall answer so that `repo` is a model on a hub."""
    commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
    rows = [{"type": "file", "path": name, "size": size, "oid": hashlib.sha1(sha.encode()).hexdigest(), "lfs": {"oid": sha, "size": size, "pointerSize": 130}}
            for name, (_, sha, _, size) in sorted(files.items())]
    info = json.dumps({"_id": "0", "id": repo, "modelId": repo, "sha": commit, "private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": [],
                       "createdAt": "2026-01-01T00:00:00.000Z", "lastModified": "2026-01-01T00:00:00.000Z", "siblings": [{"rfilename": name} for name in sorted(files)]})
    as_json = {"Content-Type": "application/json"}
    routes = {}
    for revision in ("main", commit):
        routes[f"/api/models/{repo}/revision/{revision}"] = {"status": 200, "headers": as_json, "body": info}
        routes[f"/api/models/{repo}/tree/{revision}"] = {"status": 200, "headers": as_json, "body": json.dumps(rows)}
        for name, (_, sha, _, size) in files.items():
            routes[f"/{repo}/resolve/{revision}/{name}"] = {"status": 302, "body": "Found", "headers": {
                "X-Repo-Commit": commit, "X-Linked-Etag": f'"{sha}"', "X-Linked-Size": str(size), "ETag": f'"{sha}"', "Accept-Ranges": "bytes", "Location": "{{cdn}}/blob/" + sha}}
    routes[f"/api/models/{repo}"] = {"status": 200, "headers": as_json, "body": info}
    for file, sha, _, _ in files.values():
        routes[f"/blob/{sha}"] = {"status": 200, "file": file, "headers": {"ETag": f'"{sha[:32]}"', "Content-Type": "binary/octet-stream"}}
    return routes


def registry_routes(name, gguf, folder):
    """The same for a model in a registry."""
    file, sha, _, size = gguf
    config = json.dumps({"model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "1B", "file_type": "F16", "architecture": "amd64", "os": "linux",
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha]}}).encode()
    digest = hashlib.sha256(config).hexdigest()
    (folder / digest).write_bytes(config)
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": "sha256:" + digest, "size": len(config)},
                           "layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + sha, "size": size}]})
    routes = {f"/v2/{name}/manifests/latest": {"status": 200, "headers": {"Content-Type": MANIFEST}, "body": manifest}}
    for one, path, length in ((sha, file, size), (digest, str(folder / digest), len(config))):
        routes[f"/v2/{name}/blobs/sha256:{one}"] = {"status": 307, "body": "", "headers": {"Location": "{{cdn}}/blob/" + one}}
        routes[f"/blob/{one}"] = {"status": 200, "file": path, "headers": {"ETag": f'"{one[:32]}"', "Content-Type": "application/octet-stream"}}
    return routes


class Server:
    def __init__(self, program, routes_file, *options):
        self.process = subprocess.Popen([program, "-routes", str(routes_file), *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.__dict__.update(json.loads(self.process.stdout.readline()))
        self.host = self.hub.removeprefix("http://")

    def counts(self):
        with urllib.request.urlopen(self.hub + "/-/counts") as answer:
            return json.load(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Pulls:
    """The programs; each method is one run into an empty place and returns its cost."""

    def __init__(self, bench, clients):
        self.bench, self.clients = bench, Path(clients).resolve()
        self.place = Path(bench.options.pull_place)
        self.hf = self.clients / "hf2/bin/hf"
        self.ollama_program = self.clients / "ollama-v0.6.6/ollama"

    def empty(self):
        for name in ("home", "state"):
            shutil.rmtree(self.place / name, ignore_errors=True)
        (self.place / "home").mkdir(parents=True)
        return self.place / "home"

    def env(self, server, **more):
        return {"PATH": os.environ["PATH"], "HOME": str(self.place / "home"), "MLXCACHE_HOME": str(self.place / "state"), "LANG": "C.UTF-8", "HF_ENDPOINT": server.hub,
                "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"} | more

    def mlxcache(self, server, repo, files):
        self.empty()
        cost = once([self.bench.binary, "pull", repo, "--json"], self.env(server))
        self.check((self.place / "home").rglob("snapshots/*/*"), files)
        return cost

    def mlxcache_again(self, server, repo, files):
        """Another store holds the bytes already."""
        home = self.empty()
        folder = home / ".lmstudio/models/org/model"
        folder.mkdir(parents=True)
        for i, (file, _, _, _) in enumerate(files.values()):
            shutil.copyfile(file, folder / f"part-{i}.gguf")
        return once([self.bench.binary, "pull", repo, "--json"], self.env(server))

    def hf_download(self, server, repo, files):
        self.empty()
        cost = once([self.hf, "download", repo], self.env(server))
        self.check((self.place / "home").rglob("snapshots/*/*"), files)
        return cost

    def aria2(self, server, repo, files, checked=False):
        out = self.empty()
        lines = []
        for name, (_, sha, _, _) in files.items():
            lines += [f"{server.hub}/{repo}/resolve/main/{name}", f"  out={name}"] + ([f"  checksum=sha-256={sha}"] if checked else [])
        (self.place / "list.txt").write_text("\n".join(lines) + "\n")
        # 8 connections in all, as mlxcache has: up to 8 a file, and no more files at once than make use of them.
        at_once = 1 if len(files) < 8 else 8
        cost = once(["aria2c", "-q", "--no-conf", "-i", self.place / "list.txt", "-d", out, f"-j{at_once}", "-x8", "-s8", "-k4M", "--file-allocation=none", "-m0",
                     "--max-file-not-found=3"], self.env(server))
        self.check([out / name for name in files], files)
        return cost

    def aria2_checked(self, server, repo, files):
        return self.aria2(server, repo, files, checked=True)

    def mlxcache_ollama(self, server, name, files):
        self.empty()
        return once([self.bench.binary, "pull", f"ollama:{server.host}/{name}:latest", "--json"], self.env(server))

    def ollama(self, server, name, files):
        """Its server does the work: wall time of the client, processor time of the server."""
        home = self.empty()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        env = self.env(server, OLLAMA_HOST=address, OLLAMA_MODELS=str(home / ".ollama/models"), OLLAMA_NOPRUNE="1")
        daemon = subprocess.Popen([self.ollama_program, "serve"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd="/")
        try:
            for _ in range(100):
                try:
                    urllib.request.urlopen(f"http://{address}/api/version").close()
                    break
                except OSError:
                    time.sleep(0.1)

            def used():
                fields = Path(f"/proc/{daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()
                return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            before = used()
            cost = once([self.ollama_program, "pull", "--insecure", f"{server.host}/{name}:latest"], env)
            cost.cpu_seconds += used() - before
            return cost
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()

    @staticmethod
    def check(paths, files):
        sizes = sorted(path.stat().st_size for path in paths)
        if sizes != sorted(size for _, _, _, size in files.values()):
            raise RuntimeError("a program did not bring everything")


PARTS = ("large", "small", "registry", "far", "far-small", "here")


def run(bench):
    """All parts, or those that --pull-part names: then the report in results/pull.md takes the others from the runs before, so that a machine that others
    use can be had for minutes instead of an hour."""
    options = bench.options
    work = bench.work / "pull-server"
    note = bench.work / "pull-parts.json"
    parts = [part for part in PARTS if not options.pull_part or part in options.pull_part]
    sections = json.loads(note.read_text()) if options.pull_part and note.exists() else {}
    made = work / "made.json"
    how = [options.seed, options.pull_gib]
    if not (options.keep and made.exists() and json.loads(made.read_text())["how"] == how):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        total = int(options.pull_gib * 2**30)
        made.write_text(json.dumps({
            "how": how,
            "large": make_files(work, options.seed, {"model-00001.safetensors": total // 2, "model-00002.safetensors": total - total // 2}),
            "small": make_files(work, options.seed + 1, {f"part-{i:04}.bin": 20_000 + 97 * i for i in range(600)}),
            "gguf": make_files(work, options.seed + 2, {"model.gguf": total // 2})["model.gguf"]}))
    files = json.loads(made.read_text())
    large, small, gguf = files["large"], files["small"], files["gguf"]
    program = work / "server"
    subprocess.run(["go", "build", "-o", str(program), str(HERE / "server.go")], check=True, env=dict(os.environ, GO111MODULE="off"))
    (work / "routes.json").write_text(json.dumps(hub_routes("bench/large", large) | hub_routes("bench/small", small) | registry_routes("library/bench", gguf, work)))
    if options.make:
        return
    pulls = Pulls(bench, options.clients)

    def size_of(of):
        return sum(row[3] for row in of.values())

    def compare(title, server_options, target, wanted, programs, base):
        costs = {name: [] for name in programs}
        size = size_of(wanted)
        with Server(program, work / "routes.json", *server_options) as server:
            for number in range(bench.repetitions):
                for name, pull in programs.items():
                    costs[name].append(pull(server, target, wanted))
                print(f"pull: {title}: round {number + 1} of {bench.repetitions}", file=sys.stderr, flush=True)
        rows = []
        for name, list_of in costs.items():
            rate = size / statistics.median(cost.seconds for cost in list_of)
            other = size / statistics.median(cost.seconds for cost in costs[base])
            rows.append([name, spread(list_of), f"{rate / 1e6:.0f}", f"{rate / other:.2f}×", f"{statistics.median(c.cpu_seconds for c in list_of) / size * 1e9:.2f}",
                         f"{max(c.peak_mib for c in list_of):.0f}"])
        return [f"## {title}", "", table(["program", "seconds", "MB/s", f"rate against {base}", "CPU s a GB", "peak MiB"], rows), ""]

    def here():
        with Server(program, work / "routes.json") as server:
            cost = pulls.mlxcache_again(server, "bench/large", large)
            counts = server.counts()
        return ["## What another store holds already", "", f"`mlxcache pull` of the two large files while LM Studio's folder holds their bytes: {cost.seconds:.2f} s, {counts['requests']} requests, "
                f"{counts['other_bytes']:,} bytes of metadata and {counts['file_bytes']:,} bytes of files on the wire.", ""]

    hub = {"mlxcache pull": pulls.mlxcache, "hf download": pulls.hf_download, "aria2c, not hashing": pulls.aria2, "aria2c, hashing": pulls.aria2_checked}
    distant = {name: hub[name] for name in ("mlxcache pull", "aria2c, not hashing")}
    registry = {"mlxcache pull": pulls.mlxcache_ollama, "ollama pull": pulls.ollama}
    of_large, of_small = f"({size_of(large) / 1e9:.2f} GB in 2)", f"({size_of(small) / 1e6:.0f} MB in {len(small)})"
    measured = {
        "large": lambda: compare(f"Few large files {of_large}", (), "bench/large", large, hub, "hf download"),
        "small": lambda: compare(f"Many small files {of_small}", (), "bench/small", small, hub, "hf download"),
        "registry": lambda: compare(f"From a registry ({gguf[3] / 1e9:.2f} GB in 1)", (), "library/bench", {"model.gguf": gguf}, registry, "ollama pull"),
        "far": lambda: compare(f"Far away: 50 ms, 40 MiB/s a connection, a reset in 1 % of all MiB: few large files {of_large}", FAR, "bench/large", large, distant, "aria2c, not hashing"),
        "far-small": lambda: compare(f"Far away in the same way: many small files {of_small}", FAR, "bench/small", small, distant, "aria2c, not hashing"),
        "here": here}
    try:
        for part in parts:
            sections[part] = measured[part]()
            if options.pull_part:
                note.write_text(json.dumps(sections))
        lines = [line for part in PARTS for line in sections.get(part, [])]
        bench.report("pull", "Pulling, side by side", [
            f"All from one server on loopback (bench/server.go, on the same {os.cpu_count()} cores), into {pulls.place} ({filesystem(pulls.place)}), emptied before each run; the programs take turns. "
            "mlxcache hashes everything and forces it to the device before it gives it a name; `hf download` and aria2c without a checksum do neither. Processor time of `ollama pull` is its "
            "server's and its client's.", "",
            *lines, f"- {measure.version_of(bench.binary, '--version')}",
            f"- huggingface_hub {measure.version_of(pulls.hf.parent / 'python', '-c', 'import huggingface_hub; print(huggingface_hub.__version__)')}, HF_HUB_DISABLE_XET=1",
            f"- {measure.version_of('aria2c', '--version')}: `-x8 -s8 -k4M -j1` (large), `-j8` (small)", "- Ollama 0.6.6"])
    finally:
        shutil.rmtree(pulls.place, ignore_errors=True)
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)


def filesystem(place):
    return subprocess.run(["stat", "-f", "-c", "%T", str(place)], capture_output=True, text=True).stdout.strip() or "unknown"
