"""A real Ollama server, with its start-up pruning, on blobs that are shared with a hub cache and LM Studio."""
import os
import shutil
import subprocess
import unittest

import stores
import trees
import volumes
from case import Case
from environments import OLLAMA, PYTHON, HERE, HuggingFace
from hub import Hub, Repo
from ollama_server import OLD, OPTIONS, Server


class OllamaServer(Case):
    def home_with_models(self, kind):
        volume = self.volume(kind)
        home = volume.path / "home"
        home.mkdir()
        if not OLLAMA.exists():
            self.fail(f"{OLLAMA} is missing: run prepare.py")
        payloads = []
        for seed in (1, 2):
            gguf = volume.path / f"tiny-{seed}.gguf"
            subprocess.run([PYTHON["loaders"], "-B", HERE / "tiny_llama.py", gguf, str(seed)], check=True, capture_output=True)
            payloads.append(gguf.read_bytes())
            modelfile = volume.path / f"Modelfile-{seed}"
            modelfile.write_text(f"FROM {gguf}\n")
        with Server(home) as server:
            for seed in (1, 2):
                server.ollama("create", f"tiny-{seed}", "-f", volume.path / f"Modelfile-{seed}")
            # The server made the blobs; a pull from hf.co would have left the very same name for the first.
            stores.ollama(server.models, "hf.co/org/alpha:F16", payloads[0])
        for seed in (1, 2):
            (volume.path / f"tiny-{seed}.gguf").unlink()
        for blob in (home / ".ollama/models/blobs").iterdir():
            os.utime(blob, (OLD, OLD))

        hub = Hub()
        hub.__enter__()
        self.addCleanup(hub.__exit__)
        hub.repos["org/alpha"] = Repo(xet=True)
        hub.repos["org/alpha"].commit({"tiny-1.gguf": payloads[0], "tiny-2.gguf": payloads[1]})
        self.hub_cache = home / ".cache/huggingface/hub"
        self.client = HuggingFace("hf2", home, hub)
        self.client.call("snapshot", repo="org/alpha", cache_dir=self.hub_cache)
        self.lm_studio = stores.lm_studio(home, "org", "alpha-GGUF", {"tiny-1.gguf": payloads[0], "tiny-2.gguf": payloads[1]}, mtime=OLD)
        volume.sync()
        return volume, home

    def everything_works(self, server, answers, why):
        self.assertEqual(["hf.co/org/alpha:F16", "tiny-1:latest", "tiny-2:latest"], server.names(), why)
        for name, answer in answers.items():
            self.assertEqual(answer, server.generate(name), f"{why}: {name} says something else now")
            self.assertIn("llama", server.ollama("show", name), why)
        self.assertIn("F16", server.ollama("show", "tiny-1"), why)

    def agrees(self, kind):
        volume, home = self.home_with_models(kind)
        with Server(home) as server:
            answers = {name: server.generate(name) for name in server.names()}
            self.assertEqual(3, len(answers))
            self.assertNotEqual(answers["tiny-1:latest"], answers["tiny-2:latest"])
        # The suite's own log must not be compared, and it is no store's.
        (home / "serve.log").unlink()
        before = trees.snapshot(home)
        files = [path for path, name in before.items() if name.kind == "file"]
        taken = volumes.blocks_of(files)
        tool = self.mlxcache(home)
        done = tool.run("dedup", "--apply", "--yes").json
        volume.sync()
        self.assertEqual(taken - volumes.blocks_of(files), done["bytes_freed"])
        size = os.path.getsize(self.lm_studio / "tiny-1.gguf")
        # Reflink: all but one copy of both. Hard links: at least the LM Studio copies join somebody.
        self.assertGreaterEqual(done["bytes_freed"], 4 * size if volume.reflink else 2 * size)
        self.assert_all_bytes_as_before(before, home, why="after dedup")

        with Server(home) as server:  # its start prunes what it takes for garbage
            self.everything_works(server, answers, "after dedup and a restart")
        blobs = sorted(path.name for path in (home / ".ollama/models/blobs").iterdir())
        self.assertEqual(sorted(os.path.basename(path) for path in before if "/.ollama/models/blobs/" in path), blobs, "the server pruned, or we left something")

        (home / "serve.log").unlink()
        answer = tool.run("undo", "--yes").json
        self.assertEqual([], answer["refused"])
        self.assert_same(before, trees.snapshot(home), view=lambda name: name.without_inode(), why="after undo")
        with Server(home) as server:
            self.everything_works(server, answers, "after undo and a restart")

    def deletes(self, kind, undo_first):
        volume, home = self.home_with_models(kind)
        with Server(home) as server:
            answers = {name: server.generate(name) for name in server.names()}
        (home / "serve.log").unlink()
        before = trees.snapshot(home)
        tool = self.mlxcache(home)
        tool.run("dedup", "--apply", "--yes")
        if undo_first:
            tool.run("undo", "--yes")

        # Ollama deletes; the hub cache and LM Studio keep theirs.
        with Server(home) as server:
            server.ollama("rm", "tiny-2")
            self.assertEqual(["hf.co/org/alpha:F16", "tiny-1:latest"], server.names())
        for path, name in before.items():
            if name.kind == "file" and "/.ollama/" not in path:
                self.assertEqual(name.sha256, trees.sha256_of(path), f"ollama rm damaged {path}")
        self.assertIn("All checksums match", self.client.hf("cache", "verify", "org/alpha", "--cache-dir", self.hub_cache))

        # The hub client and LM Studio delete; Ollama keeps its own and still runs it.
        self.client.hf("cache", "rm", "model/org/alpha", "--cache-dir", self.hub_cache, "--yes")
        shutil.rmtree(self.lm_studio)
        with Server(home) as server:
            for name in ("hf.co/org/alpha:F16", "tiny-1:latest"):
                self.assertEqual(answers[name], server.generate(name), f"{name} after the others deleted theirs")
            # The server makes another model of a blob that was shared, and touches its time while doing so.
            server.ollama("cp", "tiny-1", "tiny-copy")
            self.assertEqual(answers["tiny-1:latest"], server.generate("tiny-copy"))
            server.ollama("rm", "tiny-1", "tiny-copy", "hf.co/org/alpha:F16")
            self.assertEqual([], server.names())
        self.assertEqual([], [path for path in (home / ".ollama/models/blobs").iterdir()])

    def test_lists_shows_runs_and_prunes_nothing_on_shared_extents(self):
        self.agrees("btrfs")

    def test_lists_shows_runs_and_prunes_nothing_on_hard_links(self):
        self.agrees("folder")

    def test_deleting_in_one_tool_leaves_the_other_whole_on_shared_extents(self):
        self.deletes("btrfs", undo_first=False)

    def test_deleting_in_one_tool_leaves_the_other_whole_on_hard_links(self):
        self.deletes("folder", undo_first=False)

    def test_deleting_in_one_tool_leaves_the_other_whole_after_undo(self):
        self.deletes("btrfs", undo_first=True)

    def test_dedup_while_the_server_runs_a_model_disturbs_neither(self):
        volume, home = self.home_with_models("btrfs")
        with Server(home) as server:
            server.env["OLLAMA_KEEP_ALIVE"] = "60"
            said = server.post("/api/generate", {"model": "tiny-1", "prompt": "the a", "stream": False, "keep_alive": 60,
                                                 "options": OPTIONS})["response"]
            self.assertTrue(server.get("/api/ps")["models"], "the model is not held in memory, so this test shows nothing")
            before = trees.snapshot(home / ".ollama/models", self.hub_cache, self.lm_studio)
            self.mlxcache(home).run("dedup", "--apply", "--yes", expect=(0, 3))
            self.assert_all_bytes_as_before(before, home / ".ollama/models", self.hub_cache, self.lm_studio, why="dedup under a running server")
            self.assertEqual(said, server.generate("tiny-1"))


if __name__ == "__main__":
    unittest.main()
