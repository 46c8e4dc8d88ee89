"""freeze and thaw on real volumes: a disk that fills up in the middle, kill -9 at any moment, and two programs at once."""
import fcntl
import os
import random
import struct
import unittest
from pathlib import Path

import trees
from case import Case

NO_SPACE, BUSY, OK = 7, 5, 0


class InTheVault(Case):
    def prepared(self, kind, **more):
        volume = self.volume(kind, **more)
        home = volume.path / "home"
        model = home / "models" / "one"
        (model / "sub").mkdir(parents=True)
        chance = random.Random(1)
        floats = struct.pack("<400000f", *(chance.gauss(0, 0.02) for _ in range(400_000)))
        (model / "weights.bin").write_bytes(floats * 3)
        (model / "sub/noise.bin").write_bytes(chance.randbytes(12_000_000))
        (model / "config.json").write_text("{}")
        os.symlink("../config.json", model / "sub/link")
        os.link(model / "config.json", model / "again.json")
        os.setxattr(model / "config.json", "user.origin", b"here")
        os.utime(model / "config.json", ns=(10**18, 10**18 + 1))
        return volume, home, model, self.mlxcache(home)

    def fill(self, volume, leave):
        """Takes all room but about `leave` bytes."""
        volume.sync()
        facts = os.statvfs(volume.path)
        path = volume.path / "filler"
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, facts.f_bavail * facts.f_frsize - leave)
        return path

    @staticmethod
    def view(name):
        return name.without_inode()

    def test_a_full_disk_costs_nothing(self):
        volume, home, model, tool = self.prepared("ext4", mib=110)
        before = trees.snapshot(home)
        filler = self.fill(volume, 6_000_000)
        tool.run("freeze", model, "--apply", "--now", "--yes", expect=NO_SPACE)
        self.assert_same(before, trees.snapshot(home), why="freezing filled the disk")
        state = Path(tool.env["MLXCACHE_HOME"])
        self.assertEqual([], os.listdir(state / "vault/packs"), "nothing of it is left")
        self.assertEqual([], tool.run("vault", "ls").json["models"])
        filler.unlink()

        tool.run("freeze", model, "--apply", "--now", "--yes")
        self.assertFalse(model.exists())
        frozen = trees.snapshot(home)
        filler = self.fill(volume, 6_000_000)
        tool.run("thaw", model, expect=NO_SPACE)
        self.assert_same(frozen, trees.snapshot(home), why="thawing filled the disk")
        self.assertFalse((state / "thaw").exists(), "nothing half made is left")
        self.assertEqual([], tool.run("vault", "verify").json["damaged"])
        filler.unlink()
        tool.run("thaw", model)
        self.assert_same(before, trees.snapshot(home), view=self.view, why="thawed")

    def test_killed_at_any_moment(self):
        _, home, model, tool = self.prepared("folder")
        before = trees.snapshot(home)
        chance = random.Random(5)
        killed = {"freeze": 0, "thaw": 0}
        for _ in range(6):
            killed["freeze"] += tool.kill_after(chance.uniform(0, 0.7), "freeze", model, "--apply", "--now", "--yes")
            tool.run("recover", expect=None)
            if model.exists():
                self.assert_same(before, trees.snapshot(home), view=self.view, why="freezing was killed")
                tool.run("freeze", model, "--apply", "--now", "--yes")
            self.assertFalse(model.exists())
            killed["thaw"] += tool.kill_after(chance.uniform(0, 0.3), "thaw", model)
            tool.run("thaw", model)
            self.assert_same(before, trees.snapshot(home), view=self.view, why="thawing was killed")
            tool.run("vault", "rm", model, "--apply", expect=None)
            tool.run("vault", "gc", "--apply")
        self.assertGreater(killed["freeze"], 0)
        self.assertGreater(killed["thaw"], 0)
        self.assertEqual([], tool.run("vault", "verify").json["damaged"])

    def test_two_at_once(self):
        _, _, model, tool = self.prepared("folder")
        tool.run("freeze", model, "--keep", "--apply", "--yes")
        vault = Path(tool.env["MLXCACHE_HOME"]) / "vault"
        with open(vault / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # as one that writes
            for words in (("freeze", model, "--keep", "--apply", "--yes"), ("vault", "gc", "--apply"), ("vault", "rm", model, "--apply")):
                tool.run(*words, expect=BUSY)
            self.assertEqual([], tool.run("vault", "verify").json["damaged"])
            tool.run("thaw", model, "--to", model.parent / "other")
        one = tool.start("freeze", model, "--keep", "--apply", "--yes")
        two = tool.start("freeze", model, "--keep", "--apply", "--yes")
        three = tool.start("vault", "gc", "--apply")
        codes = []
        for process in (one, two, three):
            process.communicate(timeout=300)
            codes.append(process.returncode)
        self.assertIn(OK, codes)
        self.assertLessEqual(set(codes), {OK, BUSY, 1}, "done, told to wait, or nothing to gain any more")
        self.assertEqual([], tool.run("vault", "verify").json["damaged"])


if __name__ == "__main__":
    unittest.main()
