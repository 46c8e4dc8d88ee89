"""Texts for tokenisers: what people write, what breaks things, and random Unicode from a seed."""
import functools
import random
import unicodedata

import tokenizers

NFKC = tokenizers.normalizers.NFKC()

PLAIN = [
    "", " ", "  ", "\n", "\t\r\n ", "Hello, world!", "Hello world  ", "  leading", "I'm you're they'LL don't 'S", "a" * 300, "x" * 7 + " " * 50 + "y",
    "1234567890 3.14159 1,000,000 ½ ² ٣", "def f(x):\n    return x**2  # square\n\n\n", "https://example.com/a?b=c&d=%20", "<|im_start|>user\nHi<|im_end|>",
    "<s>[INST] <<SYS>> </s><unk>", "<|endoftext|><|begin_of_text|>x<|eot_id|>", "你好，世界！今天天气怎么样？", "こんにちは世界 カタカナ ｶﾀｶﾅ", "안녕하세요 세계", "Привет, мир!",
    "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "สวัสดีชาวโลก", "🙂👩‍👩‍👧‍👦🏳️‍🌈🇩🇪👍🏽", "é vs e\u0301, Å vs A\u030a, ﬁ ligature, ① ㎏", "Zürich straße İstanbul ǅ ſ K",
    "\u200b\u200d\ufeff\u00a0\u2003\u3000\u2028\u0085\x00\x01\x7f", "\U0001f600\U0010ffff\ue000\ufffd", "▁▁ ▁a ▁", "Ġhello Ċ <0x0A> <0xE4>", "a\u0300\u0301\u0302b", "''' \"\"\" ``` --- ___ ***",
    "CamelCaseWord snake_case_word ALLCAPS MiXeD", "\r\n\r\n  \n \n", "word" + "\u0301" * 50, "e\u0301" * 40, "が" * 3 + "か\u3099",
]
BLOCKS = [(0x20, 0x7E)] * 6 + [(0xA0, 0x24F)] * 2 + [(0x300, 0x36F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF), (0xE00, 0xEFF), (0x1100, 0x11FF), (0x1E00, 0x20CF),
          (0x2100, 0x27BF), (0x3000, 0x30FF), (0x3130, 0x33FF), (0x4E00, 0x9FFF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFFFD), (0x10000, 0x1FFFF), (0x1F300, 0x1FAFF), (0x20000, 0x2FA1F)]
GLUE = [" ", " ", "  ", "\n", "\n\n", "\t", "'s", "'", ".", ",", "1", "234", "the", "ing", " of", "\u0301"]


@functools.lru_cache(maxsize=None)
def known(point):
    """Assigned, and the same to this Python (Unicode 14) as to the older Unicode inside `tokenizers`, which knows no decomposition of U+32FF and
    gives U+0EBA another class: where the two disagree there is nothing to compare with."""
    if 0xD800 <= point <= 0xDFFF or unicodedata.category(chr(point)) == "Cn":
        return False
    one = chr(point)
    return all(NFKC.normalize_str(text) == unicodedata.normalize("NFKC", text) for text in (one, one + "\u0301", "\u0301" + one, "\u0323" + one, one + "\u0323", one + "\u3099"))


def random_texts(count, seed=1):
    chance = random.Random(seed)
    for _ in range(count):
        out = []
        for _ in range(chance.choice((1, 2, 3, 5, 8, 13, 21))):
            if chance.random() < 0.35:
                out.append(chance.choice(GLUE))
                continue
            low, high = chance.choice(BLOCKS)
            for _ in range(chance.choice((1, 1, 2, 4, 7))):
                point = chance.randint(low, high)
                if known(point):
                    out.append(chr(point))
        yield "".join(out)
