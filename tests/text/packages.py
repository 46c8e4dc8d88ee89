"""What prepare.py unpacked: chat templates, tokenisers, vocabularies. Read where they lie; none of it is ours to keep."""
import json
import os
import struct
from pathlib import Path

BUILD = Path(os.environ["TEXT_BUILD"])


def tokenizers():
    """name -> folder with tokenizer.json"""
    return {path.parent.name: path.parent for path in sorted(BUILD.glob("tokenizers/*/tokenizer.json"))}


def templates():
    """name -> chat template"""
    found = {path.stem: path.read_text(encoding="utf-8") for path in BUILD.glob("llama.cpp/templates/*.jinja")}
    for name, folder in tokenizers().items():
        config = folder / "tokenizer_config.json"
        template = json.loads(config.read_text(encoding="utf-8")).get("chat_template") if config.exists() else None
        if isinstance(template, list):
            found |= {f"{name}:{entry['name']}": entry["template"] for entry in template}
        elif template:
            found[name] = template
    for path in BUILD.glob("smollm2/*.gguf"):
        found["SmolLM2"] = gguf_text(path, "tokenizer.chat_template")
    return found


def vocabularies():
    """(name, GGUF file, [(text, ids)]): what llama.cpp's own tests expect of its tokenisers."""
    for path in sorted(BUILD.glob("llama.cpp/vocab/*.gguf")):
        inputs, outputs = path.with_name(path.name + ".inp"), path.with_name(path.name + ".out")
        if not inputs.exists():
            continue
        asked = inputs.read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
        told = [[int(part) for part in line.split()] for line in outputs.read_text().split("\n")]
        yield path.stem.removeprefix("ggml-vocab-"), path, list(zip(asked, told))


SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def gguf_text(path, wanted):
    """One text of a GGUF file's metadata."""
    with open(path, "rb") as file:
        read = lambda form: struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))  # noqa: E731
        text = lambda: file.read(read("Q")[0])  # noqa: E731
        _, _, _, count = read("IIqq")
        for _ in range(count):
            key, kind = text().decode(), read("I")[0]
            if kind == 8:
                value = text()
                if key == wanted:
                    return value.decode()
            elif kind == 9:
                element, length = read("IQ")
                if element == 8:
                    for _ in range(length):
                        text()
                else:
                    file.seek(SIZES[element] * length, 1)
            else:
                file.seek(SIZES[kind], 1)
    raise KeyError(wanted)
