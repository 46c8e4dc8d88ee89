"""kill -9 at random moments of dedup, undo and recover, two processes at once, and owners that change files meanwhile, on real volumes.
MLXCACHE_KILL_SEEDS sets how many kills a file system gets (24)."""
import os
import random
import threading
import time
import unittest

import homes
import payloads
import trees
import volumes
from case import Case

SEEDS = int(os.environ.get("MLXCACHE_KILL_SEEDS", "24"))


class Killed(Case):
    def prepared(self, kind, seed):
        volume = self.volume(kind)
        home = volume.path / "home"
        homes.build(home, seed=seed, models=8, largest=500_000)
        volume.sync()
        return volume, home, self.mlxcache(home)

    def take_all_back(self, tool):
        """Undoes every transaction that still stands, newest first."""
        for transaction in tool.run("history").json["transactions"]:
            if transaction["state"] != "undone" and transaction["actions"] > 0:
                answer = tool.run("undo", transaction["transaction"], "--yes").json
                self.assertEqual([], answer["refused"], transaction)

    def survives(self, kind):
        seed = {"btrfs": 101, "xfs": 202, "ext4": 303}[kind]
        chance = random.Random(seed)
        volume, home, tool = self.prepared(kind, seed)
        before = trees.snapshot(home)

        def took(*command):
            start = time.monotonic()
            tool.run(*command)
            return time.monotonic() - start

        whole = {"dedup": took("dedup", "--apply", "--yes"), "undo": took("undo", "--yes")}
        self.assert_same(before, trees.snapshot(home), view=lambda name: name.without_inode(), why="the unhurt round trip")
        commands = {"dedup": ("dedup", "--apply", "--yes"), "undo": ("undo", "--yes")}
        hits = {"dedup": 0, "undo": 0, "recover": 0}
        for n in range(SEEDS):
            what = "dedup" if n % 2 == 0 else "undo"
            if what == "undo":  # have something to undo
                tool.run("dedup", "--apply", "--yes")
            moment = chance.uniform(0.0, 1.1 * whole[what])
            hit = tool.kill_after(moment, *commands[what])
            hits[what] += hit
            whole[what] *= 1.2 if hit else 0.7  # the machine's load changes how long a run takes: follow it
            why = f"{kind}, seed {seed}, run {n}: {what} killed after {moment:.4f} s"
            self.assert_all_bytes_as_before_or_staged(before, home, why)
            for _ in range(chance.randrange(3)):
                hits["recover"] += tool.kill_after(chance.uniform(0.0, 0.03), "recover")
                self.assert_all_bytes_as_before_or_staged(before, home, why + ", recover killed")
            recovered = tool.run("recover").json
            self.assertEqual([], recovered["left"], why)
            tool.run("dedup")  # a plan asks the volume by trying, and takes away what a killed trial left
            self.assert_all_bytes_as_before(before, home, why=why + ", recovered")
        self.assertGreater(hits["dedup"] + hits["undo"], SEEDS // 4, f"too few kills met a running process: {hits}")
        self.take_all_back(tool)
        self.assert_same(before, trees.snapshot(home), view=lambda name: name.without_inode(), why=f"{kind}: after {hits} kills everything is taken back")

    def assert_all_bytes_as_before_or_staged(self, before, home, why):
        """Before recovery a staging name may lie about, but every original path must already open with its bytes."""
        for path, name in before.items():
            if name.kind == "file":
                self.assertTrue(os.path.isfile(path), f"{why}: {path} is gone")
                self.assertEqual(name.sha256, trees.sha256_of(path), f"{why}: {path}")

    def test_every_path_keeps_its_bytes_on_btrfs(self):
        self.survives("btrfs")

    def test_every_path_keeps_its_bytes_on_xfs(self):
        self.survives("xfs")

    def test_every_path_keeps_its_bytes_on_ext4(self):
        self.survives("ext4")


class TwoAtOnce(Case):
    def both(self, kind, same_state):
        volume = self.volume(kind)
        home = volume.path / "home"
        homes.build(home, seed=7, models=8)
        volume.sync()
        before = trees.snapshot(home)
        first = self.mlxcache(home)
        second = self.mlxcache(home, env={} if same_state else {"MLXCACHE_HOME": str(volume.path / "second-state")})
        for _ in range(4):
            processes = [tool.start("dedup", "--apply", "--yes", "--json") for tool in (first, second)]
            codes = []
            for process in processes:
                out, err = process.communicate(timeout=120)
                codes.append(process.returncode)
                # 5: the other one is at it; 3: some files had just been changed by the other one.
                self.assertIn(process.returncode, (0, 3, 5), f"{out[-2000:]}{err[-2000:]}")
            self.assertIn(codes.count(5), (0, 1), "one of them must get through")
            self.assert_all_bytes_as_before(before, home, why=f"{kind}: two at once ({codes})")
            first.run("dedup", "--apply", "--yes", expect=(0, 3))
            self.assertEqual(0, first.run("scan").json["reclaimable_bytes"])
            for tool in ({first, second} if not same_state else {first}):
                for transaction in tool.run("history").json["transactions"]:
                    if transaction["state"] != "undone" and transaction["actions"] > 0:
                        tool.run("undo", transaction["transaction"], "--yes", expect=(0, 1, 3))
            self.assert_all_bytes_as_before(before, home, why=f"{kind}: two at once, then undone")

    def test_with_one_state_one_waits_or_gives_up(self):
        self.both("btrfs", same_state=True)

    def test_with_two_states_bytes_survive_extents(self):
        self.both("btrfs", same_state=False)

    def test_with_two_states_bytes_survive_hard_links(self):
        self.both("ext4", same_state=False)


class OwnersAtWork(Case):
    """A tool replaces, rewrites, appends to and deletes its files while dedup and undo run: its last word stands."""

    def races(self, kind, in_place):
        volume = self.volume(kind)
        home = volume.path / "home"
        copies = homes.build(home, seed=9, models=8, metadata=False)
        volume.sync()
        tool = self.mlxcache(home)
        chance = random.Random(9)
        mine = sorted(path for paths in copies.values() for path in paths if "/.lmstudio/" in path)
        last = {path: trees.sha256_of(path) for paths in copies.values() for path in paths}
        before = trees.snapshot(home)
        stop = threading.Event()
        failures = []

        def owner():
            n = 0
            while not stop.is_set():
                n += 1
                path = chance.choice(mine)
                data = payloads.noise(n, os.path.getsize(path) if os.path.exists(path) else 200_000)
                try:
                    if in_place and n % 2:
                        with open(path, "r+b" if os.path.exists(path) else "wb") as file:
                            file.write(data)
                            file.truncate()
                    else:
                        with open(path + ".part", "wb") as file:
                            file.write(data)
                        os.replace(path + ".part", path)
                    last[path] = trees.hashlib.sha256(data).hexdigest()
                except OSError as error:
                    failures.append(error)
                time.sleep(chance.uniform(0, 0.004))

        thread = threading.Thread(target=owner)
        thread.start()
        try:
            for _ in range(6):
                tool.run("dedup", "--apply", "--yes", expect=(0, 3))
                tool.run("undo", "--yes", expect=(0, 1, 3, 4))
        finally:
            stop.set()
            thread.join()
        self.assertEqual([], failures, "the owner must never be refused")
        wrong = [path for path, digest in last.items() if trees.sha256_of(path) != digest]
        self.assertEqual([], wrong, "somebody's last write is not what the file holds")
        extra = sorted(set(trees.snapshot(home)) - set(before))
        self.assertEqual([], [path for path in extra if not path.endswith(".part")], "left behind")

    def test_replacing_and_rewriting_on_btrfs(self):
        self.races("btrfs", in_place=True)

    def test_replacing_and_rewriting_on_xfs(self):
        self.races("xfs", in_place=True)

    def test_replacing_on_ext4(self):
        # In place only by replacing: a tool that writes into a hard-linked file is why such stores get no hard links.
        self.races("ext4", in_place=False)


if __name__ == "__main__":
    unittest.main()
