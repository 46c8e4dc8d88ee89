"""After a pull the real Hugging Face client lists, verifies and loads from the same cache, offline too; what it wrote is not fetched
again by us; both may be at it at once. What publish, rm and restore made is read by the real tools."""
import json
import os
import shutil
import subprocess
import unittest
from pathlib import Path

import faults
import payloads
import trees
from case import Case
from environments import HERE, PYTHON, HuggingFace
from hub import Hub, Repo, sha256
from ollama_server import OLD, Server
from registry_test import tiny_llama

FILES = {"model-00001-of-00002.safetensors": payloads.safetensors(61, 3_000_000), "model-00002-of-00002.safetensors": payloads.safetensors(62, 1_000_000),
         "config.json": b'{"model_type":"llama"}', "README.md": b"# alpha\n", "sub/folder/vocab.txt": b"a\nb\n"}
CLIENTS = ("hf0", "hf1", "hf2")


class WithHub(Case):
    def setUp(self):
        self.base = self.volume("folder").path
        self.home = self.base / "home"
        self.home.mkdir()
        self.hub = Hub()
        self.hub.__enter__()
        self.addCleanup(self.hub.__exit__)
        self.hub.repos["org/alpha"] = Repo()
        self.commit = self.hub.repos["org/alpha"].commit(FILES)
        self.cache = self.home / ".cache/huggingface/hub"
        self.tool = self.mlxcache(self.home, {"HF_ENDPOINT": self.hub.url})

    def client(self, name, **env):
        return HuggingFace(name, self.home, self.hub, xet=False, **env)

    def assert_files(self, folder, files=None):
        for path, data in (files or FILES).items():
            self.assertEqual(sha256(data), trees.sha256_of(Path(folder) / path), path)


