"""The real huggingface_hub client downloads while `watch` runs: blocks of what another store has are shared once it has finished, the client goes on
reading its cache and finds nothing wrong with it, and undo brings everything back."""
import hashlib
import os
import unittest

import payloads
import stores
import trees
import volumes
from case import Case
from environments import HuggingFace
from hub import Hub, Repo
from watcher import Watcher

WEIGHTS = payloads.safetensors(31, 6_000_000)
FILES = {"model.safetensors": WEIGHTS, "config.json": b'{"v":1}'}
CLIENTS = ("hf0", "hf1", "hf2")


class WatchARealClient(Case):
    def test_what_it_downloads_is_shared_and_stays_its_own(self):
        volume = self.volume("btrfs")
        home = volume.path / "home"
        twin = stores.lm_studio(home, "org", "alpha", FILES) / "model.safetensors"
        hub = Hub()
        hub.__enter__()
        self.addCleanup(hub.__exit__)
        hub.repos["org/alpha"] = Repo()
        hub.repos["org/alpha"].commit(FILES)
        for name in CLIENTS:
            with self.subTest(client=name):
                cache = home / f"cache-{name}"
                cache.mkdir()
                tool = self.mlxcache(home, env={"HF_HUB_CACHE": str(cache)})
                watcher = Watcher(tool)
                self.addCleanup(watcher.process.kill)
                watcher.wait_for("started")
                client = HuggingFace(name, home, hub, xet=False)
                snapshot = client.call("snapshot", repo="org/alpha", cache_dir=cache)
                blob = os.path.realpath(f"{snapshot}/model.safetensors")
                # Both copies are new to the first watcher: whichever is ready first takes the other's blocks.
                shared = watcher.wait_for("shared")
                self.assertEqual({blob, str(twin)}, {shared["path"], shared["source"]})
                transaction = shared["transaction"]
                watcher.wait_for("done")
                self.assertEqual(watcher.end()[0], 0)
                volume.sync()
                blocks = lambda path: [extent[:3] for extent in volumes.extents(path)]
                self.assertEqual(blocks(blob), blocks(twin))
                self.assertEqual(trees.sha256_of(blob), hashlib.sha256(WEIGHTS).hexdigest())
                hub.forget()
                self.assertEqual(client.call("snapshot", repo="org/alpha", cache_dir=cache), snapshot)
                self.assertEqual([], [r for r in hub.cdn.requests], "it downloads nothing again")
                self.assertEqual(client.call("scan", cache_dir=cache)["warnings"], [])
                self.assertEqual([], tool.run("undo", transaction).json["refused"])
                volume.sync()
                self.assertNotEqual(blocks(blob), blocks(twin))
                self.assertEqual(trees.sha256_of(blob), hashlib.sha256(WEIGHTS).hexdigest())


if __name__ == "__main__":
    unittest.main()
