"""A seeded home full of model stores for benchmarks: the same seed and size give the same bytes on every machine.

What is in it, and why: real homes hold few large weight files and very many small ones. Large ones are spread over a hub cache, two
local_dir downloads, Ollama, LM Studio, llama.cpp and a loose folder; 40-50 % of all bytes are copies of others. Near misses (same
size, equal first 64 KiB, another byte in the middle or in the tail) keep a searcher honest; some copies are read-only and some belong
to another user. Small files are configs, tokenizers and shards' indices, many of them equal between repositories."""
import hashlib
import json
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))
import homes  # noqa: E402
import payloads  # noqa: E402
import stores  # noqa: E402

SERVICE_UID = 61_600
GIB = 1 << 30


def weights(kind, seed, size):
    return payloads.gguf(seed, size) if kind == "gguf" else payloads.safetensors(seed, size)


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Builder:
    def __init__(self, home, seed):
        self.home = Path(home)
        self.chance = random.Random(seed)
        self.seed = seed
        self.hub = self.home / ".cache/huggingface/hub"
        self.ollama = self.home / ".ollama/models"
        self.loose = self.home / "models"
        self.files = self.bytes = 0
        self.unique = {}
        self.serial = 0

    def count(self, data):
        self.files += 1
        self.bytes += len(data)
        self.unique[hashlib.blake2b(data, digest_size=16).digest()] = len(data)

    def write(self, path, data, mode=0o644):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if mode != 0o644:
            path.chmod(mode)
        self.count(data)
        return path

    def next_seed(self):
        self.serial += 1
        return self.seed * 1_000_003 + self.serial

    def small(self, shared):
        """A config, tokenizer or index: 200 bytes to 48 KiB, mostly small; `shared` picks from a pool that repeats."""
        seed = self.chance.randrange(400) if shared else self.next_seed()
        size = random.Random(seed).choice((230, 700, 1_400, 3_000, 9_000, 22_000, 48_000))
        return payloads.noise(seed, size)

    def hub_repo(self, repo, large, small_count):
        folder = self.hub / ("models--" + repo.replace("/", "--"))
        commit = hashlib.sha1(repo.encode()).hexdigest()
        (folder / "refs").mkdir(parents=True)
        (folder / "refs/main").write_text(commit)
        snapshot = folder / "snapshots" / commit
        snapshot.mkdir(parents=True)
        files = [(name, data, hashlib.sha256(data).hexdigest()) for name, data in large.items()]
        for i in range(small_count):
            data = self.small(shared=i % 2 == 0)
            files.append((f"part-{i:03}.json", data, git_sha1(data)))
        for name, data, etag in files:
            if not (folder / "blobs" / etag).exists():
                self.write(folder / "blobs" / etag, data)
            (snapshot / name).symlink_to(f"../../blobs/{etag}")
        return commit

    def local_dir(self, folder, commit, files):
        for name, data in files.items():
            path = self.write(folder / name, data)
            sidecar = folder / ".cache/huggingface/download" / (name + ".metadata")
            sidecar.parent.mkdir(parents=True, exist_ok=True)
            sidecar.write_text(f"{commit}\n{hashlib.sha256(data).hexdigest()}\n{path.stat().st_mtime + 0.5}\n")

    def pull(self, name, data):
        path = stores.ollama(self.ollama, name, data)
        self.count(data)
        return path


