"""A real OCI registry serves a model, `mlxcache pull` brings it, a real Ollama server lists, shows and runs it, and keeps it when it
starts again and prunes."""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import unittest

import registry
import trees
from case import Case
from environments import HERE, PYTHON
from ollama_server import OLD, Server


def tiny_llama(folder, seed):
    """Real weights, small enough to run here."""
    path = folder / f"tiny-{seed}.gguf"
    subprocess.run([PYTHON["loaders"], "-B", HERE / "tiny_llama.py", path, str(seed)], check=True, capture_output=True)
    data = path.read_bytes()
    path.unlink()
    return data


class OllamaFromARegistry(Case):
    def setUp(self):
        if not registry.PROGRAM:
            if sys.platform == "darwin":
                self.skipTest("Homebrew has no docker-registry")
            self.unavailable("docker-registry is not installed")
        self.volume_of_test = self.volume("folder")
        self.home = self.volume_of_test.path / "home"
        self.home.mkdir()
        self.gguf = tiny_llama(self.volume_of_test.path, 1)
        self.registry = registry.Registry()
        self.registry.__enter__()
        self.addCleanup(self.registry.__exit__)
        self.manifest = self.registry.push_model("library/tiny", "latest", self.gguf)
        self.name = f"{self.registry.host}/library/tiny:latest"
        self.models = self.home / ".ollama/models"

    def pull(self, *more, **options):
        return self.mlxcache(self.home).run("pull", f"ollama:{self.name}", *more, **options)

    def manifest_file(self):
        return self.models / "manifests" / self.registry.host / "library/tiny/latest"

    def age(self):
        for blob in (self.models / "blobs").iterdir():
            os.utime(blob, (OLD, OLD))

    def test_the_server_lists_shows_runs_and_keeps_what_was_pulled(self):
        self.pull()
        self.assertEqual(self.manifest, self.manifest_file().read_bytes(), "the manifest's bytes exactly as received")
        for blob in (self.models / "blobs").iterdir():
            self.assertEqual(blob.name, "sha256-" + hashlib.sha256(blob.read_bytes()).hexdigest())
        said = []
        for start in ("first", "second"):
            self.age()  # it prunes what is old and belongs to nothing
            with Server(self.home) as server:
                self.assertEqual([self.name], server.names(), start)
                self.assertIn("llama", server.ollama("show", self.name), start)
                said.append(server.generate(self.name))
        self.assertEqual(said[0], said[1])
        self.assertTrue(said[0])

    def test_the_servers_own_pull_afterwards_fetches_nothing(self):
        self.pull()
        fetched = self.registry.blobs_fetched()
        with Server(self.home) as server:
            server.ollama("pull", "--insecure", self.name)
            self.assertEqual([self.name], server.names())
        self.assertEqual(fetched, self.registry.blobs_fetched())

    def test_what_the_server_pulled_is_not_fetched_again(self):
        with Server(self.home) as server:
            server.ollama("pull", "--insecure", self.name)
        before = trees.snapshot(self.models / "blobs")
        fetched = self.registry.blobs_fetched()
        self.pull()
        self.assertEqual(fetched, self.registry.blobs_fetched())
        self.assert_same(before, trees.snapshot(self.models / "blobs"))
        # The server writes the manifest anew, without blanks; ours is as received. Both say the same.
        self.assertEqual(json.loads(self.manifest), json.loads(self.manifest_file().read_bytes()))

    def test_another_store_gives_the_blob(self):
        folder = self.home / ".lmstudio/models/somebody/tiny"
        folder.mkdir(parents=True)
        (folder / "other-name.gguf").write_bytes(self.gguf)
        self.pull()
        self.assertNotIn(hashlib.sha256(self.gguf).hexdigest(), self.registry.blobs_fetched())
        with Server(self.home) as server:
            self.assertTrue(server.generate(self.name))

    def test_a_damaged_blob_never_gets_a_name(self):
        digest = hashlib.sha256(self.gguf).hexdigest()
        data = next((self.registry.folder / "data").rglob(f"{digest}/data"))
        damaged = bytearray(self.gguf)
        damaged[len(damaged) // 2] ^= 1
        data.write_bytes(damaged)
        answer = self.pull(expect=4)
        self.assertIn(digest[:12], answer.stdout + answer.stderr)
        self.assertFalse(self.manifest_file().exists())
        self.assertFalse((self.models / "blobs" / f"sha256-{digest}").exists())
        data.write_bytes(self.gguf)
        self.pull()
        with Server(self.home) as server:
            self.assertTrue(server.generate(self.name))

    def test_what_is_not_there_is_named(self):
        for name in (f"{self.registry.host}/library/tiny:nothing", f"{self.registry.host}/library/nothing"):
            answer = self.mlxcache(self.home).run("pull", f"ollama:{name}", expect=4)
            self.assertIn("nothing", answer.stdout + answer.stderr)
        self.assertFalse((self.models / "manifests").exists() and list((self.models / "manifests").rglob("*nothing*")))

    def test_removed_and_restored_the_server_has_it_again(self):
        self.pull()
        tool = self.mlxcache(self.home)
        with Server(self.home) as server:
            said = server.generate(self.name)
        tool.run("rm", self.name, "--from", "ollama", "--apply", "--yes")
        with Server(self.home) as server:
            self.assertEqual([], server.names())
        tool.run("restore", "--yes")
        self.age()
        with Server(self.home) as server:
            self.assertEqual([self.name], server.names())
            self.assertEqual(said, server.generate(self.name))

    def tearDown(self):
        shutil.rmtree(self.home, ignore_errors=True)


if __name__ == "__main__":
    unittest.main()
