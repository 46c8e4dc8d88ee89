"""`mlxcache repair` and `verify --upstream` against the same hub: what is fetched, byte for byte, and that nothing that lies gets in. And the token: in nothing
that any of our programs prints, writes, or hands to a child."""
import os
import threading
import unittest
from pathlib import Path

import faults
import payloads
from hub import sha256
from pull_case import FAILED, FILES, OK, PullCase

PIECE = 8 << 20
LARGE = payloads.safetensors(61, 5 * PIECE + 12_345)
TAIL = len(LARGE) - 5 * PIECE
TOKEN = "hf_aTokenThatIsNowhereElse"
FOUND = 1


class RepairCase(PullCase):
    def setUp(self):
        super().setUp()
        self.files = {"model.safetensors": LARGE, "config.json": b"{}"}
        self.commit = self.a_repo("org/alpha", self.files)
        self.pull()
        self.hub.forget()
        self.blob = self.cache / "models--org--alpha/blobs" / sha256(LARGE)

    def rot(self, *places):
        """Changes bytes as a failing disk does: size and times stay."""
        before = self.blob.stat()
        os.chmod(self.blob, 0o644)
        with open(self.blob, "r+b") as file:
            for place in places:
                file.seek(place)
                file.write(b"rot")
        os.utime(self.blob, ns=(before.st_atime_ns, before.st_mtime_ns))

    def repair(self, *more, expect=OK, **env):
        return self.tool(**env).run("repair", "org/alpha", *more, expect=expect)

    def one(self, answer):
        files = [f for f in answer.json["files"] if f["path"] == str(self.blob)]
        self.assertEqual(1, len(files), answer.json)
        return files[0]

    def assert_damaged_still(self):
        self.assertNotEqual(sha256(LARGE), sha256(self.blob.read_bytes()))
        self.assertEqual([], [p for p in self.unfinished() if p.endswith((".tmp", ".incomplete"))])


class Repairs(RepairCase):
    def test_only_the_damaged_pieces_of_what_was_pulled_come(self):
        self.rot(PIECE + 7, 5 * PIECE + 9)
        plan = self.one(self.repair(expect=FOUND))
        self.assertEqual(("mendable", "upstream", PIECE + TAIL), (plan["state"], plan["source_kind"], plan["fetch_bytes"]))
        self.assertEqual(0, self.hub.cdn.served_bytes, "a plan downloads nothing")
        mended = self.one(self.repair("--apply"))
        self.assertEqual(("mended", PIECE + TAIL), (mended["state"], mended["fetched_bytes"]))
        self.assertEqual(PIECE + TAIL, self.hub.cdn.served_bytes)
        self.assert_pulled(self.files)

    def test_a_file_that_was_never_seen_whole_comes_whole(self):
        (Path(str(self.home) + ".mlxcache-state") / "catalog.sqlite").unlink()
        self.rot(PIECE + 7)
        plan = self.one(self.repair(expect=FOUND))
        self.assertEqual(len(LARGE), plan["fetch_bytes"])
        self.assertIn("all of it is fetched", plan["reason"])
        self.assertEqual(len(LARGE), self.one(self.repair("--apply"))["fetched_bytes"])
        self.assert_pulled(self.files)

    def test_verify_is_such_a_sight_too(self):
        (Path(str(self.home) + ".mlxcache-state") / "catalog.sqlite").unlink()
        self.tool().run("verify", "org/alpha")
        self.rot(3)
        self.assertEqual(PIECE, self.one(self.repair("--apply"))["fetched_bytes"])
        self.assert_pulled(self.files)

    def test_an_upstream_that_lies_changes_nothing(self):
        self.rot(PIECE + 7)
        self.hub.cdn.fault(faults.flip_byte(PIECE + 100), times=None)
        failed = self.one(self.repair("--apply", expect=FOUND))
        self.assertEqual("failed", failed["state"])
        self.assertIn("other bytes", failed["reason"])
        self.assert_damaged_still()
        self.hub.heal()
        self.repair("--apply")
        self.assert_pulled(self.files)

    def test_a_changed_etag_with_the_right_bytes_is_no_matter(self):
        self.rot(PIECE + 7)
        self.hub.cdn.fault(faults.etag("another"), times=None)
        self.repair("--apply")
        self.assert_pulled(self.files)

    def test_a_server_without_ranges_sends_all_of_it_once(self):
        self.rot(PIECE + 7, 3 * PIECE)

        def whole(answer, request):
            answer.status, answer.body, answer.begin = 200, LARGE, 0
            answer.headers = {"Content-Type": "binary/octet-stream"}
        self.hub.cdn.fault(whole, times=None)
        mended = self.one(self.repair("--apply"))
        self.assertEqual(len(LARGE), mended["fetched_bytes"])
        self.assertIn("no parts of files", mended["reason"])
        self.assert_pulled(self.files)

    def test_resets_and_server_errors_pass(self):
        self.rot(PIECE + 7)
        self.hub.cdn.fault(faults.reset_after(1_000_000), times=2)
        self.hub.control.fault(faults.status(503), path="/tree/", times=1)
        self.repair("--apply")
        self.assert_pulled(self.files)

    def test_a_commit_that_is_gone_upstream_with_the_bytes_in_a_newer_one(self):
        self.rot(PIECE + 7)
        newer = self.a_repo("org/alpha", {"renamed.safetensors": LARGE})
        self.assertNotEqual(newer, self.commit)
        self.assertEqual("mended", self.one(self.repair("--apply"))["state"])

    def test_bytes_that_nobody_has_any_more(self):
        self.rot(PIECE + 7)
        self.a_repo("org/alpha", {"model.safetensors": b"other"})
        answer = self.one(self.repair("--apply", expect=FOUND))
        self.assertEqual("no_source", answer["state"])
        self.assertIn("upstream", answer["reason"])
        self.assert_damaged_still()

    def test_offline_asks_nobody(self):
        self.rot(PIECE + 7)
        answer = self.one(self.repair("--apply", expect=FOUND, HF_HUB_OFFLINE="1"))
        self.assertIn("offline", answer["reason"])
        self.assertEqual([], self.hub.requests)