def build(home, seed=1, gib=6.2, small_files=30_000):
    """The mixed home. Returns facts about it."""
    b = Builder(home, seed)
    total = gib * GIB
    # Units: about 24 large payloads, sized so that originals make 54 % of the bytes.
    models = 8
    shard = int(total * 0.54 * 0.62 / (models * 2)) // 4096 * 4096
    quant = int(total * 0.54 * 0.38 / models) // 4096 * 4096
    for i in range(models):
        vary = 1 + (i - models / 2) * 0.05
        shards = {f"model-{n:05}-of-00002.safetensors": weights("safetensors", b.next_seed(), int(shard * vary) + 13 * n) for n in (1, 2)}
        gguf = weights("gguf", b.next_seed(), int(quant * vary) + 32 * i)
        commit = b.hub_repo(f"org{i % 3}/model-{i}", {**shards, f"model-{i}.Q4_K_M.gguf": gguf} if i % 2 == 0 else shards, 60)
        if i % 2 == 0:
            b.pull(f"hf.co/org{i % 3}/model-{i}:Q4_K_M", gguf)        # claims on both sides
            folder = b.home / ".lmstudio/models" / f"org{i % 3}" / f"model-{i}-GGUF"
            b.write(folder / f"model-{i}.Q4_K_M.gguf", gguf, mode=0o444 if i % 4 == 0 else 0o644)  # no digest: must be read
        else:
            b.pull(f"library/model-{i}:latest", gguf)
            b.write(b.home / ".cache/llama.cpp" / f"org_model-{i}_q4.gguf", gguf)
        if i in (1, 4):
            b.local_dir(b.home / "projects" / f"model-{i}", commit, shards)
        if i in (2, 5, 7):
            for name, data in shards.items():
                b.write(b.home / ".lmstudio/models" / f"org{i % 3}" / f"model-{i}-MLX" / name, data)
        if i == 3:
            for name, data in shards.items():
                path = b.write(b.loose / "downloads" / name, data)
                if os.geteuid() == 0:
                    os.chown(path, SERVICE_UID, SERVICE_UID)
        if i in (0, 6):  # near misses of something large: same size, equal head
            for n, other in enumerate(homes.near_misses(gguf)):
                if n != i % 3:
                    b.write(b.loose / f"near-{i}-{n}.gguf", other)
    # Small files: repositories with little in them, MLX folders in LM Studio, and a loose heap.
    repo = 0
    while b.files < small_files:
        repo += 1
        if repo % 3 == 0:
            for i in range(40):
                b.write(b.home / ".lmstudio/models/small" / f"m{repo}" / f"part-{i:02}.json", b.small(shared=i % 2 == 0))
        elif repo % 3 == 1:
            b.hub_repo(f"small/repo-{repo}", {}, 40)
        else:
            for i in range(40):
                b.write(b.loose / f"run-{repo}" / f"checkpoint-{i:02}.bin", b.small(shared=i % 2 == 0))
    return facts(b)


def build_digests(home, seed=2, gib=4.0, small_files=3_000):
    """A home where every store carries digests: a hub cache, Ollama and a local_dir with its sidecars; nothing else."""
    b = Builder(home, seed)
    models = 6
    size = int(gib * GIB / models / 2.6) // 4096 * 4096
    for i in range(models):
        shard = weights("safetensors", b.next_seed(), size + 64 * i)
        gguf = weights("gguf", b.next_seed(), int(size * 0.6) + 32 * i)
        files = {"model.safetensors": shard, "model.gguf": gguf}
        commit = b.hub_repo(f"org/model-{i}", files, small_files // models)
        b.pull(f"hf.co/org/model-{i}:F16", gguf)
        if i % 2:
            b.local_dir(b.home / "projects" / f"model-{i}", commit, {"model.safetensors": shard})
    return facts(b)


def facts(b):
    unique = sum(b.unique.values())
    return {"files": b.files, "bytes": b.bytes, "unique_bytes": unique, "duplicate_share": round(1 - unique / b.bytes, 3),
            "loose_roots": [str(path) for path in (b.loose, *sorted((b.home / "projects").glob("*"))) if path.exists()]}


if __name__ == "__main__":
    import argparse
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("home")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--gib", type=float, default=6.2)
    options.add_argument("--digests", action="store_true")
    chosen = options.parse_args()
    print(json.dumps((build_digests if chosen.digests else build)(chosen.home, chosen.seed, chosen.gib), indent=2))
