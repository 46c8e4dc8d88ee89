"""The whole-program benchmarks. `./dev bench [SCAN|…]` calls it; each writes bench/results/<name>.md with machine, versions and
command. Nothing here is a test: figures are read by people. Homes are made below --work and deleted afterwards (see --keep)."""
import argparse
import contextlib
import datetime
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "support")]
import home as homes_of_bench  # noqa: E402
import homes  # noqa: E402
import measure  # noqa: E402
import payloads  # noqa: E402
import stores  # noqa: E402
import trees  # noqa: E402
import volumes  # noqa: E402
from measure import median, once, spread, table  # noqa: E402


class Bench:
    def __init__(self, options):
        self.options = options
        self.binary = str(Path(options.binary).resolve())
        self.tools = Path(options.tools).resolve()
        self.work = Path(options.work)
        self.repetitions = options.repetitions

    def env(self, home, state):
        return {"PATH": os.environ["PATH"], "HOME": str(home), "MLXCACHE_HOME": str(state), "LANG": "C.UTF-8"}

    def peer(self, name):
        if name in self.options.without:
            return None
        path = self.tools / "bin" / name
        found = str(path) if path.exists() else shutil.which(name)
        if not found:
            print(f"{name} is not installed: left out", file=sys.stderr)
        return found

    def versions(self, *names):
        lines = [f"mlxcache {measure.version_of(self.binary, '--version')}"]
        lines += [f"{name}: left out of this run" for name in names if name in self.options.without]
        for name in names:
            if path := self.peer(name):
                lines.append(f"{name}: {measure.version_of(path, '--version')}")
        return lines

    def report(self, name, title, lines):
        folder = Path(self.options.results)
        folder.mkdir(parents=True, exist_ok=True)
        today = datetime.date.today().isoformat()
        text = "\n".join([f"# {title}", "", f"{today}. Machine: {self.machine}.", f"Command: `./dev bench {' '.join(sys.argv[1:2])}`; seed {self.options.seed}, "
                          f"{self.repetitions} repetitions, medians (least-greatest).", "", *lines, ""])
        (folder / f"{name}.md").write_text(text)
        print(text)

    # ---- scan and duplicate search, side by side ----

    def searchers(self, home, roots, state):
        """name → (command, first run starts without this file or folder)"""
        extra = [part for root in roots for part in ("--root", root)]
        found = {"mlxcache scan": ([self.binary, "scan", "--json", *extra], state)}
        if path := self.peer("fclones"):
            found["fclones"] = ([path, "group", "--hidden", home], None)
        if path := self.peer("jdupes"):
            found["jdupes"] = ([path, "-r", "-q", home], None)
        if path := self.peer("rdfind"):
            found["rdfind"] = ([path, "-dryrun", "true", "-outputname", str(self.work / "rdfind.txt"), home], None)
        if path := self.peer("rmlint"):
            found["rmlint"] = ([path, "-T", "df", "-o", f"json:{self.work}/rmlint.json", "--hidden", home], None)
        if path := self.peer("duperemove"):
            found["duperemove (search only)"] = ([path, "-r", "-q", f"--hashfile={self.work}/duperemove.hash", home], self.work / "duperemove.hash")
        return found

    @staticmethod
    def forget(thing):
        if thing is None:
            return
        if Path(thing).is_dir():
            shutil.rmtree(thing)
        else:
            for path in Path(thing).parent.glob(Path(thing).name + "*"):
                path.unlink()

    def search(self, name, title, home, facts):
        state = self.work / "state"
        env = self.env(home, state)
        programs = self.searchers(str(home), facts["loose_roots"], state)
        costs = {program: {"cold": [], "warm": [], "second": [], "second cold": []} for program in programs}
        if path := self.peer("fclones"):
            costs["fclones --cache"] = {"cold": [], "warm": [], "second": [], "second cold": []}
            programs["fclones --cache"] = ([path, "group", "--hidden", "--cache", str(home)], Path(env["HOME"]) / ".cache/fclones")
        answer = {}
        for round_number in range(self.repetitions):
            for program, (command, memory) in programs.items():
                for temperature in ("cold", "warm"):
                    self.forget(memory)
                    if temperature == "cold":
                        volumes.drop_caches()
                    else:
                        subprocess.run(["sh", "-c", f"find '{home}' -type f -print0 | xargs -0 cat >/dev/null"], check=True)
                    cost = once(command, env)
                    costs[program][temperature].append(cost)
                    if program == "mlxcache scan":
                        answer = json.loads(cost.stdout)
                if memory is not None:
                    costs[program]["second"].append(once(command, env))
                    if program == "mlxcache scan":
                        answer["second_bytes_read"] = json.loads(costs[program]["second"][-1].stdout)["bytes_read"]
                    volumes.drop_caches()
                    costs[program]["second cold"].append(once(command, env))
            print(f"{name}: round {round_number + 1} of {self.repetitions}", file=sys.stderr, flush=True)
        for _, memory in programs.values():
            self.forget(memory)
        base = costs.get("fclones")
        rows = []
        for program, by in costs.items():
            row = [program]
            for temperature in ("cold", "warm"):
                ratio = f" = {median(by[temperature]) / median(base[temperature]):.2f}×" if base else ""
                row.append(spread(by[temperature]) + ratio)
            for temperature in ("second cold", "second"):
                first = "cold" if "cold" in temperature else "warm"
                against = f" = {median(by[temperature]) / median(base[first]):.2f}×" if base and by[temperature] else ""
                row.append(spread(by[temperature]) + against if by[temperature] else "as the first")
            row += [f"{median(by['cold'], 'disk_mib'):.0f}", f"{max(cost.peak_mib for kind in by.values() for cost in kind):.0f}",
                    f"{median(by['warm'], 'cpu_seconds'):.2f}"]
            rows.append(row)
        self.report(name, title, [
            f"The home: {facts['files']:,} files, {facts['bytes'] / 1e9:.2f} GB, {facts['duplicate_share']:.1%} of the bytes are copies (bench/home.py).",
            f"mlxcache finds {len(answer['duplicates'])} groups, {answer['reclaimable_bytes'] / 1e9:.2f} GB reclaimable, and read {answer['bytes_read'] / 1e9:.2f} GB of payload to know it "
            f"({answer['second_bytes_read']} bytes the second time).",
            "", "Seconds; × is the time against fclones' first run at the same cache temperature.", "",
            table(["program", "first, cold", "first, warm", "again, cold", "again, warm", "MiB read from disk, cold", "peak MiB", "CPU s, warm"], rows), "",
            *("- " + line for line in self.versions("fclones", "jdupes", "rdfind", "rmlint", "duperemove")),
            "- commands: " + "; ".join("`" + " ".join(os.path.basename(str(part)) if i == 0 else str(part).replace(str(home), "HOME").replace(str(self.work), "WORK") for i, part in enumerate(command)) + "`"
                                       for command, _ in programs.values()),
            "- What each prints goes to a file; page cache dropped before each cold run, every file read once before each warm one."])

    @contextlib.contextmanager
    def home(self, name, make, *how):
        """(home, facts): made by make(home, *how), which gives facts or nothing; with --keep it stays, and one made in the same way is taken again."""
        home, note = self.work / name, self.work / (name + ".json")
        wanted = json.loads(json.dumps(how))
        kept = json.loads(note.read_text()) if self.options.keep and note.exists() else {}
        if kept.get("how") != wanted:
            note.unlink(missing_ok=True)
            shutil.rmtree(home, ignore_errors=True)
            kept = {"how": wanted, "facts": make(home, *how)}
            note.write_text(json.dumps(kept))
        try:
            yield home, kept["facts"]
        finally:
            if not self.options.keep:
                note.unlink()
                shutil.rmtree(home, ignore_errors=True)

    def scan(self):
        with self.home("home", homes_of_bench.build, self.options.seed, self.options.gib) as (home, facts):
            if not self.options.make:
                self.search("scan", "Scan and duplicate search on one mixed home", home, facts)

    def digests(self):
        with self.home("digest-home", homes_of_bench.build_digests, self.options.seed, self.options.gib * 0.65) as (home, facts):
            if not self.options.make:
                self.search("digests", "Where every store carries digests", home, facts)

    # ---- sharing on volumes that can ----

    def dedup(self):
        lines = []
        for kind in ("btrfs", "xfs"):
            rows = []
            for who, uid in (("root", None), ("an ordinary user, some copies read-only, some foreign", 61_500)):
                costs = {"mlxcache": [], "duperemove": []}
                freed = {"mlxcache": [], "duperemove": []}
                for round_number in range(self.repetitions):
                    for program in costs:
                        if program == "duperemove" and not self.peer("duperemove"):
                            continue
                        with volumes.Volume(kind, mib=int(self.options.dedup_gib * 1024 * 2.2) + 700) as volume:
                            cost, gone, could = self.share_once(program, volume, uid)
                            costs[program].append(cost)
                            freed[program].append(gone)
                    print(f"dedup {kind} {who}: round {round_number + 1}", file=sys.stderr, flush=True)
                for program, list_of in costs.items():
                    if list_of:
                        ratio = median(list_of) / median(costs["duperemove"]) if costs["duperemove"] else 0
                        rows.append([f"{program}, {who}", spread(list_of), f"{ratio:.2f}×", f"{min(freed[program]) / 1e6:.1f}", f"{min(freed[program]) / could:.1%}",
                                     f"{median(list_of, 'disk_mib'):.0f}", f"{max(c.peak_mib for c in list_of):.0f}"])
            lines += [f"## {kind}", "", table(["who", "seconds, cold", "against duperemove", "MB freed", "of what could be", "MiB read", "peak MiB"], rows), ""]
        self.report("dedup", "Sharing on volumes with reflinks", [
            f"A home of {self.options.dedup_gib} GiB on a fresh loop-mounted volume, page cache dropped before. mlxcache: `dedup --apply --yes` from nothing (scan, plan, apply). "
            "duperemove: `-r -d -h`, the search and the sharing. Freed: distinct disk blocks of all files before and after, by FIEMAP.", "", *lines, *("- " + line for line in self.versions("duperemove"))])

    def share_once(self, program, volume, uid):
        home, service = volume.path / "home", volume.path / "service"
        gib = self.options.dedup_gib
        size = int(gib * 2**30 / 16)
        could = 0
        for i in range(5):
            data = payloads.gguf(self.options.seed * 100 + i, size + 100 * i)
            blobs = homes.hub_repo(home / ".cache/huggingface/hub", f"org/m{i}", {"model.gguf": data})
            stores.ollama(service if i < 2 else home / ".ollama-mine", f"hf.co/org/m{i}:F16", data)
            stores.lm_studio(home, "org", f"m{i}", {"model.gguf": data})
            for path in (blobs["model.gguf"], home / f".lmstudio/models/org/m{i}/model.gguf"):
                os.chmod(path, 0o444)
            could += 2 * ((len(data) + 4095) // 4096 * 4096)
        if uid is not None:
            homes.give_to(home, uid)
            homes.give_to(service, 61_600)
        files = trees.files_below_quick(home, service)
        volume.sync()
        before = volumes.blocks_of(files)
        volumes.drop_caches()
        state = volume.path / "state"
        state.mkdir()
        if uid is not None:
            os.chown(state, uid, uid)
        env = self.env(home, state) | {"OLLAMA_MODELS": str(service)}
        if program == "mlxcache":
            command = [self.binary, "dedup", "--apply", "--yes", "--json", "--root", home / ".ollama-mine"]
        else:
            command = [self.peer("duperemove"), "-r", "-d", "-h", "-q", home, service]
        cost = once(command, env, uid=uid)
        volume.sync()
        return cost, before - volumes.blocks_of(files), could

    # ---- hashing against the machine's limit ----

    @staticmethod
    def make_blobs(home, count):
        total = 0
        for i in range(count):
            data = payloads.gguf(i, 170_000_000 + i * 32)
            stores.ollama(home / ".ollama/models", f"library/m{i}:latest", data)
            total += len(data)
        return total

    def hashing(self):
        state = self.work / "state"
        with self.home("hash-home", self.make_blobs, 12) as (home, total):
            if self.options.make:
                return
            cores = os.cpu_count()
            rows = []
            for n in (1, cores):
                done = subprocess.run(["openssl", "speed", "-evp", "sha256", "-bytes", "1048576", "-seconds", "3", "-multi", str(n)], capture_output=True, text=True)
                rate = float(done.stdout.strip().splitlines()[-1].split()[-1].rstrip("k")) * 1000
                rows.append([f"openssl speed, {n} process(es)", f"{rate / 1e9:.2f}"])
            limit = rate
            costs = {"warm": [], "cold": []}
            for _ in range(self.repetitions):
                for temperature in costs:
                    self.forget(state)
                    if temperature == "cold":
                        volumes.drop_caches()
                    else:
                        subprocess.run(["sh", "-c", f"cat '{home}'/.ollama/models/blobs/* >/dev/null"], check=True)
                    costs[temperature].append(once([self.binary, "verify", "--json"], self.env(home, state)))
            volumes.drop_caches()
            start = time.monotonic()
            subprocess.run(["sh", "-c", f"ls '{home}'/.ollama/models/blobs/* | xargs -P {cores} -n 1 cat >/dev/null"], check=True)
            disk = total / (time.monotonic() - start)
            rows.append([f"the disk, {cores} readers", f"{disk / 1e9:.2f}"])
            for temperature, bound in (("warm", limit), ("cold", min(limit, disk))):
                rate = total / median(costs[temperature])
                rows.append([f"mlxcache verify, {temperature}: {rate / bound:.0%} of the limit", f"{rate / 1e9:.2f}"])
            self.report("hashing", "Hashing against what the machine can do", [f"{total / 1e9:.2f} GB in 12 blobs, whole program including start and scan.", "", table(["what", "GB/s"], rows), "", "- " + measure.version_of("openssl", "version")])
            self.forget(state)

    # ---- a million files ----

    @staticmethod
    def make_many(home, count):
        for repo in range(count // 250):
            folder = home / ".lmstudio/models" / f"org{repo % 50}" / f"model-{repo}"
            folder.mkdir(parents=True)
            for i in range(250):
                with open(folder / f"part-{i:03}.safetensors", "wb") as file:
                    file.write(b"%d %d" % (repo, i) + b"." * (repo % 97 + i))
        return count // 250 * 250

    def million(self):
        rows = []
        state = self.work / "state"
        for count in (100_000, 300_000, 1_000_000):
            with self.home(f"million-{count}", self.make_many, count) as (home, made):
                if self.options.make:
                    continue
                self.forget(state)
                env = self.env(home, state)
                first = once([self.binary, "scan", "--json"], env)
                again = [once([self.binary, "scan", "--json"], env) for _ in range(self.repetitions)]
                ls = [once([self.binary, "ls", "--json"], env) for _ in range(self.repetitions)]
                walk = [once(["find", home, "-printf", "%s %T@ %i\\n"], env) for _ in range(self.repetitions)]
                size = sum(path.stat().st_size for path in state.rglob("*") if path.is_file())
                rows.append([f"{made:,}", f"{first.seconds:.1f}", spread(again), f"{median(again) / made * 1e6:.1f}", spread(ls), f"{median(ls) / made * 1e6:.1f}", spread(walk),
                             f"{max(c.peak_mib for c in again):.0f}", f"{max(c.peak_mib for c in ls):.0f}", f"{size / 2**20:.0f}"])
                print(f"million: {count}", file=sys.stderr, flush=True)
                self.forget(state)
        if rows:
            self.report("million", "A million files", ["Small files of LM Studio models; first scan, then unchanged. `find -printf` stats the same files.", "",
                    table(["files", "first scan s", "rescan s", "µs a file", "ls s", "µs a file", "find s", "rescan peak MiB", "ls peak MiB", "catalog MiB"], rows)])


def pulls(bench):
    import pull  # needs the clients' environments: only where it is asked for or all are
    pull.run(bench)


def mounts(bench):
    import mount
    mount.run(bench)


BENCHMARKS = {"scan": Bench.scan, "digests": Bench.digests, "dedup": Bench.dedup, "hashing": Bench.hashing, "million": Bench.million, "pull": pulls, "mount": mounts}


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("which", nargs="*", choices=[*BENCHMARKS, []], help="default: all")
    options.add_argument("--binary", default=str(HERE.parent / "build/bin/mlxcache"))
    options.add_argument("--tools", default=str(HERE.parent / "build/bench/tools"), help="where `bench/run` installed fclones")
    options.add_argument("--work", default="/var/tmp/mlxcache-bench", help="a folder on a real disk with 12 GB to spare")
    options.add_argument("--results", default=str(HERE / "results"))
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--keep", action="store_true", help="leave the homes in --work for a later run, and take those that an earlier run with --keep left (not: dedup)")
    options.add_argument("--make", action="store_true", help="only make the homes, and keep them: for a run in a quiet moment")
    options.add_argument("--without", action="append", default=[], metavar="PEER", help="leave this peer out (rmlint takes minutes on a cold home)")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--gib", type=float, default=6.2)
    options.add_argument("--pull-gib", type=float, default=2.0)
    options.add_argument("--pull-place", default="/var/tmp/mlxcache-bench-pull", help="where the pulled models go: a real disk, or a memory file system")
    options.add_argument("--pull-part", action="append", default=[], choices=["large", "small", "registry", "far", "far-small", "here"],
                         help="pull: measure this part only (may be given several times); the report takes the others from such runs before")
    options.add_argument("--clients", default=str(HERE.parent / "build/bench/clients"), help="where `bench/run` installed huggingface_hub and Ollama")
    options.add_argument("--dedup-gib", type=float, default=1.5)
    options.add_argument("--mount-mib", type=int, default=256, help="mount: MiB of each of its two models")
    chosen = options.parse_args()
    chosen.keep = chosen.keep or chosen.make
    if os.name != "posix" or sys.platform == "darwin" or os.geteuid() != 0:
        raise SystemExit("dropping the page cache and loop mounts need root on Linux")
    bench = Bench(chosen)
    bench.machine = measure.machine()
    bench.work.mkdir(parents=True, exist_ok=True)
    for name in chosen.which or BENCHMARKS:
        BENCHMARKS[name](bench)


if __name__ == "__main__":
    main()