class HuggingFaceAfterPull(WithHub):
    def test_each_client_loads_what_was_pulled_without_a_byte_more(self):
        self.tool.run("pull", "org/alpha")
        before = trees.snapshot(self.cache)
        self.hub.forget()
        for name in CLIENTS:
            self.assert_files(self.client(name).call("snapshot", repo="org/alpha", cache_dir=self.cache))
            self.assertEqual(0, self.hub.served_bytes, f"{name} fetched again what was pulled")
        self.hub.forget()
        for name in CLIENTS:
            folder = self.client(name, HF_HUB_OFFLINE="1").call("snapshot", repo="org/alpha", cache_dir=self.cache)
            self.assert_files(folder)
            self.assertEqual(self.commit, Path(folder).name)
        self.assertEqual([], self.hub.requests)
        after = trees.snapshot(self.cache)
        self.assert_same(before, after, ignore=lambda path: "/refs/" in path or "/.no_exist/" in path or "/trees/" in path or path.endswith("CACHEDIR.TAG"), why="a client changed what was pulled")

    def test_scan_and_verify_agree(self):
        self.tool.run("pull", "org/alpha")
        for name in CLIENTS:
            found = self.client(name).call("scan", cache_dir=self.cache)
            self.assertEqual([], found["warnings"], name)
            self.assertEqual([self.commit], list(found["repos"]["org/alpha"]["revisions"]), name)
        for name in CLIENTS[1:]:
            answer = self.client(name).hf("cache", "verify", "org/alpha", "--cache-dir", self.cache, "--fail-on-missing-files", "--fail-on-extra-files")
            self.assertIn("All checksums match", answer)

    def test_the_client_removes_what_was_pulled(self):
        self.tool.run("pull", "org/alpha")
        self.client("hf2").hf("cache", "rm", "model/org/alpha", "--cache-dir", self.cache, "--yes")
        self.assertEqual([], [path for path in self.cache.rglob("*") if path.is_file() and path.stat().st_size > 1000])

    def test_what_a_client_wrote_is_not_fetched_again(self):
        for name in CLIENTS:
            with self.subTest(client=name):
                home = self.base / f"home-{name}"
                home.mkdir()
                HuggingFace(name, home, self.hub, xet=False).call("snapshot", repo="org/alpha")
                before = trees.snapshot(home)
                self.hub.forget()
                self.mlxcache(home, {"HF_ENDPOINT": self.hub.url}).run("pull", "org/alpha")
                self.assertEqual(0, self.hub.served_bytes)
                self.assert_same(before, trees.snapshot(home), ignore=lambda path: "/refs/" in path or "/trees" in path, why="a pull of what is there changed it")

    def test_the_shared_blob_store_of_the_newest_client_is_read(self):
        self.hub.repos["org/alpha"].xet = True
        self.commit = self.hub.repos["org/alpha"].commit(FILES)
        HuggingFace("hf2", self.home, self.hub).call("snapshot", repo="org/alpha", cache_dir=self.cache)
        self.hub.forget()
        self.tool.run("pull", "org/alpha")
        self.assertEqual(0, self.hub.served_bytes)
        self.assertIn("All checksums match", self.client("hf2").hf("cache", "verify", "org/alpha", "--cache-dir", self.cache, "--fail-on-missing-files"))

    def test_the_newest_client_completes_a_selection(self):
        self.tool.run("pull", "org/alpha", "--include", "*.json")
        self.hub.forget()
        client = self.client("hf2")
        self.assert_files(client.call("snapshot", repo="org/alpha", cache_dir=self.cache))
        self.assertGreater(self.hub.served_bytes, 4_000_000, "it took a part for the whole")

    def test_offline_a_selection_is_not_taken_for_the_whole(self):
        self.tool.run("pull", "org/alpha", "--include", "*.json")
        self.assertIsNone(self.client("hf2", HF_HUB_OFFLINE="1").call("cached", repo="org/alpha", file="README.md", cache_dir=self.cache))

    def test_a_newer_commit_leaves_the_older_whole(self):
        self.tool.run("pull", "org/alpha")
        old = self.commit
        changed = FILES | {"config.json": b'{"model_type":"llama","v":2}'}
        self.commit = self.hub.repos["org/alpha"].commit(changed)
        self.hub.forget()
        self.tool.run("pull", "org/alpha")
        self.assertLess(self.hub.served_bytes, 1000)
        client = self.client("hf2", HF_HUB_OFFLINE="1")
        self.assert_files(client.call("snapshot", repo="org/alpha", cache_dir=self.cache), changed)
        self.assert_files(client.call("snapshot", repo="org/alpha", revision=old, cache_dir=self.cache))

    def both_at_once(self, name):
        self.hub.cdn.fault(faults.slow(2_000_000), times=None)
        client = self.client(name)
        ours = self.tool.start("pull", "org/alpha")
        theirs = subprocess.Popen([PYTHON[name], "-B", HERE / "hf_client.py", "snapshot", json.dumps({"repo": "org/alpha", "cache_dir": str(self.cache)})],
                                  env=client.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, err = ours.communicate(timeout=120)
        their_out, their_err = theirs.communicate(timeout=120)
        self.assertEqual((0, 0), (ours.returncode, theirs.returncode), f"{out}{err}\n{their_out}{their_err}")
        self.assert_files(self.cache / "models--org--alpha/snapshots" / self.commit)
        self.assertIn("All checksums match", self.client("hf2").hf("cache", "verify", "org/alpha", "--cache-dir", self.cache, "--fail-on-missing-files"))
        self.assertEqual([], [str(path) for path in self.cache.rglob("*.incomplete")])

    def test_a_pull_while_the_client_downloads_the_same(self):
        for name in CLIENTS:
            with self.subTest(client=name):
                self.both_at_once(name)
                shutil.rmtree(self.cache)
                self.hub.heal()


class PublishedToRealTools(WithHub):
    def setUp(self):
        super().setUp()
        self.gguf = tiny_llama(self.base, 1)
        self.hub.repos["org/tiny-GGUF"] = Repo()
        self.hub.repos["org/tiny-GGUF"].commit({"tiny-F16.gguf": self.gguf, "README.md": b"# tiny\n"})
        (self.home / ".ollama/models/blobs").mkdir(parents=True)
        (self.home / ".ollama/models/manifests").mkdir(parents=True)

    def age(self):
        for blob in (self.home / ".ollama/models/blobs").iterdir():
            os.utime(blob, (OLD, OLD))

    def the_server_runs(self):
        self.age()
        with Server(self.home) as server:
            names = server.names()
            self.assertEqual(1, len(names), names)
            self.assertIn("llama", server.ollama("show", names[0]))
            said = server.generate(names[0])
            self.assertTrue(said)
            return said

    def test_a_pull_from_the_hub_to_ollama_runs_there(self):
        self.tool.run("pull", "org/tiny-GGUF", "--to", "ollama")
        said = self.the_server_runs()
        self.assertEqual(said, self.the_server_runs(), "after a restart")
        self.assertIn("All checksums match", self.client("hf2").hf("cache", "verify", "org/tiny-GGUF", "--cache-dir", self.cache, "--fail-on-missing-files"))

    def test_published_later_it_runs_there_and_takes_no_room(self):
        self.tool.run("pull", "org/tiny-GGUF")
        self.tool.run("publish", "org/tiny-GGUF", "--to", "ollama", "--apply", "--yes")
        blob = self.home / ".ollama/models/blobs" / f"sha256-{sha256(self.gguf)}"
        self.assertTrue(blob.exists())
        self.the_server_runs()

    def test_what_the_client_downloaded_is_published(self):
        self.client("hf2").call("snapshot", repo="org/tiny-GGUF", cache_dir=self.cache)
        self.tool.run("publish", "org/tiny-GGUF", "--to", "ollama", "--apply", "--yes")
        self.the_server_runs()

    def test_what_ollama_made_is_loaded_by_the_hub_client(self):
        (self.base / "tiny.gguf").write_bytes(self.gguf)
        (self.base / "Modelfile").write_text(f"FROM {self.base}/tiny.gguf\n")
        with Server(self.home) as server:
            server.ollama("create", "mine", "-f", self.base / "Modelfile")
        (self.base / "tiny.gguf").unlink()
        answer = self.tool.run("publish", "mine", "--to", "lm-studio", "--apply", "--yes")
        found = [path for path in self.home.rglob("*.gguf") if ".ollama" not in str(path)]
        self.assertTrue(found, answer.stdout)
        self.assertEqual(sha256(self.gguf), trees.sha256_of(found[0]))

    def test_unpublished_the_server_has_it_no_more_and_the_hub_cache_is_whole(self):
        self.tool.run("pull", "org/tiny-GGUF", "--to", "ollama")
        with Server(self.home) as server:
            name = server.names()[0]
        self.tool.run("unpublish", name, "--from", "ollama", "--apply", "--yes")
        with Server(self.home) as server:
            self.assertEqual([], server.names())
        self.assertIn("All checksums match", self.client("hf2").hf("cache", "verify", "org/tiny-GGUF", "--cache-dir", self.cache, "--fail-on-missing-files"))

    def test_removed_from_ollama_and_restored(self):
        self.tool.run("pull", "org/tiny-GGUF", "--to", "ollama")
        said = self.the_server_runs()
        with Server(self.home) as server:
            name = server.names()[0]
        self.tool.run("rm", name, "--from", "ollama", "--apply", "--yes")
        with Server(self.home) as server:
            self.assertEqual([], server.names())
        self.assertIn("All checksums match", self.client("hf2").hf("cache", "verify", "org/tiny-GGUF", "--cache-dir", self.cache, "--fail-on-missing-files"))
        self.tool.run("restore", "--yes")
        self.assertEqual(said, self.the_server_runs())

    def test_removed_from_the_hub_cache_ollama_still_runs_it_and_restore_brings_it_back(self):
        self.tool.run("pull", "org/tiny-GGUF", "--to", "ollama")
        self.tool.run("rm", "org/tiny-GGUF", "--from", "hf-hub", "--apply", "--yes")
        self.assertEqual({}, self.client("hf2").call("scan", cache_dir=self.cache)["repos"])
        self.the_server_runs()
        self.tool.run("restore", "--yes")
        self.assertIn("All checksums match", self.client("hf2").hf("cache", "verify", "org/tiny-GGUF", "--cache-dir", self.cache, "--fail-on-missing-files"))
        self.client("hf2", HF_HUB_OFFLINE="1").call("snapshot", repo="org/tiny-GGUF", cache_dir=self.cache)
        self.the_server_runs()

    def test_ollamas_own_rm_leaves_the_hub_cache_whole(self):
        self.tool.run("pull", "org/tiny-GGUF", "--to", "ollama")
        with Server(self.home) as server:
            server.ollama("rm", server.names()[0])
            self.assertEqual([], server.names())
        self.assertIn("All checksums match", self.client("hf2").hf("cache", "verify", "org/tiny-GGUF", "--cache-dir", self.cache, "--fail-on-missing-files"))


if __name__ == "__main__":
    unittest.main()
