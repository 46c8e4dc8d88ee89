"""Seeded bytes in valid containers: noise that no file system compresses and no two seeds share."""
import json
import random
import struct


def noise(seed, size):
    source = random.Random(seed)
    piece = 1 << 27  # one call gives at most 2**31 bits
    return b"".join(source.randbytes(min(piece, size - at)) for at in range(0, size, piece))


def safetensors(seed, size):
    """A valid safetensors file of about `size` bytes (never fewer than its header), BF16 tensors of noise."""
    count = max(1, min(8, size // 65536))
    each = max(2, (size // count) // 2 * 2)
    header = {"__metadata__": {"format": "pt"}}
    for i in range(count):
        header[f"model.layers.{i}.weight"] = {"dtype": "BF16", "shape": [each // 2], "data_offsets": [i * each, (i + 1) * each]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + noise(seed, each * count)


def _string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf(seed, size, name="noise"):
    """A valid GGUF v3 file of about `size` bytes: architecture, name, one F16 tensor of noise."""
    elements = max(32, size // 2 // 32 * 32)
    out = b"GGUF" + struct.pack("<IQQ", 3, 1, 2)
    for key, value in (("general.architecture", "llama"), ("general.name", f"{name}-{seed}")):
        out += _string(key) + struct.pack("<I", 8) + _string(value)
    out += _string("token_embd.weight") + struct.pack("<IQIQ", 1, elements, 1, 0)
    out += b"\0" * (-len(out) % 32)
    return out + noise(seed, elements * 2)
