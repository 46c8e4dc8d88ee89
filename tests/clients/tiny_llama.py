"""Writes a complete, tiny llama-architecture GGUF that a real runner loads and generates from: seeded random weights, a byte-level
tokenizer. Runs inside the loaders' environment (needs the gguf package): `python tiny_llama.py OUT SEED`."""
import sys

import numpy as np
from gguf import GGUFWriter, TokenType

WIDTH, LAYERS, HEADS, HIDDEN = 256, 4, 4, 512


def tokens():
    names = [b"<unk>", b"<s>", b"</s>"] + [f"<0x{i:02X}>".encode() for i in range(256)] + [b"\xe2\x96\x81"]
    names += [bytes([i]) for i in range(97, 123)] + [b"\xe2\x96\x81the", b"the", b"\xe2\x96\x81a", b"ing"]
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL] + [TokenType.BYTE] * 256
    kinds += [TokenType.NORMAL] * (len(names) - len(kinds))
    return names, kinds


def write(path, seed):
    chance = np.random.default_rng(seed)
    names, kinds = tokens()
    out = GGUFWriter(path, "llama")
    out.add_name(f"tiny-{seed}")
    out.add_context_length(512)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(HIDDEN)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(len(names))
    out.add_file_type(1)  # mostly F16
    out.add_tokenizer_model("llama")
    out.add_token_list(names)
    out.add_token_scores([-float(i) for i in range(len(names))])
    out.add_token_types(kinds)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    out.add_add_space_prefix(True)

    def matrix(name, rows, columns):
        out.add_tensor(name, (chance.standard_normal((rows, columns)) * 0.05).astype(np.float16))

    def norm(name):
        out.add_tensor(name, np.ones(WIDTH, dtype=np.float32))

    matrix("token_embd.weight", len(names), WIDTH)
    for i in range(LAYERS):
        norm(f"blk.{i}.attn_norm.weight")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"blk.{i}.{part}.weight", WIDTH, WIDTH)
        norm(f"blk.{i}.ffn_norm.weight")
        matrix(f"blk.{i}.ffn_gate.weight", HIDDEN, WIDTH)
        matrix(f"blk.{i}.ffn_up.weight", HIDDEN, WIDTH)
        matrix(f"blk.{i}.ffn_down.weight", WIDTH, HIDDEN)
    norm("output_norm.weight")
    matrix("output.weight", len(names), WIDTH)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]))
