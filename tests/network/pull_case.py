"""What the suites of `mlxcache pull` share: a home, a hub whose answers can be spoiled, and what must hold of the hub cache whatever happened."""
import os
import re
import time
from pathlib import Path

import payloads
import trees
from case import Case
from hub import Hub, Repo, git_sha1, sha256

SMALL = payloads.safetensors(31, 3_000_000)
FILES = {"model.safetensors": SMALL, "config.json": b'{"model_type":"llama"}', "README.md": b"# alpha\n", "gguf/alpha-Q4_K_M.gguf": payloads.gguf(32, 200_000)}
OK, USAGE, FAILED, BUSY, PERMISSION, SPACE, CANCELLED = 0, 2, 4, 5, 6, 7, 130


class PullCase(Case):
    def setUp(self):
        self.base = self.volume("folder").path
        self.home = self.base / "home"
        self.home.mkdir()
        self.hub = self.a_hub()
        self.commit = self.a_repo("org/alpha", FILES)

    def a_hub(self, **more):
        hub = Hub(**more)
        hub.__enter__()
        self.addCleanup(hub.__exit__)
        return hub

    def a_repo(self, name, files, hub=None, **more):
        repo = (hub or self.hub).repos[name] = Repo(**more)
        return repo.commit(files)

    def tool(self, **env):
        """The program with nothing of this machine's network settings; `env`: more variables, None takes one away."""
        merged = {"HF_ENDPOINT": self.hub.url} | env
        return self.mlxcache(self.home, {name: str(value) for name, value in merged.items() if value is not None})

    def pull(self, what="org/alpha", *more, expect=OK, timeout=300, **env):
        started = time.monotonic()
        answer = self.tool(**env).run("pull", what, *more, expect=expect, timeout=timeout)
        answer.seconds = time.monotonic() - started
        answer.said = answer.stdout + answer.stderr
        return answer

    # ---- what the hub cache holds ----

    @property
    def cache(self):
        return self.home / ".cache/huggingface/hub"

    def snapshot(self, repo="org/alpha", commit=None):
        return self.cache / ("models--" + repo.replace("/", "--")) / "snapshots" / (commit or self.commit)

    def assert_pulled(self, files=None, repo="org/alpha", commit=None):
        files = FILES if files is None else files
        folder = self.snapshot(repo, commit)
        found = {os.path.relpath(os.path.join(where, name), folder) for where, _, names in os.walk(folder) for name in names}
        self.assertEqual(set(files), found, "the snapshot's files")
        for path, data in files.items():
            self.assertEqual(sha256(data), trees.sha256_of(folder / path), f"wrong bytes in {path}")
        self.assertEqual(commit or self.commit, (folder.parent.parent / "refs/main").read_text())
        self.assert_true_names()
        self.assertEqual([], self.unfinished(), "left behind in the cache")

    def unfinished(self):
        """Temporary and partial files in the stores; our own state folder is not a store."""
        return [str(path) for path in self.home.rglob("*") if path.is_file() and re.search(r"\.(part|state|incomplete|tmp)$|\.mlxcache", path.name)]

    def assert_true_names(self):
        """Whatever went wrong: a blob under its final name has the bytes that the name says, a snapshot's links lead to whole blobs."""
        for path in self.cache.rglob("*"):
            if path.is_symlink():
                self.assertTrue(path.exists(), f"{path} leads nowhere")
                path = path.resolve()
                self.assertTrue(str(path).startswith(str(self.cache.resolve())), f"a snapshot leads to {path}")
            if path.is_file() and re.fullmatch(r"[0-9a-f]{64}", path.name):
                self.assertEqual(path.name, trees.sha256_of(path), "a blob that is not what its name says")
            elif path.is_file() and re.fullmatch(r"[0-9a-f]{40}", path.name):
                self.assertEqual(path.name, git_sha1(path.read_bytes()), "a blob that is not what its name says")

    def assert_nothing_visible(self, repo="org/alpha"):
        """No store shows the model, and no payload lies under a final name."""
        self.assert_true_names()
        folder = self.cache / ("models--" + repo.replace("/", "--"))
        seen = [str(path) for path in folder.rglob("*") if path.is_file() or path.is_symlink()] if folder.exists() else []
        self.assertEqual([], [path for path in seen if "/snapshots/" in path or "/refs/" in path], "something is visible of a model that did not arrive")
        seen = {path.relative_to(self.home).parts[0] for path in self.home.rglob("*") if path.is_file()} - {".cache"}
        self.assertEqual(set(), seen)

    def assert_nothing_outside(self):
        """Nothing was written but below the home and our own state."""
        self.assertEqual({"home", "home.mlxcache-state"}, set(os.listdir(self.base)))

    def everything_written(self):
        """Every file below the home and our state, names and bytes."""
        for root in (self.home, Path(str(self.home) + ".mlxcache-state")):
            for path in root.rglob("*"):
                yield str(path).encode(), path.read_bytes() if path.is_file() else b""
