"""--json: one document, of the documented schema, for every command and for every way to fail."""
import json
import os
import time
import unittest

import schema
from house import House


class JsonOutput(House):
    def ask(self, *words, expect=0, name=None, **more):
        code, out, err = self.run_it(*words, "--json", **more)
        self.assertEqual(code, expect, out + err)
        value = json.loads(out)
        name = name or words[0]
        self.assertEqual(value["schema"], f"mlxcache.{name}/1")
        self.assertEqual(schema.errors(value, schema.load(name)), [], name)
        return value

    def test_every_command_keeps_its_schema(self):
        self.ask("scan")
        self.ask("scan", "--root", "/no/such", expect=3)
        self.ask("ls")
        self.ask("dups")
        self.ask("du")
        self.ask("verify")
        self.ask("verify", "--deep")
        self.ask("history")
        self.ask("recover")
        self.ask("man", "scan")
        self.ask("completions", "bash")
        self.ask("help")
        self.ask("--version", name="version")
        for model in self.ask("ls")["models"]:
            self.ask("show", model["id"])

    def test_doctor_keeps_its_schema(self):
        code, out, err = self.run_it("doctor", "--json")
        self.assertIn(code, (0, 1), err)
        self.assertEqual(schema.errors(json.loads(out), schema.load("doctor")), [])

    def test_a_round_of_dedup_and_undo_keeps_its_schemas(self):
        plan = self.ask("dedup", "--method", "hardlink")
        self.assertFalse(plan["applied"])
        self.assertEqual(sum(a["bytes"] for a in plan["actions"]), plan["bytes_freed"])
        self.assertEqual(len(plan["actions"]), 3)
        refused = self.ask("dedup", "--method", "hardlink", "--apply", expect=8)
        self.assertIn("--yes", refused["question"])
        self.assertFalse(refused["applied"])
        done = self.ask("dedup", "--method", "hardlink", "--apply", "--yes")
        self.assertTrue(done["applied"])
        self.assertEqual([(a["source"], a["target"], a["bytes"]) for a in done["actions"]], [(a["source"], a["target"], a["bytes"]) for a in plan["actions"]])
        self.assertEqual(done["bytes_freed"], plan["bytes_freed"])
        self.assertEqual(self.ask("history")["transactions"][0]["transaction"], done["transaction"])
        for action in done["actions"]:
            self.assertEqual(os.stat(action["source"]).st_ino, os.stat(action["target"]).st_ino)
        undone = self.ask("undo", done["transaction"])
        self.assertEqual(sorted(undone["restored"]), sorted(a["target"] for a in done["actions"]))
        self.assertEqual(undone["refused"], [])
        for action in done["actions"]:
            self.assertNotEqual(os.stat(action["source"]).st_ino, os.stat(action["target"]).st_ino)
        nothing = self.ask("dedup", "--apply", "--min-size", "1G")
        self.assertIsNone(nothing["transaction"])

    def test_a_round_of_publish_rm_and_restore_keeps_its_schemas(self):
        plan = self.ask("publish", "gemma:270m", "--to", "lm-studio")
        self.assertFalse(plan["applied"])
        self.assertEqual([t["new_bytes"] for t in plan["targets"]], [0])
        done = self.ask("publish", "gemma:270m", "--to", "lm-studio", "--apply")
        placed = [c for c in done["changes"] if c["kind"] == "place" and "source" in c]
        self.assertEqual(len(placed), 1)
        with open(placed[0]["source"], "rb") as a, open(placed[0]["path"], "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.ask("publish", "org/Qwen-MLX", "--to", "ollama", expect=1)
        shown = self.ask("rm", "gemma:270m")
        self.assertEqual(shown["leaving"][0]["shared_with"], ["lm-studio: local/gemma"])
        self.assertLess(shown["bytes_freed"], 100_000)
        self.ask("pin", "gemma:270m")
        self.assertEqual(self.ask("rm", "gemma:270m", expect=1)["leaving"], [])
        self.ask("unpin", "gemma:270m")
        gone = self.ask("rm", "gemma:270m", "--apply")
        self.assertNotIn("gemma:270m", [m["id"] for m in self.ask("ls")["models"]])
        self.assertEqual(self.ask("restore", "--list")["trash"][0]["transaction"], gone["transaction"])
        self.ask("restore", "gemma:270m")
        self.assertIn("gemma:270m", [m["id"] for m in self.ask("ls")["models"]])
        self.ask("unpublish", "local/gemma", "--from", "lm-studio")
        self.ask("undo", done["transaction"])
        self.assertNotIn("local/gemma", [m["id"] for m in self.ask("ls")["models"]])
        key = self.state / "downloads" / ("ab" * 32)
        key.parent.mkdir(parents=True, exist_ok=True)
        key.with_suffix(".part").write_bytes(b"p" * 8192)
        stray = key.with_name("notes.txt")
        stray.write_text("a person's")
        self.assertEqual(self.ask("gc")["downloads"], {"number": 0, "bytes_freed": 0})
        self.assertEqual(self.ask("gc", "--download-age", "0s", "--apply")["downloads"], {"number": 1, "bytes_freed": 8192})
        self.assertFalse(key.with_suffix(".part").exists())
        self.assertTrue(stray.exists())
        self.ask("prune", "--budget", "1T")
        self.ask("prune", "--unused", "0s")
        self.ask("repair", "org/Qwen-MLX")

    def test_a_round_of_freeze_thaw_and_vault_keeps_its_schemas(self):
        folder = self.home / "own"
        (folder / "sub").mkdir(parents=True)
        payload = os.urandom(300_000)
        (folder / "one.bin").write_bytes(payload)
        (folder / "two.bin").write_bytes(payload)
        (folder / "sub" / "link").symlink_to("../one.bin")
        os.utime(folder / "one.bin", ns=(1_600_000_000_000_000_000, 1_600_000_000_123_456_789))
        plan = self.ask("freeze", str(folder))
        self.assertTrue(plan["models"][0]["estimated"])
        self.assertFalse((self.state / "vault").exists())
        done = self.ask("freeze", str(folder), "--apply", "--now")["models"][0]
        self.assertIsNone(done["refused"])
        self.assertLess(done["stored_bytes"], 310_000)
        self.assertFalse(folder.exists())
        listed = self.ask("vault", "ls")["models"]
        self.assertEqual([m["id"] for m in listed], [done["frozen"]])
        self.assertEqual(self.ask("vault", "stat")["models_frozen"], 1)
        self.assertEqual(self.ask("vault", "verify")["damaged_models"], [])
        elsewhere = self.home / "elsewhere"
        self.ask("thaw", str(folder), "--to", str(elsewhere))
        self.assertEqual((elsewhere / "two.bin").read_bytes(), payload)
        self.ask("thaw", str(folder))
        self.assertEqual((folder / "one.bin").read_bytes(), payload)
        self.assertEqual((folder / "one.bin").stat().st_mtime_ns, 1_600_000_000_123_456_789)
        self.assertEqual(os.readlink(folder / "sub" / "link"), "../one.bin")
        self.assertEqual(self.ask("thaw", str(folder))["models"][0]["there"], 3)
        self.ask("mount", "--unmount", str(self.home), expect=4, name="error")
        other = self.home / "other-vault"
        self.assertEqual(len(self.ask("vault", "export", str(other))["copied"]), 1)
        self.assertEqual(self.ask("vault", "import", str(other))["there"], 1)
        self.ask("vault", "rm", str(folder))
        self.ask("vault", "rm", str(folder), "--apply")
        self.assertGreater(self.ask("vault", "gc")["bytes_freed"], 290_000)
        self.ask("vault", "gc", "--apply")
        self.assertEqual(self.ask("vault", "stat")["kinds"], [])

    def test_a_frozen_model_leaves_its_store_and_comes_back(self):
        before = {str(p): p.read_bytes() for p in self.home.glob(".cache/huggingface/hub/models--org--Qwen-MLX/**/*") if p.is_file()}
        code, out, err = self.run_it("freeze", "hf-hub/org/Qwen-MLX", "--json")
        self.assertIn(code, (0, 1), err)
        plan = json.loads(out)["models"][0]
        if plan["refused"] is None:  # how well its bytes pack is the codec's business
            self.ask("freeze", "hf-hub/org/Qwen-MLX", "--apply", "--now")
            self.assertNotIn("hf-hub", [m["store"] for m in self.ask("ls")["models"] if m["id"] == "org/Qwen-MLX"])
            self.ask("thaw", "org/Qwen-MLX")
        after = {str(p): p.read_bytes() for p in self.home.glob(".cache/huggingface/hub/models--org--Qwen-MLX/**/*") if p.is_file()}
        self.assertEqual(before, after)

    def test_damage_is_mended_from_the_twin_and_nothing_else_is_touched(self):
        blob = next(p for p in self.home.glob(".cache/huggingface/hub/models--org--Qwen-MLX/blobs/*") if p.stat().st_size > 1_000_000)
        whole, before = blob.read_bytes(), blob.stat()
        os.chmod(blob, 0o644)
        with open(blob, "r+b") as file:
            file.seek(5_000_000)
            file.write(b"rot")
        os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.addCleanup(lambda: blob.write_bytes(whole))
        others = {p: p.stat().st_ino for p in self.home.rglob("*") if p.is_file() and p.resolve() != blob.resolve()}
        found = self.ask("repair", "org/Qwen-MLX", expect=1)
        self.assertEqual([(f["state"], f["damaged_bytes"]) for f in found["files"]], [("mendable", 4096)])
        mended = self.ask("repair", "org/Qwen-MLX", "--apply")
        self.assertEqual([f["state"] for f in mended["files"]], ["mended"])
        self.assertEqual(blob.read_bytes(), whole)
        self.assertEqual(blob.stat().st_mtime_ns, before.st_mtime_ns)
        self.assertEqual({p: p.stat().st_ino for p in others}, others)
        self.ask("undo", mended["transaction"])
        self.assertNotEqual(blob.read_bytes(), whole)

    def test_our_own_change_costs_no_second_reading(self):
        # A file younger than the coarsest clock's tick is not remembered, and a ctime cannot be set: this test has to wait for it.
        time.sleep(2.5)
        self.ask("verify")
        self.ask("dedup", "--method", "hardlink", "--apply", "--yes")
        self.assertEqual(self.ask("scan")["bytes_read"], 0)
        self.ask("undo")
        time.sleep(2.5)
        self.ask("verify")
        self.assertEqual(self.ask("scan")["bytes_read"], 0)

    def test_numbers_of_scan_add_up(self):
        scan = self.ask("scan")
        self.assertEqual(sum(s["reclaimable_bytes"] for s in scan["stores"]), scan["reclaimable_bytes"])
        self.assertEqual(sum(d["reclaimable_bytes"] for d in scan["duplicates"]), scan["reclaimable_bytes"])
        for duplicate in scan["duplicates"]:
            sizes = {os.stat(p).st_size for p in duplicate["paths"]}
            self.assertEqual(sizes, {duplicate["size"]})

    def test_the_demo_keeps_its_schema_and_so_do_its_steps(self):
        demo = self.ask("demo", env=self.env(TMPDIR=str(self.top)))
        self.assertTrue(demo["restored_exactly"])
        for step in demo["steps"]:
            name = step["command"].split()[1]
            self.assertEqual(schema.errors(step["output"], schema.load(name)), [], name)

    def test_errors_are_documents_too(self):
        for words, code, exit_code in [
            (["scna"], "invalid", 2),
            (["show", "no-such-model-at-all"], "not_found", 4),
            (["undo", "20200101T000000-0000"], "not_found", 4),
            (["scan", "--store", "x"], "invalid", 2),
        ]:
            with self.subTest(words):
                got = self.ask(*words, expect=exit_code, name="error")
                self.assertEqual((got["error"]["code"], got["exit"]), (code, exit_code))

    def test_a_path_that_is_not_utf8_is_given_exactly_beside(self):
        folder = os.fsencode(self.top) + b"/loose"
        os.makedirs(folder + b"/bad", exist_ok=True)
        os.symlink(b"/nowhere", folder + b"/bad/caf\xe9.gguf")
        with open(folder + b"/bad/\xff\xfe.gguf", "wb") as file:
            file.write(b"x" * 5000)
        self.ask("scan", "--root", os.fsdecode(folder))
        self.ask("ls", "--root", os.fsdecode(folder))

    def test_standard_output_holds_nothing_but_the_document(self):
        code, out, err = self.run_it("scan", "--json", "--verbose")
        json.loads(out)
        self.assertEqual(code, 0)


if __name__ == "__main__":
    unittest.main()
