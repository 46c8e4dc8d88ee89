"""Every chat template of the prepared packages, rendered by us and by transformers: the same bytes, or the same error."""
import datetime
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from transformers.utils import chat_template_utils

import conversations
import packages

NOW = datetime.datetime(2026, 7, 4, 13, 5, 9)


class FixedTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def expected(template, messages, tools, prompt, more):
    try:
        return {"text": chat_template_utils.render_jinja_template([messages], tools=tools, chat_template=template, add_generation_prompt=prompt, **more)[0][0]}
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what we must say, too
        return {"error": f"{error}", "type": type(error).__name__}


def same(ours, theirs):
    if "text" in theirs:
        return ours.get("text") == theirs["text"]
    if theirs["type"] in ("TemplateSyntaxError", "TemplateAssertionError"):
        return ours.get("code") == "corrupt"
    return ours.get("error") == theirs["error"]


class Templates(unittest.TestCase):
    def test_render_as_transformers_renders_them(self):
        chat_template_utils.datetime = FixedTime
        names, sources = zip(*sorted(packages.templates().items()))
        self.assertGreater(len(names), 60, "the packages hold fewer templates than they did")
        jobs, theirs = [], []
        for index, source in enumerate(sources):
            for messages, tools, prompt, more in conversations.cases():
                theirs.append(expected(source, messages, tools, prompt, more))
                # What transformers hands to the template: reasoning under all its names, and documents even if there are none.
                seen = chat_template_utils._alias_reasoning_fields(messages)
                variables = {"messages": seen, "tools": tools, "documents": None, "add_generation_prompt": prompt, **more}
                jobs.append({"template": index, "variables": variables})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cases.json"
            path.write_text(json.dumps({"now": list(NOW.timetuple()[:6]), "templates": sources, "cases": jobs}), encoding="utf-8")
            done = subprocess.run([os.environ["RENDER_CASES"], path], capture_output=True, check=True)
        ours = [json.loads(line) for line in done.stdout.decode().splitlines()]
        self.assertEqual(len(ours), len(theirs))
        wrong = [i for i in range(len(ours)) if not same(ours[i], theirs[i])]
        errors = sum("error" in t for t in theirs)
        print(f"{len(names)} templates, {len(ours)} cases: {len(ours) - errors} rendered, {errors} errors; {len(wrong)} differ", file=sys.stderr)
        for i in wrong[:int(os.environ.get("SHOW", "10"))]:
            print(f"--- {names[jobs[i]['template']]}: case {i}\n  theirs: {theirs[i]}\n  ours:   {ours[i]}", file=sys.stderr)
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()
