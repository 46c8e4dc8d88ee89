"""Runs inside the loaders' environment: reads each file named on the command line with every loader of its format and prints, as JSON,
one digest of all tensors per loader. Equal bytes must give equal tensors, and every loader must take the file as it lies."""
import hashlib
import json
import os
import sys

import gguf
import mlx.core as mx
import numpy as np
import safetensors
import safetensors.numpy


def digest(tensors):
    total = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def with_safetensors_mapped(path):
    with safetensors.safe_open(path, framework="numpy") as file:
        return digest({name: file.get_tensor(name) for name in file.keys()})


def with_safetensors(path):
    return digest(safetensors.numpy.load_file(path))


def with_mlx(path):
    arrays = mx.load(path)
    mx.eval(list(arrays.values()))
    return digest({name: np.array(array) for name, array in arrays.items()})


def with_gguf(path):
    return digest({tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors})


LOADERS = {".safetensors": (with_safetensors, with_safetensors_mapped, with_mlx), ".gguf": (with_gguf, with_mlx)}


def main():
    answers = {}
    for path in sys.argv[1:]:
        suffix = path[path.rindex("."):]
        # MLX opens a GGUF for writing, though it only reads: a read-only one it cannot load, wherever it lies.
        loaders = [load for load in LOADERS[suffix] if load is not with_mlx or suffix != ".gguf" or os.access(path, os.W_OK)]
        answers[path] = {load.__name__: load(path) for load in loaders}
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
