"""Three generations of huggingface_hub write their caches; after dedup, and after undo, each of them lists, verifies, loads and
deletes as if nothing had happened, and what one deletes stays whole for the others."""
import unittest

import payloads
import stores
import trees
import volumes
from case import Case
from environments import HuggingFace
from hub import Hub, Repo

WEIGHTS = payloads.safetensors(11, 600_000)
OLD_WEIGHTS = payloads.safetensors(12, 600_000)
SHARD = payloads.safetensors(13, 400_000)
QUANT = payloads.gguf(14, 500_000)


class Home:
    """Two hub caches (by two versions), a local_dir, an Ollama store and LM Studio, all holding some of the same bytes."""

    def __init__(self, case, kind, version, other):
        self.case = case
        self.volume = case.volume(kind)
        self.home = self.volume.path / "home"
        self.home.mkdir()
        self.hub = Hub()
        self.hub.__enter__()
        case.addCleanup(self.hub.__exit__)
        repo = self.hub.repos["org/alpha"] = Repo(xet=True)
        self.old = repo.commit({"model-00001.safetensors": OLD_WEIGHTS, "model-00002.safetensors": SHARD, "config.json": b'{"v":1}', "gguf/alpha.F16.gguf": QUANT})
        self.new = repo.commit({"model-00001.safetensors": WEIGHTS, "model-00002.safetensors": SHARD, "config.json": b'{"v":2}', "gguf/alpha.F16.gguf": QUANT})
        fork = self.hub.repos["other/fork"] = Repo()
        fork.commit({"weights.safetensors": WEIGHTS, "config.json": b"{}"})

        self.client = HuggingFace(version, self.home, self.hub)
        self.second_client = HuggingFace(other, self.home, self.hub)
        self.first = self.home / ".cache/huggingface/hub"
        self.second = self.home / "caches/second"
        self.local_dir = self.home / "models/alpha"
        for client, cache in ((self.client, self.first), (self.second_client, self.second)):
            client.call("snapshot", repo="org/alpha", revision=self.old, cache_dir=cache)
            client.call("snapshot", repo="org/alpha", cache_dir=cache)
            client.call("snapshot", repo="other/fork", cache_dir=cache)
        self.client.call("snapshot", repo="org/alpha", local_dir=self.local_dir)
        self.ollama_blob = stores.ollama(self.home / ".ollama/models", "hf.co/org/alpha:F16", QUANT)
        self.lm_studio = stores.lm_studio(self.home, "org", "alpha-GGUF", {"alpha.F16.gguf": QUANT})
        self.volume.sync()
        self.mlxcache = case.mlxcache(self.home)
        self.roots = ("--root", self.second, "--root", self.local_dir)
        self.before = trees.snapshot(self.home)
        self.said_before = self.what_clients_say()

    def paths(self):
        return [path for path, name in self.before.items() if name.kind == "file"]

    def what_clients_say(self):
        """All that the two clients' scans answer, blob paths included."""
        return [client.call("scan", cache_dir=cache) for client, cache in ((self.client, self.first), (self.second_client, self.second))]

    def dedup(self):
        taken = volumes.blocks_of(self.paths())
        plan = self.mlxcache.run("dedup", *self.roots).json
        self.case.assert_same(self.before, self.now(), why="a plan alone changed something")
        done = self.mlxcache.run("dedup", "--apply", "--yes", *self.roots).json
        self.volume.sync()
        self.case.assertGreater(done["bytes_freed"], 0)
        self.case.assertEqual(done["bytes_freed"], plan["bytes_freed"])
        self.case.assertEqual(taken - volumes.blocks_of(self.paths()), done["bytes_freed"], "freed, by the volume's own account")
        self.case.assert_all_bytes_as_before(self.before, self.home, why="after dedup")
        if self.volume.reflink:
            self.case.assert_same(self.before, self.now(), why="sharing extents in place must leave inodes, modes and times alone")
        return done

    def now(self):
        return trees.snapshot(self.home)

    def undo(self):
        answer = self.mlxcache.run("undo", "--yes").json
        self.case.assertEqual([], answer["refused"])
        self.volume.sync()
        self.case.assert_same(self.before, self.now(), view=lambda name: name.without_inode(),
                              ignore=lambda path: "/refs/" in path,  # 0.36 writes them anew at every look
                              why="undo puts back exactly what was there")

    def clients_agree(self, why):
        case = self.case
        case.assertEqual(self.said_before, self.what_clients_say(), why)
        for scan in self.said_before:
            case.assertEqual([], scan["warnings"], why)
        self.verify(why)
        # A download of what is there asks for no bytes: the client believes its own cache and its local_dir's sidecars.
        served = self.hub.served_bytes
        for client, cache in ((self.client, self.first), (self.second_client, self.second)):
            client.call("snapshot", repo="org/alpha", cache_dir=cache)
        self.client.call("snapshot", repo="org/alpha", local_dir=self.local_dir)
        case.assertEqual(served, self.hub.served_bytes, f"{why}: a client fetched again what it has")

    def verify(self, why):
        for client, cache in ((self.client, self.first), (self.second_client, self.second)):
            # 0.36 has no `hf cache verify`; what it wrote is verified by 1.x then, which reads the same layout.
            verifier = client if client.name != "hf0" else HuggingFace("hf1", self.home, self.hub)
            for repo in ("org/alpha", "other/fork"):
                answer = verifier.hf("cache", "verify", repo, "--cache-dir", cache, "--fail-on-missing-files")
                self.case.assertIn("All checksums match", answer, why)
        verifier = self.client if self.client.name != "hf0" else HuggingFace("hf1", self.home, self.hub)
        self.case.assertIn("All checksums match", verifier.hf("cache", "verify", "org/alpha", "--local-dir", self.local_dir), why)

    def the_rest_is_whole(self, gone, why):
        """Every file outside `gone` still has its bytes."""
        gone = str(gone) + "/"
        for path, name in self.before.items():
            if name.kind == "file" and not path.startswith(gone):
                self.case.assertEqual(name.sha256, trees.sha256_of(path), f"{why}: {path}")


