"""Every tokenizer.json of the prepared packages: encode, decode and stream as Python's `tokenizers` does. TEXTS in the environment sets how many
random texts all of them together get (100,000)."""
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import tokenizers

import packages
import texts


def ours(source, inputs):
    """[(ids, decoded, streamed)]"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts"
        encoded = [text.encode() for text in inputs]
        path.write_bytes(b"".join(struct.pack("<I", len(text)) + text for text in encoded))
        done = subprocess.run([os.environ["TOKENIZE_CASES"], source, path], capture_output=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{source}: {done.stderr.decode()}")
    out, at, results = done.stdout, 0, []
    for _ in inputs:
        (count,) = struct.unpack_from("<I", out, at)
        ids = list(struct.unpack_from(f"<{count}I", out, at + 4))
        at += 4 + 4 * count
        parts = []
        for _ in range(2):
            (size,) = struct.unpack_from("<I", out, at)
            parts.append(out[at + 4:at + 4 + size].decode())
            at += 4 + size
        results.append((ids, *parts))
    return results


NOT_BUILT = ("bert-bge", "deepseek-llm", "gemma-4")  # WordPiece, a pre-tokenizer and a model that from_gguf refuses by name


class Tokenizers(unittest.TestCase):
    def test_encode_decode_and_stream_as_tokenizers_does(self):
        found = packages.tokenizers()
        self.assertTrue(found)
        each = max(1, int(os.environ.get("TEXTS", "100000")) // len(found))
        for number, (name, folder) in enumerate(found.items()):
            with self.subTest(name):
                oracle = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
                oracle.no_truncation()
                oracle.no_padding()
                inputs = texts.PLAIN + list(texts.random_texts(each, seed=number))
                inputs += ["\n".join(inputs[:400])]
                inputs = [text.encode("utf-8", "replace").decode() for text in inputs]
                theirs = [encoding.ids for encoding in oracle.encode_batch_fast(inputs)]
                texts_back = oracle.decode_batch(theirs)
                results = ours(folder / "tokenizer.json", inputs)
                wrong = [i for i in range(len(inputs)) if results[i] != (theirs[i], texts_back[i], texts_back[i])]
                print(f"{name}: {len(inputs)} texts, {sum(map(len, theirs))} tokens, {len(wrong)} differ", file=sys.stderr)
                for i in wrong[:int(os.environ.get("SHOW", "5"))]:
                    print(f"--- {name} {inputs[i][:200]!r}\n  theirs: {theirs[i][:60]} {texts_back[i][:200]!r}\n  ours:   {results[i][0][:60]} {results[i][1][:200]!r} {results[i][2][:200]!r}",
                          file=sys.stderr)
                self.assertEqual(len(wrong), 0)

    def test_encodes_as_llama_cpp_expects_of_its_vocabularies(self):
        passed = []
        for name, path, pairs in packages.vocabularies():
            if name in NOT_BUILT:
                with self.assertRaises(AssertionError, msg=f"{name} is built now: take it off the list"):
                    ours(path, ["x"])
                continue
            with self.subTest(name):
                results = ours(path, [text for text, _ in pairs])
                wrong = [(text, told, result[0]) for (text, told), result in zip(pairs, results) if result[0] != told]
                self.assertEqual(wrong[:3], [])
                passed.append(name)
        print(f"GGUF vocabularies: {', '.join(passed)}; refused: {', '.join(NOT_BUILT)}", file=sys.stderr)
        self.assertGreater(len(passed), 9)


if __name__ == "__main__":
    unittest.main()
