"""Writes a GGUF file of a llama, coded in Q4_1, Q8_0 and F32, as the folder that MLX's tools make: safetensors whose weights are quantised in groups of 32,
with scales and biases. Both codings say the same numbers, so nothing is lost. Runs inside the loaders' environment (needs gguf, numpy, safetensors):
`python smollm2_as_mlx.py FILE.gguf FOLDER`."""
import json
import re
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader
from safetensors.numpy import save_file

NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
         "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
DIGITS_THEN_BYTES = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True},
                                                           {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]}


def name_of(tensor):
    if tensor.startswith("token_embd."):
        return "model.embed_tokens"
    if tensor.startswith("output_norm."):
        return "model.norm"
    layer, part = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", tensor).groups()
    return f"model.layers.{layer}.{NAMES[part]}"


def rows_in_order(array, heads):
    """GGUF keeps the rows of queries and keys in the order that turns neighbours; MLX in the one that turns halves."""
    rows = array.shape[0]
    return np.ascontiguousarray(array.reshape(heads, rows // heads // 2, 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape))


def quantised(tensor):
    """packed weights, scales, biases; one row each."""
    columns, rows = map(int, tensor.shape)
    if tensor.tensor_type == GGMLQuantizationType.Q4_1:
        blocks = np.asarray(tensor.data).reshape(rows, columns // 32, 20)
        values = np.concatenate([blocks[..., 4:] & 15, blocks[..., 4:] >> 4], axis=-1).reshape(rows, columns)
        packed = values[:, 0::2] | values[:, 1::2] << 4
        halves = np.ascontiguousarray(blocks[..., :4]).view(np.float16)
        return packed.view(np.uint32), halves[..., 0].copy(), halves[..., 1].copy()
    assert tensor.tensor_type == GGMLQuantizationType.Q8_0, tensor.tensor_type
    blocks = np.asarray(tensor.data).reshape(rows, columns // 32, 34)
    packed = (blocks[..., 2:] ^ 128).reshape(rows, columns)  # from -128…127 to 0…255
    scales = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0].copy()
    return np.ascontiguousarray(packed).view(np.uint32), scales, scales * np.float16(-128)


def main(source, folder):
    reader = GGUFReader(source)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    def get(key):
        return reader.fields[key].contents()

    heads, kv_heads = get("llama.attention.head_count"), get("llama.attention.head_count_kv")
    tensors = {}
    for tensor in reader.tensors:
        name = name_of(tensor.name)
        if tensor.tensor_type == GGMLQuantizationType.F32:
            tensors[name + ".weight"] = np.array(tensor.data)
            continue
        arrays = quantised(tensor)
        if ".attn_q." in tensor.name or ".attn_k." in tensor.name:
            arrays = [rows_in_order(array, heads if ".attn_q." in tensor.name else kv_heads) for array in arrays]
        for part, array in zip(("weight", "scales", "biases"), arrays):
            tensors[f"{name}.{part}"] = array
    save_file(tensors, folder / "model.safetensors", metadata={"format": "mlx"})

    ends = {"bos_token_id": get("tokenizer.ggml.bos_token_id"), "eos_token_id": get("tokenizer.ggml.eos_token_id")}
    (folder / "config.json").write_text(json.dumps({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": get("llama.embedding_length"), "num_hidden_layers": get("llama.block_count"),
        "intermediate_size": get("llama.feed_forward_length"), "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "rms_norm_eps": float(get("llama.attention.layer_norm_rms_epsilon")), "vocab_size": get("llama.vocab_size"), "rope_theta": float(get("llama.rope.freq_base")),
        "max_position_embeddings": get("llama.context_length"), "tie_word_embeddings": True, "hidden_act": "silu",
        "quantization": {"group_size": 32, "bits": 4, "model.embed_tokens": {"group_size": 32, "bits": 8}}} | ends))
    (folder / "generation_config.json").write_text(json.dumps(ends))
    tokens, kinds, merges = get("tokenizer.ggml.tokens"), get("tokenizer.ggml.token_type"), get("tokenizer.ggml.merges")
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None, "pre_tokenizer": DIGITS_THEN_BYTES, "decoder": level,
        "added_tokens": [{"id": i, "content": tokens[i], "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
                         for i in range(len(tokens)) if kinds[i] == 3],
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False, "vocab": {token: i for i, token in enumerate(tokens)}, "merges": merges}}))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "bos_token": tokens[ends["bos_token_id"]], "eos_token": tokens[ends["eos_token_id"]], "chat_template": get("tokenizer.chat_template")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
