"""A small home whose every size is fixed, and the binary run on it as a person would."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import homes
import payloads
import stores

BINARY = os.environ.get("MLXCACHE_BINARY", "")
HERE = Path(__file__).resolve().parent
# Whole blocks, and large enough that a file system's own small matters round away in what people are shown.
LARGE = 12_001_280
SMALL = 8_003_584
NOON = 1_700_000_000


def build(home):
    """Hub cache, Ollama, LM Studio and llama.cpp: one GGUF three times, one safetensors twice, one file alone, a partial, an orphan, a
    broken link."""
    home = Path(home)
    quant = payloads.gguf(1, LARGE)
    weights = payloads.safetensors(2, SMALL)
    alone = payloads.gguf(3, SMALL)
    hub = home / ".cache/huggingface/hub"
    homes.hub_repo(hub, "org/Llama-1B-GGUF", {"Llama-1B-Q4_K_M.gguf": quant})
    homes.hub_repo(hub, "org/Qwen-MLX", {"model.safetensors": weights, "config.json": b'{"model_type":"qwen3"}\n'})
    models = home / ".ollama/models"
    stores.ollama(models, "library/llama:1b", quant, mtime=NOON)
    stores.ollama(models, "library/gemma:270m", alone, mtime=NOON)
    (models / "blobs" / ("sha256-" + "0" * 64 + "-partial")).write_bytes(b"p" * 4096)
    orphan = payloads.gguf(4, 40_960)
    stores._blob(models, orphan, NOON)
    studio = stores.lm_studio(home, "org", "Llama-1B-GGUF", {"Llama-1B-Q4_K_M.gguf": quant}, mtime=NOON)
    stores.lm_studio(home, "org", "Qwen-MLX", {"model.safetensors": weights}, mtime=NOON)
    (studio.parent / "Gone").mkdir()
    (studio.parent / "Gone" / "gone.gguf").symlink_to("/nowhere/gone.gguf")
    return home


class House(unittest.TestCase):
    """One home for all cases of a class. A case that changes it brings it back, or makes its own."""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        if not (BINARY and os.access(BINARY, os.X_OK)):
            raise AssertionError(f"MLXCACHE_BINARY does not name the binary under test: {BINARY!r}")
        cls.top = Path(tempfile.mkdtemp(prefix="mlxcache-cli-", dir=os.environ.get("MLXCACHE_TEST_DISK", "/var/tmp"))).resolve()
        cls.home = build(cls.top / "home")
        cls.state = cls.top / "state"

    @classmethod
    def tearDownClass(cls):
        subprocess.run(["chmod", "-R", "u+rwX", cls.top], check=False)
        shutil.rmtree(cls.top, ignore_errors=True)

    def env(self, home=None, **more):
        env = {"PATH": "/usr/bin:/bin", "HOME": str(home or self.home), "MLXCACHE_HOME": str(self.state), "LANG": "C.UTF-8", "TZ": "UTC", "TERM": "xterm"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        env.update(more)
        return env

    def run_it(self, *words, home=None, env=None, stdin=None):
        """Returns (exit code, stdout, stderr) as bytes decoded leniently, so that raw control characters stay visible."""
        done = subprocess.run([BINARY, *words], env=env or self.env(home), cwd=home or self.home, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                              capture_output=True, timeout=300)
        return done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode("utf-8", "surrogateescape")

    def tame(self, text):
        """What differs from run to run: where the home is, transactions, times, the machine."""
        text = text.replace(str(self.home), "<home>").replace(str(self.top), "<top>")
        text = re.sub(r"\b\d{8}T\d{6}-[0-9a-f]{4,}\b", "<transaction>", text)
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "<when>", text)
        text = re.sub(r"took [\d.]+ m?s\b", "took <long>", text)
        text = re.sub(r"on (Linux|Darwin) \S+ \S+", "on <machine>", text)
        return text
