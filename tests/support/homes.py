"""A seeded home with several stores for tests of file systems: equal copies of odd sizes, near misses, metadata worth keeping."""
import hashlib
import os
import random
import subprocess
from pathlib import Path

import payloads
import stores

NOON = 1_700_000_000  # an old, round mtime: far from now, so that a change shows


def hub_repo(hub, repo, files):
    """A repository in a hub cache as huggingface_hub 1.x lays it out. Returns {name: blob path}."""
    folder = Path(hub) / ("models--" + repo.replace("/", "--"))
    commit = hashlib.sha1(repo.encode()).hexdigest()
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    blobs = {}
    for name, data in files.items():
        blob = folder / "blobs" / hashlib.sha256(data).hexdigest()
        blob.write_bytes(data)
        os.utime(blob, (NOON, NOON + 1))
        link = folder / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(blob, link.parent))
        blobs[name] = blob
    (folder / "refs" / "main").write_text(commit)
    return blobs


def near_misses(data):
    """Files of the same size that must never be taken for `data`: equal first 64 KiB, another byte in the middle, at the end, one bit."""
    for place in (len(data) // 2, len(data) - 1, 70_000):
        other = bytearray(data)
        other[place] ^= 1
        yield bytes(other)


def build(home, seed=1, models=6, largest=900_000, metadata=True):
    """Fills `home` with a hub cache, Ollama, LM Studio, llama.cpp and near misses. Returns the set of paths whose bytes exist more than
    once, as {sha256: [paths]}."""
    chance = random.Random(seed)
    home = Path(home)
    home.mkdir(parents=True, exist_ok=True)
    copies = {}

    def note(path, data):
        copies.setdefault(hashlib.sha256(data).hexdigest(), []).append(str(path))

    for i in range(models):
        # Sizes that end inside a block, one that ends on it, and one below a block.
        size = 262_144 if i == 0 else chance.randrange(100_000, largest)
        quant = payloads.gguf(seed * 1000 + i, size)
        weights = payloads.safetensors(seed * 1000 + 500 + i, size // 2)
        blobs = hub_repo(home / ".cache/huggingface/hub", f"org/model-{i}", {"model.safetensors": weights, "model.gguf": quant, "config.json": b'{"n":%d}' % i})
        note(blobs["model.gguf"], quant)
        note(blobs["model.safetensors"], weights)
        note(stores.ollama(home / ".ollama/models", f"hf.co/org/model-{i}:F16", quant, mtime=NOON), quant)
        studio = stores.lm_studio(home, "org", f"model-{i}", {"model.gguf": quant, "model.safetensors": weights}, mtime=NOON + i)
        note(studio / "model.gguf", quant)
        note(studio / "model.safetensors", weights)
        if i % 2 == 0:
            path = stores.llama_cpp(home, f"org_model-{i}_model.gguf", quant)
            note(path, quant)
        for n, other in enumerate(near_misses(quant)):
            stores.lm_studio(home, "near", f"miss-{i}-{n}", {"model.gguf": other}, mtime=NOON)
        if metadata:
            target = studio / "model.gguf"
            os.setxattr(target, "user.xdg.origin.url", f"https://example.org/{i}".encode())
            os.chmod(target, [0o644, 0o600, 0o444, 0o640][i % 4])
            os.utime(target, ns=(NOON * 10**9, NOON * 10**9 + 123_456_789 + i))
            if i % 3 == 0:
                subprocess.run(["setfacl", "-m", "u:65533:r", str(target)], check=True)
            if i % 4 == 1 and os.geteuid() == 0:
                os.chown(studio / "model.safetensors", 61_001, 61_002)
    return {digest: paths for digest, paths in copies.items() if len(paths) > 1}


def freeable(copies):
    """Bytes that sharing all equal copies frees: the blocks of all but one of each. Equal bytes may take unequal space (an attribute that
    needs a block of its own), so this is a range: whichever copy is kept, the truth lies in it."""
    least = most = 0
    for paths in copies.values():
        taken = [os.stat(path).st_blocks * 512 for path in paths]
        least += sum(taken) - max(taken)
        most += sum(taken) - min(taken)
    return range(least, most + 1)


def give_to(path, uid, gid=None):
    for folder, folders, files in os.walk(path):
        for name in [folder, *(os.path.join(folder, n) for n in folders + files)]:
            os.chown(name, uid, gid if gid is not None else uid, follow_symlinks=False)
