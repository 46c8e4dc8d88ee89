"""Frozen models read where they are mounted, against thawing them: one that is coded alone, and one kept as the difference to it. `bench/run mount`.

Two models of --mount-mib each: BF16 weights spread as trained ones are, and the same with the last bits of each weight changed, as a fine-tune has them.
Every figure is of a vault whose packs the kernel has in memory ("warm"), so that it says what decoding costs and not what the disk does; what the
mount gave is dropped from the kernel's memory before each pass.
"""
import hashlib
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import time
from array import array
from pathlib import Path

import measure

COLUMNS, ROWS = 2048, 2048
TENSOR = COLUMNS * ROWS * 2
RANDOM_READS, GRAIN = 1500, 64 * 1024


def make(folder, mib, seed):
    """base/model.safetensors and tuned/model.safetensors below `folder`."""
    chance = random.Random(seed)
    normal = statistics.NormalDist(0, 0.02)
    table = array("H", (struct.unpack("<I", struct.pack("<f", normal.inv_cdf((i + 0.5) / 65536)))[0] + 0x8000 >> 16 for i in range(65536)))
    pool = array("H", (table[i] for i in array("H", chance.randbytes(8 * TENSOR)))).tobytes()
    count = max(1, (mib << 20) // TENSOR)
    header, at = {}, 0
    for i in range(count):
        header[f"layers.{i}.weight"] = {"dtype": "BF16", "shape": [ROWS, COLUMNS], "data_offsets": [at, at + TENSOR]}
        at += TENSOR
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    for name in ("base", "tuned"):
        (folder / name).mkdir(parents=True)
        with open(folder / name / "model.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for i in range(count):
                begin = (i * 7_919 * 2_050) % (len(pool) - TENSOR) & ~1
                weights = pool[begin:begin + TENSOR]
                if name == "tuned":
                    bits = int.from_bytes(chance.randbytes(TENSOR), "little") & int.from_bytes(b"\x03\x00" * (TENSOR // 2), "little")
                    weights = (int.from_bytes(weights, "little") ^ bits).to_bytes(TENSOR, "little")
                file.write(weights)


def sequential(path, buffer):
    """Seconds to read all of it, and its digest, which is taken outside that time."""
    digest = hashlib.sha256()
    spent = 0.0
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while True:
            start = time.perf_counter()
            got = file.readinto(buffer)
            spent += time.perf_counter() - start
            if not got:
                return spent, digest.hexdigest()
            digest.update(memoryview(buffer)[:got])


def at_random(path, seed):
    """Milliseconds of each of many reads of 64 KiB anywhere in the file."""
    chance = random.Random(seed)
    times = []
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    size = os.fstat(fd).st_size
    for _ in range(RANDOM_READS):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        where = chance.randrange(size - GRAIN)
        start = time.perf_counter()
        got = os.pread(fd, GRAIN, where)
        times.append((time.perf_counter() - start) * 1000)
        assert len(got) == GRAIN
    os.close(fd)
    return times


def peak_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def run(bench):
    top = Path(bench.work) / "mount"
    shutil.rmtree(top, ignore_errors=True)
    models, at = top / "models", top / "mnt"
    at.mkdir(parents=True)
    make(models, bench.options.mount_mib, bench.options.seed)
    env = {**os.environ, "HOME": str(top), "MLXCACHE_HOME": str(top / "state"), "NO_COLOR": "1"}
    tool = bench.options.binary
    rows = []
    memory = []
    size = {}
    digests = {}
    thaw = {}
    for name in ("base", "tuned"):
        file = models / name / "model.safetensors"
        size[name] = file.stat().st_size
        with open(file, "rb") as opened:
            digests[name] = hashlib.file_digest(opened, "sha256").hexdigest()
        frozen = measure.once([tool, "freeze", models / name, "--keep", "--apply", "--json"], env)
        stored = json.loads(frozen.stdout)["models"][0]["stored_bytes"]
        back = []
        for _ in range(bench.options.repetitions):
            shutil.rmtree(top / "back", ignore_errors=True)
            back.append(measure.once([tool, "thaw", models / name, "--to", top / "back"], env))
        shutil.rmtree(top / "back", ignore_errors=True)
        thaw[name] = size[name] / 1e6 / measure.median(back)
        rows.append([name, f"{size[name] / 1e6:.0f}", f"{stored / size[name]:.3f}", f"{size[name] / 1e6 / frozen.seconds:.0f}", f"{thaw[name]:.0f}",
                     f"{size[name] / 1e6 / measure.median(back, 'cpu_seconds'):.0f}"])
        memory.append(f"freeze {name} {frozen.peak_mib:.0f}, thaw {name} {max(b.peak_mib for b in back):.0f}")
    process = subprocess.Popen([tool, "mount", str(at), "--json"], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert json.loads(process.stdout.readline())["event"] == "mounted"
        buffer = bytearray(1 << 20)
        for row, name in zip(rows, ("base", "tuned")):
            path = at / "folders" / str(models / name).lstrip("/") / "model.safetensors"
            passes = []
            for _ in range(bench.options.repetitions):
                seconds, digest = sequential(path, buffer)
                assert digest == digests[name], "other bytes than were frozen"
                passes.append(size[name] / 1e6 / seconds)
            rate = statistics.median(passes)
            times = sorted(at_random(path, 1))
            row += [f"{rate:.0f}", f"{100 * rate / thaw[name]:.0f} %", f"{times[len(times) // 2]:.2f}", f"{times[len(times) * 99 // 100]:.2f}"]
        memory.append(f"mount {peak_mib(process.pid):.0f}")
    finally:
        process.terminate()
        process.wait(60)
        subprocess.run(["umount", "-l", str(at)], capture_output=True)
    lines = ["| model | MB | stored | freeze MB/s | thaw MB/s | thaw MB/CPU-s | mount, sequential MB/s | of thaw | 64 KiB anywhere, median ms | 99 of 100 below ms |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    lines += ["", "Peak memory in MiB, all of the process: " + "; ".join(memory) + ".",
              "", __doc__.split("\n\n", 1)[1].replace("\n", " ").strip() + " Wall time, medians; freeze reads everything back, thaw writes and syncs the file. One reader."]
    bench.report("mount", "Frozen models read at their mount", lines)
    if not bench.options.keep:
        shutil.rmtree(top, ignore_errors=True)
