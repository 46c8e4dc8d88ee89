"""What each command says, word for word, and how it ends. `MLXCACHE_UPDATE_GOLDEN=1` writes the files anew: read the difference."""
import os
import unittest

from house import HERE, House

# name, words, what the home must be like before. Order matters: dedup and undo follow each other.
SESSION = [
    ("scan", ["scan"]),
    ("scan_one_store", ["scan", "--store", "ollama"]),
    ("scan_quiet", ["scan", "--quiet"]),
    ("ls", ["ls"]),
    ("ls_filter", ["ls", "QWEN"]),
    ("ls_ids", ["ls", "--ids"]),
    ("ls_nothing", ["ls", "no-such"]),
    ("show", ["show", "llama:1b"]),
    ("show_hub", ["show", "qwen-mlx", "--store", "hf-hub"]),
    ("show_missing", ["show", "llame:1b"]),
    ("show_several", ["show", "l"]),
    ("dups", ["dups"]),
    ("status_never", ["status"]),
    ("watch_dry_run", ["watch", "--once", "--dry-run", "--quiet-for", "0s", "--method", "hardlink", "--yes"]),
    ("watch_waits", ["watch", "--once", "--quiet-for", "1h"]),
    ("dedup_plan", ["dedup", "--method", "hardlink"]),
    ("dedup_needs_answer", ["dedup", "--method", "hardlink", "--apply"]),
    ("dedup_apply", ["dedup", "--method", "hardlink", "--apply", "--yes"]),
    ("scan_after", ["scan"]),
    ("dedup_again", ["dedup", "--method", "hardlink"]),
    ("history", ["history"]),
    ("verify", ["verify"]),
    ("undo", ["undo"]),
    ("undo_nothing", ["undo"]),
    ("undo_unknown", ["undo", "20200101T000000-0000"]),
    ("history_undone", ["history"]),
    ("recover", ["recover"]),
    ("publish_plan", ["publish", "gemma:270m", "--to", "lm-studio"]),
    ("publish_apply", ["publish", "gemma:270m", "--to", "lm-studio", "--apply"]),
    ("publish_refused", ["publish", "org/Qwen-MLX", "--to", "ollama"]),
    ("rm_shared", ["rm", "gemma:270m"]),
    ("rm_which", ["rm", "org/Llama-1B-GGUF"]),
    ("unpublish_only_bytes", ["unpublish", "org/Qwen-MLX", "--from", "hf-hub"]),
    ("unpublish_apply", ["unpublish", "local/gemma", "--from", "lm-studio", "--apply"]),
    ("pin", ["pin", "llama:1b"]),
    ("status", ["status"]),
    ("rm_pinned", ["rm", "llama:1b"]),
    ("unpin", ["unpin", "llama:1b"]),
    ("rm_apply", ["rm", "llama:1b", "--apply"]),
    ("restore_list", ["restore", "--list"]),
    ("restore", ["restore", "llama:1b"]),
    ("gc", ["gc"]),
    ("prune_nothing", ["prune", "--budget", "1T"]),
    ("repair_intact", ["repair", "org/Qwen-MLX"]),
    ("vault_none", ["vault", "ls"]),
]

MISTAKES = [
    ("no_command", []),
    ("unknown_command", ["scna"]),
    ("unknown_command_far", ["frobnicate"]),
    ("unknown_option", ["scan", "--stroe", "ollama"]),
    ("option_of_another", ["scan", "--apply"]),
    ("unknown_store", ["scan", "--store", "olama"]),
    ("unknown_method", ["dedup", "--method", "copy"]),
    ("bad_size", ["scan", "--min-size", "many"]),
    ("missing_value", ["scan", "--root"]),
    ("missing_operand", ["show"]),
    ("too_many", ["undo", "a", "b"]),
    ("unknown_model", ["dedup", "--model", "no/such"]),
    ("missing_root", ["scan", "--store", "loose", "--root", "/no/such/folder"]),
    ("prune_of_nothing", ["prune"]),
    ("publish_nowhere", ["publish", "gemma:270m"]),
    ("bad_age", ["prune", "--unused", "long"]),
    ("unpin_unknown", ["unpin", "no/such"]),
    ("restore_nothing", ["restore", "no/such"]),
    ("freeze_nothing", ["freeze"]),
    ("vault_of_no_action", ["vault", "polish"]),
    ("demo_at_taken", ["demo", "--at", "/"]),
]


class Transcripts(House):
    def compare(self, name, words):
        code, out, err = self.run_it(*words)
        text = f"$ mlxcache {' '.join(words)}\n{out}-- standard error\n{err}-- exit {code}\n"
        text = self.tame(text)
        golden = HERE / "golden" / f"{name}.txt"
        if os.environ.get("MLXCACHE_UPDATE_GOLDEN"):
            golden.write_text(text)
        self.assertEqual(golden.read_text(), text, name)

    def test_a_whole_session_reads_as_recorded(self):
        for name, words in SESSION:
            with self.subTest(name):
                self.compare(name, words)

    def test_mistakes_name_the_thing_the_reason_and_the_way_out(self):
        for name, words in MISTAKES:
            with self.subTest(name):
                self.compare("mistake_" + name, words)

    def test_help_of_every_command_reads_as_recorded(self):
        self.compare("help", ["--help"])
        _, out, _ = self.run_it("help", "--json")
        import json
        names = [c["name"] for c in json.loads(out)["commands"]]
        self.assertGreaterEqual(len(names), 15)
        for name in names:
            with self.subTest(name):
                self.compare("help_" + name, [name, "--help"])
                self.assertEqual(self.run_it("help", name)[1], self.run_it(name, "--help")[1])

    def test_every_golden_file_belongs_to_a_case(self):
        import json
        _, out, _ = self.run_it("help", "--json")
        known = {name for name, _ in SESSION} | {"mistake_" + name for name, _ in MISTAKES} | {"help"}
        known |= {"help_" + c["name"] for c in json.loads(out)["commands"]}
        self.assertEqual({f.stem for f in (HERE / "golden").glob("*.txt")}, known)

    def test_a_home_without_stores_says_so_and_points_to_the_demo(self):
        empty = self.top / "empty"
        empty.mkdir()
        code, out, err = self.run_it("scan", home=empty)
        self.assertEqual((code, out), (0, "No model store was found on this machine.\n"))
        self.assertIn("mlxcache demo", err)

    def test_the_demo_brings_everything_back_and_leaves_nothing(self):
        code, out, err = self.run_it("demo", env=self.env(TMPDIR=str(self.top)))
        self.assertEqual(code, 0, out + err)
        self.assertIn("files of the made-up home are as they were", out)
        self.assertEqual([p for p in self.top.iterdir() if p.name.startswith("mlxcache-demo")], [])

    def test_the_demo_never_looks_at_the_callers_own_stores(self):
        code, out, err = self.run_it("demo", env=self.env(TMPDIR=str(self.top), HF_HOME="/no/such", OLLAMA_MODELS=str(self.home / ".ollama/models")))
        self.assertEqual(code, 0)
        self.assertNotIn(str(self.home), out + err)


if __name__ == "__main__":
    unittest.main()
