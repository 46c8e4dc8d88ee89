"""Real loaders read frozen models where they are mounted: safetensors, MLX and gguf in Python, and llama.cpp (as Ollama's runner) by mmap.
Everything is compared with what the same loaders say of the files that were frozen."""
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

from case import BINARY, Case
from environments import HERE, OLLAMA, PYTHON
from loaders_test import real_weights

# Weights as MLX quantises and writes them: words of 32 bits with eight weights each, scales and biases in half precision.
MLX_MODEL = """
import sys, mlx.core as mx
mx.random.seed(3)
out = {}
for i in range(4):
    w, s, b = mx.quantize((mx.random.normal((512, 256)) * 0.05).astype(mx.float16), group_size=64, bits=4)
    out |= {f"layers.{i}.weight": w, f"layers.{i}.scales": s, f"layers.{i}.biases": b}
mx.save_safetensors(sys.argv[1], out, {"format": "mlx"})
"""


def why_not():
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        return "mounting needs Linux, root and /dev/fuse"
    return None


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Mounted(Case):
    def setUp(self):
        if why_not():
            self.unavailable(why_not())
        self.top = Path(tempfile.mkdtemp(prefix="mlxcache-mounted-", dir="/var/tmp")).resolve()
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        self.at = self.top / "mnt"
        self.at.mkdir()
        self.env = {**os.environ, "HOME": str(self.top), "MLXCACHE_HOME": str(self.top / "state")}

    def frozen_and_mounted(self, folder):
        subprocess.run([BINARY, "freeze", str(folder), "--keep", "--apply", "--yes"], env=self.env, check=True, capture_output=True)
        mount = subprocess.Popen([BINARY, "mount", str(self.at), "--json"], env=self.env, stdout=subprocess.PIPE, text=True)

        def end():
            mount.terminate()
            mount.wait(60)
            mount.stdout.close()
            subprocess.run(["umount", "-l", str(self.at)], capture_output=True)

        self.addCleanup(end)
        self.assertEqual("mounted", json.loads(mount.stdout.readline())["event"])
        return self.at / "folders" / str(folder).lstrip("/")

    def model(self):
        folder = self.top / "model"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(real_weights())
        subprocess.run([PYTHON["loaders"], "-B", "-c", MLX_MODEL, folder / "mlx.safetensors"], check=True, capture_output=True)
        subprocess.run([PYTHON["loaders"], "-B", HERE / "tiny_llama.py", folder / "tiny.gguf", "5"], check=True, capture_output=True)
        return folder

    def read(self, folder):
        paths = [str(folder / name) for name in ("model.safetensors", "mlx.safetensors", "tiny.gguf")]
        done = subprocess.run([PYTHON["loaders"], "-B", HERE / "read_weights.py", *paths], capture_output=True, text=True, timeout=300)
        self.assertEqual(0, done.returncode, done.stderr[-2000:])
        return {os.path.basename(path): said for path, said in json.loads(done.stdout).items()}

    def generate(self, path):
        """What llama.cpp makes of it, the file being mapped."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        runner = subprocess.Popen([OLLAMA, "runner", "-model", path, "-port", str(port), "-ctx-size", "256", "-threads", "1"],
                                  env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(300):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                        if json.load(answer)["status"] == 0:
                            break
                except OSError:
                    pass
                self.assertIsNone(runner.poll(), "the runner ended")
                time.sleep(0.1)
            self.assertIn(str(path), Path(f"/proc/{runner.pid}/maps").read_text(), "it is not mapped")
            said = []
            for prompt in ("the a ing", "a", "zxy the"):
                ask = {"prompt": prompt, "options": {"num_predict": 24, "temperature": 0, "seed": 1, "num_ctx": 256}}
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/completion", data=json.dumps(ask).encode(), timeout=60) as answer:
                    said.append("".join(json.loads(line)["content"] for line in answer if line.strip()))
            return said
        finally:
            runner.terminate()
            runner.wait(30)

    def test_every_loader_reads_what_it_read_before(self):
        folder = self.model()
        shown = self.frozen_and_mounted(folder)
        for name in sorted(os.listdir(folder)):
            self.assertEqual(sha256_of(folder / name), sha256_of(shown / name), name)
        was, now = self.read(folder), self.read(shown)
        self.assertEqual([3, 3, 1], [len(now[name]) for name in ("model.safetensors", "mlx.safetensors", "tiny.gguf")], "loaders that read it")
        for name, said in now.items():
            self.assertEqual({loader: was[name][loader] for loader in said}, said, name)
        self.assertEqual(self.generate(folder / "tiny.gguf"), self.generate(shown / "tiny.gguf"))


if __name__ == "__main__":
    unittest.main()
