"""Conversations that between them touch what chat templates look at: roles, tools, calls, results, parts, reasoning, white space, other scripts."""

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Tells the weather \"now\" in a <place> & unit's",
    "parameters": {"type": "object", "properties": {
        "place": {"type": "string", "description": "City, e.g. Zürich"},
        "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
        "days": {"type": "integer", "minimum": 1}, "tags": {"type": "array", "items": {"type": "string"}},
        "at": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "deep": {"type": "object", "properties": {"a": {"type": "boolean", "description": "A"}}, "required": ["a"]}},
        "required": ["place"]},
    "return": {"type": "string"}}}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "", "parameters": {"type": "object", "properties": {}}}}

CALL = {"id": "call12345", "type": "function", "function": {"name": "get_weather", "arguments": {"place": "Zürich", "days": 2, "at": None, "deep": {"a": True}, "x": 1.5}}}
CALL_TEXT = {"id": "call67890", "type": "function", "function": {"name": "get_weather", "arguments": "{\"place\": \"Oslo\"}"}}

CONVERSATIONS = [
    [{"role": "user", "content": "Hello, who are you?"}],
    [{"role": "system", "content": "  You are terse.\n"}, {"role": "user", "content": "What's 1 < 2?  "}, {"role": "assistant", "content": " True & \"yes\".\n"},
     {"role": "user", "content": "\nAnd 你好 🌍?"}],
    [{"role": "user", "content": "Weather in Zürich?"}, {"role": "assistant", "content": None, "tool_calls": [CALL]},
     {"role": "tool", "name": "get_weather", "tool_call_id": "call12345", "content": "{\"temp\": 21}"}, {"role": "user", "content": "Thanks"}],
    [{"role": "system", "content": "Use tools."}, {"role": "user", "content": "Weather?"},
     {"role": "assistant", "content": "Let me look.", "tool_calls": [CALL, CALL_TEXT]}, {"role": "tool", "tool_call_id": "call12345", "content": "21"},
     {"role": "tool", "tool_call_id": "call67890", "content": "3"}, {"role": "assistant", "content": "21 and 3."}],
    [{"role": "user", "content": "Think."}, {"role": "assistant", "reasoning_content": "Deep\nthoughts", "content": "<think>\nhm\n</think>\n\nDone."},
     {"role": "user", "content": "Again."}, {"role": "assistant", "content": "</think> odd"}, {"role": "user", "content": ""}],
    [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image", "image": "x.png"}]},
     {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]}],
    [{"role": "system", "content": "S"}, {"role": "assistant", "content": "first"}, {"role": "user", "content": "u"}, {"role": "user", "content": "u2"}],
    [{"role": "developer", "content": "D"}, {"role": "user", "content": "hi"}],
    [],
    [{"role": "user", "content": "x", "name": "Bob", "extra": {"k": [1, 2.0, True, None]}}, {"role": "assistant", "content": "", "tool_calls": []},
     {"role": "ipython", "content": {"a": 1}}],
]
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def cases():
    """(messages, tools, add_generation_prompt, further variables)"""
    for messages in CONVERSATIONS:
        for tools in (None, [WEATHER, CLOCK]):
            for prompt in (False, True):
                yield messages, tools, prompt, SPECIAL
    yield CONVERSATIONS[0], None, True, {**SPECIAL, "enable_thinking": False, "thinking": True, "reasoning_effort": "high"}
    yield CONVERSATIONS[4], [CLOCK], True, {**SPECIAL, "enable_thinking": True, "documents": [{"title": "T", "text": "x"}], "custom_tools": None}
