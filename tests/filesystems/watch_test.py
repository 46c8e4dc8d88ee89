"""`watch` on a real btrfs: downloads that finish while it runs are shared block for block, cut short it leaves something that can be undone, and a second
one is refused. MLXCACHE_KILL_SEEDS sets how often it is killed (24)."""
import os
import random
import signal
import time
import unittest

import homes
import payloads
import stores
import trees
import volumes
from case import Case
from watcher import PATIENCE, Watcher

SEEDS = int(os.environ.get("MLXCACHE_KILL_SEEDS", "24"))


def hub_download(hub, repo, name, data, steps=4):
    """As huggingface_hub downloads: a lock, blobs/X.incomplete that grows, a rename, then the pointer in the snapshot."""
    import hashlib
    folder = hub / ("models--" + repo.replace("/", "--"))
    digest, commit = hashlib.sha256(data).hexdigest(), hashlib.sha1(repo.encode()).hexdigest()
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    lock = hub / ".locks" / folder.name / (digest + ".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    blob = folder / "blobs" / digest
    partial = blob.with_name(digest + ".incomplete")
    with open(partial, "wb") as file:
        size = -(-len(data) // steps)
        for at in range(0, len(data), size):
            file.write(data[at:at + size])
            file.flush()
            yield partial
    os.rename(partial, blob)
    link = folder / "snapshots" / commit / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    (folder / "refs" / "main").write_text(commit)
    yield blob


class Watch(Case):
    def prepared(self, models=1, size=3_000_000):
        volume = self.volume("btrfs")
        home = volume.path / "home"
        self.data = {f"model-{i}": payloads.gguf(7000 + i, size + 4096 * i) for i in range(models)}
        self.here = {}
        for name, data in self.data.items():
            self.here[name] = stores.lm_studio(home, "org", name, {f"{name}.gguf": data}, mtime=homes.NOON) / f"{name}.gguf"
        (home / ".cache/huggingface/hub").mkdir(parents=True)
        volume.sync()
        return volume, home, self.mlxcache(home)

    def download(self, home, name):
        *_, blob = hub_download(home / ".cache/huggingface/hub", f"org/{name}", f"{name}.gguf", self.data[name])
        return blob

    def shared(self, a, b):
        """Whether every block of one is one of the other's."""
        blocks = lambda path: {(logical, physical, length) for logical, physical, length, _ in volumes.extents(path)}
        return bool(blocks(a)) and blocks(a) == blocks(b) and all(s for *_, s in volumes.extents(a))

    def undo_all(self, tool):
        for transaction in tool.run("history").json["transactions"]:
            if transaction["state"] != "undone" and transaction["actions"] > 0:
                self.assertEqual([], tool.run("undo", transaction["transaction"], "--yes").json["refused"])

    def test_a_download_is_shared_when_it_has_finished_and_not_before(self):
        volume, home, tool = self.prepared()
        watcher = Watcher(tool)
        self.addCleanup(watcher.process.kill)
        watcher.wait_for("started", way="events")
        for place in hub_download(home / ".cache/huggingface/hub", "org/model-0", "model-0.gguf", self.data["model-0"]):
            if place.name.endswith(".incomplete"):
                time.sleep(1.2)  # longer than the quiet time: only its name tells that it is not finished
                volume.sync()
                self.assertFalse([e for e in volumes.extents(place) if e[3]], "a partial download is never shared")
        event = watcher.wait_for("shared", path=str(place))
        done = watcher.wait_for("done")
        self.assertEqual(done["bytes_freed"], event["bytes_freed"])
        volume.sync()
        self.assertTrue(self.shared(place, self.here["model-0"]))
        status = tool.run("status").json["watcher"]
        self.assertEqual((status["state"], status["pid"], status["files"]), ("running", watcher.process.pid, 1))
        self.assertEqual(status["last_transaction"], done["transaction"])

        # Taken back while it watches: it must not be shared again.
        before = trees.snapshot(home)
        self.assertEqual([], tool.run("undo", done["transaction"]).json["refused"])
        looks = status["looks"]
        nudge = home / ".lmstudio/models/org/nudge"
        nudge.mkdir()
        end = time.monotonic() + PATIENCE
        while tool.run("status").json["watcher"]["looks"] == looks and time.monotonic() < end:
            time.sleep(0.2)
        nudge.rmdir()
        volume.sync()
        self.assertFalse(self.shared(place, self.here["model-0"]), "what was taken back stays so")
        self.assertEqual(watcher.end()[0], 0, "told to stop, it has done what it was told")
        self.assertEqual(watcher.events[-1]["event"], "stopped")
        self.assertEqual(tool.run("status").json["watcher"]["state"], "stopped")
        self.assert_all_bytes_as_before(before, home)

    def test_one_look_shares_what_is_ready_and_ends(self):
        volume, home, tool = self.prepared()
        blob = self.download(home, "model-0")
        answer = tool.start("watch", "--once", "--quiet-for", "0s", "--min-size", "4k")
        out, err = answer.communicate(timeout=PATIENCE)
        self.assertEqual(answer.returncode, 0, err)
        self.assertIn("1 new file share", out)
        volume.sync()
        self.assertTrue(self.shared(blob, self.here["model-0"]))
        self.undo_all(tool)
        volume.sync()
        self.assertFalse(self.shared(blob, self.here["model-0"]))

    def test_what_was_there_before_is_left_to_dedup(self):
        volume, home, tool = self.prepared()
        twin = stores.lm_studio(home, "org", "twin", {"twin.gguf": self.data["model-0"]}, mtime=homes.NOON) / "twin.gguf"
        time.sleep(1.1)
        out, err = tool.start("watch", "--once", "--since", "0s", "--quiet-for", "0s", "--min-size", "4k").communicate(timeout=PATIENCE)
        self.assertIn("Nothing new", out, err)
        volume.sync()
        self.assertFalse(self.shared(twin, self.here["model-0"]))

    def test_a_second_watcher_says_so(self):
        _, _, tool = self.prepared()
        watcher = Watcher(tool)
        self.addCleanup(watcher.process.kill)
        watcher.wait_for("started")
        answer = tool.run("watch", expect=5)
        self.assertIn(f"process {watcher.process.pid}", answer.json["error"]["message"])
        self.assertEqual(watcher.end(signal.SIGINT)[0], 0)
        self.assertEqual(tool.run("status").json["watcher"]["state"], "stopped")

    def test_told_to_stop_in_the_middle_it_leaves_whole_files_and_an_undo(self):
        volume, home, tool = self.prepared(models=12, size=1_000_000)
        for name in self.data:
            self.download(home, name)
        volume.sync()
        before = trees.snapshot(home)
        cut = 0
        for n in range(6):
            watcher = Watcher(tool, "--since", "1d")
            self.addCleanup(watcher.process.kill)
            watcher.wait_for("started")
            time.sleep(0.9 + 0.1 * n)  # around the moment when the quiet time is over
            code, error = watcher.end()
            self.assertEqual(code, 0, error)
            shared = sum(e["event"] == "shared" for e in watcher.events)
            cut += 0 < shared < len(self.data)
            self.assertEqual(tool.run("status").json["recoverable"], [], "a clean end leaves nothing to recover")
            self.assert_all_bytes_as_before(before, home, why=f"stopped after {shared} files")
            self.undo_all(tool)
            self.assert_same(before, trees.snapshot(home), view=lambda name: name.without_inode(), why="taken back")
            for name in self.data:  # downloaded anew, since what was taken back is left alone
                blob = next((home / ".cache/huggingface/hub").glob(f"models--org--{name}/blobs/*"))
                data = blob.read_bytes()
                blob.unlink()
                blob.write_bytes(data)
            before = trees.snapshot(home)

    def test_killed_at_any_moment_every_path_keeps_its_bytes(self):
        volume, home, tool = self.prepared(models=8, size=600_000)
        for name in self.data:
            self.download(home, name)
        volume.sync()
        before = trees.snapshot(home)
        chance = random.Random(404)
        hits = 0
        for n in range(SEEDS):
            process = tool.start("watch", "--once", "--since", "1d", "--quiet-for", "0s", "--min-size", "4k")
            time.sleep(chance.uniform(0.0, 0.25))
            hits += process.poll() is None
            process.kill()
            process.communicate()
            for path, name in before.items():
                if name.kind == "file":
                    self.assertEqual(name.sha256, trees.sha256_of(path), f"kill {n}: {path}")
            self.assertEqual([], tool.run("recover").json["left"])
            self.undo_all(tool)
            for name in self.data:
                blob = next((home / ".cache/huggingface/hub").glob(f"models--org--{name}/blobs/*"))
                data = blob.read_bytes()
                blob.unlink()
                blob.write_bytes(data)
        self.assertGreater(hits, SEEDS // 4, "too few kills met a running process")
        tool.run("dedup")  # a plan asks the volume by trying, and takes away what a killed trial left
        self.assert_all_bytes_as_before(before, home)
        # Killed, it is dead and says nothing; the next one begins all the same.
        watcher = Watcher(tool, "--since", "1d")
        self.addCleanup(watcher.process.kill)
        watcher.wait_for("done")
        watcher.process.kill()
        watcher.process.wait()
        self.assertEqual(tool.run("status", expect=1).json["watcher"]["state"], "died")
        again = Watcher(tool)
        self.addCleanup(again.process.kill)
        again.wait_for("started")
        self.assertEqual(again.end()[0], 0)
        self.undo_all(tool)
        self.assert_all_bytes_as_before(before, home)


if __name__ == "__main__":
    unittest.main()
