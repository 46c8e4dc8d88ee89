"""scan, dedup and undo on real btrfs, XFS and ext4: exact accounts, metadata kept, everything taken back."""
import os
import time
import unittest

import homes
import trees
import volumes
from case import Case

DF_SLACK = 3 << 20  # the file system's own trees and logs, which move by themselves


class RoundTrip(Case):
    def prepared(self, kind):
        volume = self.volume(kind)
        home = volume.path / "home"
        copies = homes.build(home)
        volume.sync()
        time.sleep(2.5)  # files younger than the coarsest clock's tick are, rightly, not remembered by the catalog
        return volume, home, copies, self.mlxcache(home)

    def assert_accounts_agree(self, volume, files, taken, used, freed):
        volume.sync()
        self.assertEqual(taken - volumes.blocks_of(files), freed, "freed, counted in blocks by FIEMAP")
        self.assertLess(abs((used - volume.used_bytes()) - freed), DF_SLACK, "freed, by what the volume reports as used")

    def shares_extents(self, kind):
        volume, home, copies, tool = self.prepared(kind)
        before = trees.snapshot(home)
        files = trees.files_below(home)
        taken, used = volumes.blocks_of(files), volume.used_bytes()

        scan = tool.run("scan").json
        self.assertIn(scan["reclaimable_bytes"], homes.freeable(copies))
        self.assertEqual({frozenset(paths) for paths in copies.values()}, {frozenset(group["paths"]) for group in scan["duplicates"]})
        plan = tool.run("dedup").json
        self.assert_same(before, trees.snapshot(home), why="a plan alone changes nothing")
        done = tool.run("dedup", "--apply", "--yes").json
        self.assertEqual(plan["bytes_freed"], done["bytes_freed"])
        self.assertEqual(sorted((a["source"], a["target"], a["bytes"]) for a in plan["actions"]),
                         sorted((a["source"], a["target"], a["bytes"]) for a in done["actions"]), "the plan shown is the plan that ran")
        self.assertEqual({"reflink"}, {action["method"] for action in done["actions"]})
        self.assertIn(done["bytes_freed"], homes.freeable(copies), "everything that could be freed was")
        self.assert_accounts_agree(volume, files, taken, used, done["bytes_freed"])
        self.assert_same(before, trees.snapshot(home), why="inode, mode, owner, times, attributes and ACLs stay as they were")

        again = tool.run("scan").json
        self.assertEqual(0, again["reclaimable_bytes"], "it knows what it has shared")
        self.assertEqual(0, again["bytes_read"], "an unchanged file is not read twice")
        stranger = self.mlxcache(str(home), env={"MLXCACHE_HOME": str(volume.path / "other-state")})
        self.assertEqual(0, stranger.run("scan").json["reclaimable_bytes"], "the volume, not our memory, says what is shared")
        self.assertEqual([], tool.run("dedup", "--apply", "--yes").json["actions"])

        undone = tool.run("undo", "--yes").json
        self.assertEqual([], undone["refused"])
        self.assertEqual(len(done["actions"]), len(undone["restored"]))
        volume.sync()
        self.assert_same(before, trees.snapshot(home), view=lambda name: name.without_inode(), why="undo")
        self.assertEqual(taken, volumes.blocks_of(files), "every file has blocks of its own again")
        self.assertFalse([path for path in files for extent in volumes.extents(path) if extent[3]], "no extent is shared any more")
        self.assertEqual(done["bytes_freed"], tool.run("dedup", "--apply", "--yes").json["bytes_freed"], "and it can be done again")
        self.assert_all_bytes_as_before(before, home)

    def test_btrfs_shares_extents_and_takes_it_back(self):
        self.shares_extents("btrfs")

    def test_xfs_shares_extents_and_takes_it_back(self):
        self.shares_extents("xfs")

    def test_ext4_merges_by_hard_links_only_when_told_and_undo_restores_all(self):
        volume, home, copies, tool = self.prepared("ext4")
        before = trees.snapshot(home)
        files = trees.files_below(home)
        taken, used = volumes.blocks_of(files), volume.used_bytes()

        self.assertIn(tool.run("scan").json["reclaimable_bytes"], homes.freeable(copies))
        plan = tool.run("dedup").json
        self.assertTrue(plan["merges_metadata"])
        self.assertTrue([action for action in plan["actions"] if action.get("merges")], "the plan says what a hard link would merge")
        unanswered = tool.run("dedup", "--apply", expect=8)  # nobody is there to answer
        self.assertNotIn("transaction", {key for key, value in unanswered.json.items() if value})
        self.assert_same(before, trees.snapshot(home), why="without an answer nothing is changed")

        done = tool.run("dedup", "--apply", "--yes").json
        self.assertEqual(plan["bytes_freed"], done["bytes_freed"])
        self.assertEqual({"hardlink"}, {action["method"] for action in done["actions"]})
        self.assert_accounts_agree(volume, files, taken, used, done["bytes_freed"])
        self.assert_all_bytes_as_before(before, home, why="after hard links")
        for action in done["actions"]:
            self.assertEqual(os.stat(action["source"]).st_ino, os.stat(action["target"]).st_ino)
        self.assertEqual(0, tool.run("scan").json["bytes_read"], "our own links do not make a file unknown")

        undone = tool.run("undo", "--yes").json
        self.assertEqual([], undone["refused"])
        volume.sync()
        self.assert_same(before, trees.snapshot(home), view=lambda name: name.without_inode(), why="mode, owner, times, attributes, ACLs: all back")
        self.assertEqual(taken, volumes.blocks_of(files))
        self.assertEqual([], [path for path in files if os.stat(path).st_nlink != 1], "every name has its own inode again")

    def test_ext4_with_method_reflink_frees_nothing_and_says_why(self):
        volume, home, copies, tool = self.prepared("ext4")
        before = trees.snapshot(home)
        done = tool.run("dedup", "--apply", "--yes", "--method", "reflink").json
        self.assertEqual(0, done["bytes_freed"])
        self.assertTrue(done["skipped"])
        self.assertTrue(all(skipped["reason"] for skipped in done["skipped"]))
        self.assert_same(before, trees.snapshot(home))

    def test_undo_refuses_what_a_tool_changed_since_and_restores_the_rest(self):
        for kind in ("btrfs", "ext4"):
            with self.subTest(kind):
                volume, home, copies, tool = self.prepared(kind)
                before = trees.snapshot(home)
                done = tool.run("dedup", "--apply", "--yes").json
                replaced, deleted = [action["target"] for action in done["actions"] if "/.lmstudio/" in action["target"]][:2]
                os.unlink(replaced)
                with open(replaced, "wb") as file:
                    file.write(b"a newer model")
                os.unlink(deleted)
                undone = tool.run("undo", "--yes", expect=3).json
                self.assertEqual({replaced, deleted}, {refused["path"] for refused in undone["refused"]})
                self.assertTrue(all(refused["reason"] for refused in undone["refused"]))
                with open(replaced, "rb") as file:
                    self.assertEqual(b"a newer model", file.read(), "the newer state wins")
                self.assertFalse(os.path.exists(deleted), "undo brings nothing back that its tool deleted")
                self.assert_same(before, trees.snapshot(home), view=lambda name: name.without_inode(), ignore=lambda path: path in (replaced, deleted))


if __name__ == "__main__":
    unittest.main()
