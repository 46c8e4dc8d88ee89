"""As an ordinary user whose copies are read-only, or beside copies that belong to a service: everything that is theirs is still freed."""
import os
import unittest

import homes
import payloads
import stores
import trees
import volumes
from case import Case

PERSON, SERVICE = 61_500, 61_600  # nobody's uids


class OrdinaryUser(Case):
    def prepared(self, kind):
        """The person's home (read-only files in it), and the service's Ollama store in its own place, readable by all."""
        volume = self.volume(kind)
        if os.geteuid() != 0:
            self.unavailable("needs root to become two other users")
        home, service = volume.path / "home", volume.path / "service-models"
        homes.build(home, metadata=False)
        for path in trees.files_below(home):
            if path.endswith((".gguf", ".safetensors")) or "/blobs/" in path:
                os.chmod(path, 0o444)
        self.foreign = []
        for i in range(3):
            data = payloads.gguf(9000 + i, 300_000 + i)
            self.foreign.append(str(stores.ollama(service, f"hf.co/org/served-{i}:F16", data, mtime=homes.NOON)))
            studio = stores.lm_studio(home, "served", f"model-{i}", {"model.gguf": data}, mtime=homes.NOON)
            os.chmod(studio / "model.gguf", 0o400)
        homes.give_to(home, PERSON)
        homes.give_to(service, SERVICE)
        volume.sync()
        return volume, home, service, self.mlxcache(home, env={"OLLAMA_MODELS": str(service)}, uid=PERSON)

    def frees_everything(self, kind):
        volume, home, service, tool = self.prepared(kind)
        before = trees.snapshot(home, service)
        files = trees.files_below(home, service)
        by_bytes = {}
        for path in files:
            if os.path.getsize(path) > 4096:
                by_bytes.setdefault(before[path].sha256, []).append(path)
        copies = {digest: paths for digest, paths in by_bytes.items() if len(paths) > 1}
        taken = volumes.blocks_of(files)
        done = tool.run("dedup", "--apply", "--yes").json
        volume.sync()
        self.assertIn(done["bytes_freed"], homes.freeable(copies), f"left alone: {done['skipped'][:5]}")
        self.assertEqual(taken - volumes.blocks_of(files), done["bytes_freed"])
        self.assertFalse(set(self.foreign) & {action["target"] for action in done["actions"]}, "a foreign file is a source, never a target")
        self.assertTrue(set(self.foreign) <= {action["source"] for action in done["actions"]})
        self.assert_same(before, trees.snapshot(home, service), why="mode, owner, times and inode of read-only and foreign files stay")
        self.assertEqual([], tool.run("undo", "--yes").json["refused"])
        volume.sync()
        self.assert_same(before, trees.snapshot(home, service), view=lambda name: name.without_inode())
        self.assertEqual(taken, volumes.blocks_of(files))

    def test_read_only_and_foreign_copies_are_freed_on_btrfs(self):
        self.frees_everything("btrfs")

    def test_read_only_and_foreign_copies_are_freed_on_xfs(self):
        self.frees_everything("xfs")

    def test_foreign_copies_are_left_alone_with_a_reason_where_only_hard_links_work(self):
        volume, home, service, tool = self.prepared("ext4")
        before = trees.snapshot(home, service)
        done = tool.run("dedup", "--apply", "--yes", expect=(0, 3)).json
        self.assertGreater(done["bytes_freed"], 0, "the person's own copies can be linked")
        for action in done["actions"]:
            self.assertFalse({action["source"], action["target"]} & set(self.foreign), "a hard link to a foreign inode would take its owner and mode")
        self.assertTrue([s for s in done["skipped"] if "served" in s["path"] or s["path"] in self.foreign], "and it is said why")
        self.assert_all_bytes_as_before(before, home, service)
        self.assertEqual([], tool.run("undo", "--yes").json["refused"])
        self.assert_same(before, trees.snapshot(home, service), view=lambda name: name.without_inode())

    def test_a_store_that_may_not_be_read_is_named_and_the_rest_goes_on(self):
        volume, home, service, tool = self.prepared("btrfs")
        os.chmod(service / "blobs", 0o700)
        scan = tool.run("scan", expect=(0, 3)).json
        self.assertTrue([p for p in scan["problems"] if str(service) in p["path"]], scan["problems"])
        self.assertGreater(scan["reclaimable_bytes"], 0)
        self.assertGreater(tool.run("dedup", "--apply", "--yes", expect=(0, 3)).json["bytes_freed"], 0)

    def test_foreign_files_in_ones_own_store_are_not_changed(self):
        volume, home, service, tool = self.prepared("btrfs")
        mine = home / ".lmstudio/models/org/model-1/model.gguf"
        os.chown(mine, SERVICE, SERVICE)
        before = trees.snapshot(home)
        done = tool.run("dedup", "--apply", "--yes", expect=(0, 3)).json
        self.assertNotIn(str(mine), {action["target"] for action in done["actions"]})
        self.assert_same(before, trees.snapshot(home))


if __name__ == "__main__":
    unittest.main()