class VerifyUpstream(RepairCase):
    def states(self, *more, expect=OK, **env):
        answer = self.tool(**env).run("verify", "org/alpha", "--upstream", *more, expect=expect)
        self.assertEqual([], [r.target for r in self.hub.requests if "/resolve/" in r.target], "payload was asked for")
        self.assertEqual(0, self.hub.cdn.served_bytes)
        self.models = answer.json["upstream"]["models"]
        return {f["remote_path"]: f["state"] for f in answer.json["upstream"]["files"]}

    def test_all_is_as_it_should_be(self):
        self.assertEqual({"model.safetensors": "ok", "config.json": "ok"}, self.states())
        self.assertEqual([(self.commit, self.commit, False)], [(m["commit"], m["head"], m["moved"]) for m in self.models])

    def test_the_branch_has_moved(self):
        newer = self.hub.repos["org/alpha"].commit({"model.safetensors": LARGE[:-1] + b"x", "README.md": b"#"})
        self.assertEqual({"model.safetensors": "changed_upstream", "config.json": "gone_upstream"}, self.states())
        self.assertEqual([(self.commit, newer, True)], [(m["commit"], m["head"], m["moved"]) for m in self.models])

    def test_damage(self):
        self.rot(77)
        self.assertEqual({"model.safetensors": "damaged", "config.json": "ok"}, self.states("--deep", expect=FOUND))

    def test_a_repo_that_is_gone(self):
        del self.hub.repos["org/alpha"]
        self.assertEqual({"gone_upstream"}, set(self.states().values()))

    def test_nobody_answers(self):
        self.hub.control.fault(faults.status(403), method=None, times=None)
        self.assertLessEqual(set(self.states().values()), {"unknown", "gone_upstream"})

    def test_offline_is_an_error(self):
        self.tool(HF_HUB_OFFLINE="1").run("verify", "org/alpha", "--upstream", expect=FAILED)
        self.assertEqual([], self.hub.requests)


def children_of(pid):
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield int(child)
                yield from children_of(int(child))
    except OSError:
        return


class TheTokenIsNowhere(PullCase):
    """Every command that may know a token, in all ways of telling it, greped: what is printed, what is written anywhere below the home and our state, command
    lines, and the environment of children. (Our own environment is where the person put it.)"""

    def watched(self, *args, **env):
        process = self.tool(**env).start(*args)
        seen, done = [], threading.Event()

        def look():
            while not done.is_set():
                for pid in [process.pid, *children_of(process.pid)]:
                    try:
                        # Until a child runs another program its environment is our own (as that of the leak sanitizer's tracer is to the end).
                        own = os.path.samefile(f"/proc/{pid}/exe", f"/proc/{process.pid}/exe")
                        seen.extend(Path(f"/proc/{pid}/{file}").read_bytes() for file in ("cmdline", "comm", *(() if own else ("environ",))))
                    except OSError:
                        pass
                done.wait(0.002)
        watcher = threading.Thread(target=look)
        watcher.start()
        out, err = process.communicate(timeout=120)
        done.set()
        watcher.join()
        self.assertTrue(seen or process.returncode is not None)
        for place, text in (("stdout", out.encode()), ("stderr", err.encode()), ("a command line or a child's environment", b"\n".join(seen))):
            self.assertNotIn(TOKEN.encode(), text, f"{args}: in {place}")

    def test_whatever_is_done_and_however_it_is_told(self):
        self.hub.tokens = {TOKEN: ("org/gated",)}
        for name, more in (("org/private", {"private": True}), ("org/gated", {"gated": True})):
            self.a_repo(name, FILES | {"n": name.encode()}, **more)
        file = self.home / "secrets/token"
        file.parent.mkdir()
        file.write_text(TOKEN)
        ways = ({"HF_TOKEN": TOKEN}, {"HUGGING_FACE_HUB_TOKEN": TOKEN}, {"HF_TOKEN_PATH": str(file)})
        for number, env in enumerate(ways):
            for args in (("pull", "org/private", "--plan"), ("pull", "org/private", "--to", "lm-studio", "--verbose"), ("pull", "org/gated", "--json"),
                         ("verify", "--upstream", "--deep", "--verbose"), ("repair", "org/private", "--json"), ("history",), ("doctor",), ("doctor", "--json"), ("scan", "--json"),
                         ("ls",), ("gc",), ("rm", "org/private"), ("pull", f"org/{TOKEN[:3]}none-{number}"), ("undo",)):
                with self.subTest(way=list(env), args=args):
                    self.watched(*args, **env)
        self.assertTrue([r for r in self.hub.control.requests if r.header("Authorization") == f"Bearer {TOKEN}"], "it was never used, so this shows nothing")
        self.assertFalse([r.target for r in self.hub.requests if TOKEN in r.target])
        self.assertFalse([r.target for r in self.hub.cdn.requests if r.mentions(TOKEN)])
        for name, data in self.everything_written():
            if name != str(file).encode():
                self.assertNotIn(TOKEN.encode(), name + data, "the token was written")


if __name__ == "__main__":
    unittest.main()
