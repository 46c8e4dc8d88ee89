"""Makes what mlxhub's unit tests compare with, from other people's code: logits and greedy tokens of small decoders with seeded weights
(transformers on torch, f32), greedy tokens of SmolLM2-135M (the same, weights from its GGUF file), and checksums of decoded blocks (gguf).

    python -m venv V && V/bin/pip install torch transformers==5.23.0 gguf accelerate
    V/bin/python tests/hub/reference.py decoders > mlxhub/cpu/reference/decoders.json
    V/bin/python tests/hub/reference.py blocks   > mlxhub/model/reference/blocks.json
    V/bin/python tests/hub/reference.py smollm2 FILE.gguf > tests/hub/smollm2.json
"""
import json
import sys
import zlib

MASK = (1 << 64) - 1


def fnv(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & MASK
    return value


def mixed(value):  # splitmix64's finaliser
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK
    return value ^ value >> 31


def numbers(name, count, spread, centre=0.0):
    """`count` floats that mlxhub/cpu/executor_test.cpp makes alike: multiples of 2^-24 times a power of two, so exact in f32."""
    start = fnv(name)
    return [centre + ((mixed(start + i * 0x9E3779B97F4A7C15 & MASK) >> 40) / 2**24 - 0.5) * spread for i in range(count)]


BASE = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 96,
    "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}
DECODERS = {
    "llama": {"model_type": "llama", "tie_word_embeddings": True},
    "llama 3.1": {"model_type": "llama", "rope_theta": 500000.0, "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}},
    "mistral": {"model_type": "mistral", "head_dim": 32, "sliding_window": None},
    "qwen2": {"model_type": "qwen2", "use_sliding_window": False},
    "qwen3": {"model_type": "qwen3", "head_dim": 32, "attention_bias": False},
    "smollm3": {"model_type": "smollm3", "no_rope_layers": [1, 1, 1, 0]},
    "granite": {"model_type": "granite", "embedding_multiplier": 4.0, "residual_multiplier": 0.5, "attention_multiplier": 0.125, "logits_scaling": 2.0},
}


def decoders():
    import torch
    import transformers

    out = {}
    prompt = [5 + i * 7 % 89 for i in range(40)]
    for name, own in DECODERS.items():
        config = BASE | own
        loaded = transformers.AutoConfig.for_model(**config)
        model = transformers.AutoModelForCausalLM.from_config(loaded, attn_implementation="eager", dtype=torch.float32).eval()
        tensors = []
        with torch.no_grad():
            for key, tensor in model.named_parameters():
                norm = "norm" in key
                values = numbers(key, tensor.numel(), 0.5, 1.0 if norm else 0.0)
                tensor.copy_(torch.tensor(values, dtype=torch.float32).reshape(tensor.shape))
                tensors.append([key, list(tensor.shape)])
            tokens = list(prompt)
            first = None
            for _ in range(12):
                logits = model(torch.tensor([tokens])).logits[0, -1]
                first = logits.tolist() if first is None else first
                tokens.append(int(logits.argmax()))
        out[name] = {"config": config, "tensors": tensors, "prompt": prompt, "logits": [round(x, 6) for x in first], "greedy": tokens[len(prompt):]}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in out.items())
    print("{\n" + lines + "\n}")


# Bytes of a block, and where its 16-bit floats lie: those get a sane exponent.
BLOCKS = {
    "Q4_0": (18, [0]), "Q4_1": (20, [0, 2]), "Q5_0": (22, [0]), "Q5_1": (24, [0, 2]), "Q8_0": (34, [0]), "Q2_K": (84, [80, 82]), "Q3_K": (110, [108]),
    "Q4_K": (144, [0, 2]), "Q5_K": (176, [0, 2]), "Q6_K": (210, [208]), "IQ4_NL": (18, [0]), "IQ4_XS": (136, [0]), "MXFP4": (17, []),
}


def block_bytes(name, count):
    size, halves = BLOCKS[name]
    start = fnv(name)
    data = bytearray(mixed(start + i * 0x9E3779B97F4A7C15 & MASK) >> 56 for i in range(size * count))
    for block in range(count):
        for at in halves:
            place = block * size + at + 1
            data[place] = data[place] & 0x83 | 0x20  # exponent 8..11 of 31: about 2^-6
        if name == "MXFP4":
            data[block * size] = 120 + data[block * size] % 16
    return bytes(data)


def blocks():
    import gguf
    import numpy

    out = {}
    for name in BLOCKS:
        data = numpy.frombuffer(block_bytes(name, 8), dtype=numpy.uint8)
        kind = gguf.GGMLQuantizationType[name]
        values = gguf.quants.dequantize(data.reshape(1, -1), kind).astype("<f4").reshape(-1)
        out[name] = {"crc32": zlib.crc32(values.tobytes()), "first": [float(v) for v in values[:4]], "sum": float(values.astype("f8").sum())}
    print("{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(case)}" for name, case in out.items()) + "\n}")


PROMPTS = [
    "What is the capital of France?", "Write one sentence about the sea.", "How many days are in a week?", "Name three colours.",
    "Translate 'good morning' into Spanish.", "What is 7 plus 5?", "Explain photosynthesis briefly.", "Who wrote Romeo and Juliet?",
    "List the planets of the solar system.", "Give me a recipe for pancakes.", "What does HTTP stand for?", "Write a haiku about autumn.",
    "Why is the sky blue?", "Say hello in German: Grüß Gott!", "What is the boiling point of water in Celsius?", "Tell me a short joke.",
    "def fibonacci(n):", "Summarise: The cat sat on the mat. It was warm.", "What is the opposite of hot?", "日本の首都はどこですか？",
]


def smollm2(path):
    import torch
    import transformers

    folder, file = path.rsplit("/", 1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32, attn_implementation="eager").eval()
    out = []
    for prompt in PROMPTS:
        text = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
                f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n")
        ids = tokenizer(text, add_special_tokens=False).input_ids
        with torch.no_grad():
            made = model.generate(torch.tensor([ids]), max_new_tokens=32, do_sample=False, repetition_penalty=1.0)[0].tolist()
        out.append({"prompt": prompt, "ids": ids, "greedy": made[len(ids):]})
        print(prompt, tokenizer.decode(made[len(ids):]), file=sys.stderr)
    print("[\n" + ",\n".join(json.dumps(case) for case in out) + "\n]")


if __name__ == "__main__":
    {"decoders": decoders, "blocks": blocks, "smollm2": smollm2}[sys.argv[1]](*sys.argv[2:])