class HuggingFaceClients(Case):
    """Bodies; the methods below name them for each version and volume."""

    def agree_after_dedup_and_undo(self, kind, version, other):
        home = Home(self, kind, version, other)
        home.dedup()
        home.clients_agree(f"{version} after dedup")
        home.undo()
        home.clients_agree(f"{version} after undo")

    def deleting_leaves_others_whole(self, kind, version, other, undo_first):
        home = Home(self, kind, version, other)
        home.dedup()
        if undo_first:
            home.undo()
        home.client.call("delete_revisions", cache_dir=home.first, revisions=[home.old])
        home.the_rest_is_whole(home.first, f"{version} deleted a revision of its cache")
        for link in (home.first / "models--org--alpha/snapshots" / home.new).rglob("*"):
            if not link.is_dir():
                self.assertTrue(link.exists(), f"{version}: deleting one revision cut {link} of the other")
        self.assertEqual(trees.sha256_of(home.first / "models--org--alpha/snapshots" / home.new / "model-00001.safetensors"),
                         trees.sha256_of(home.local_dir / "model-00001.safetensors"))
        if version == "hf0":
            scan = home.client.call("scan", cache_dir=home.first)
            home.client.call("delete_revisions", cache_dir=home.first, revisions=[commit for repo in scan["repos"].values() for commit in repo["revisions"]])
        else:
            home.client.hf("cache", "prune", "--cache-dir", home.first, "--yes")
            home.client.hf("cache", "rm", "model/org/alpha", "model/other/fork", "--cache-dir", home.first, "--yes")
        self.assertFalse((home.first / "models--org--alpha").exists())
        home.the_rest_is_whole(home.first, f"{version} removed its repos")
        home.second_client.call("snapshot", repo="org/alpha", cache_dir=home.second)
        self.assertEqual(home.said_before[1], home.second_client.call("scan", cache_dir=home.second))

        # And the other way round: what LM Studio and Ollama delete is still in the second cache.
        (home.lm_studio / "alpha.F16.gguf").unlink()
        home.ollama_blob.unlink()
        answer = HuggingFace("hf2", home.home, home.hub).hf("cache", "verify", "org/alpha", "--cache-dir", home.second, "--fail-on-missing-files")
        self.assertIn("All checksums match", answer)


def _name_them():
    pairs = (("hf0", "hf1"), ("hf1", "hf2"), ("hf2", "hf0"))
    for kind in ("btrfs", "folder"):
        for version, other in pairs:
            def agree(self, kind=kind, version=version, other=other):
                self.agree_after_dedup_and_undo(kind, version, other)

            def whole(self, kind=kind, version=version, other=other):
                self.deleting_leaves_others_whole(kind, version, other, undo_first=False)

            setattr(HuggingFaceClients, f"test_{version}_agrees_after_dedup_and_after_undo_on_{kind}", agree)
            setattr(HuggingFaceClients, f"test_deleting_with_{version}_leaves_other_copies_whole_on_{kind}", whole)

    def undone(self):
        self.deleting_leaves_others_whole("btrfs", "hf2", "hf1", undo_first=True)
    HuggingFaceClients.test_deleting_after_undo_leaves_other_copies_whole = undone


_name_them()

if __name__ == "__main__":
    unittest.main()
