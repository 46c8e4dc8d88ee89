#!/usr/bin/env python3
"""Each rule complains about a small tree that breaks it, and keeps quiet about one that does not."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rules  # noqa: E402

ARCHITECTURE = """
| room | may use | state |
|---|---|---|
| mlxbase/core | | |
| mlxbase/os | core | |
| mlxbase/testing | core, os | |
| mlxcache/catalog | core | |
| mlxcache/sample | catalog, core | |
| mlxcache/scan | catalog, core, os | |
| mlxcache/vault | catalog | planned |
"""
DEPENDENCIES = """
| library | header | included by | licence |
|---|---|---|---|
| {fmt} | fmt/ | every room | MIT |
| SQLite | sqlite3.h | mlxbase/sql | public domain |
| GoogleTest | gtest/, gmock/ | tests | BSD |
"""
WORKFLOW = """
name: x
on: [push]
permissions: {contents: read}
jobs:
  all:
    strategy: {matrix: {runner: [ubuntu-24.04, macos-15]}}
    runs-on: ${{ matrix.runner }}
    steps:
      - uses: actions/checkout@v4
      - run: ./dev test
"""
DEV = "dev_test() {\n}\n"


class Rules(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def complaints(self, rule, **files):
        files = {name: text for name, text in files.get("files", {}).items()}
        for name, text in files.items():
            path = os.path.join(self.folder.name, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        return rule(rules.Tree(self.folder.name, list(files)))

    def includes(self, name, *lines, architecture=ARCHITECTURE):
        return self.complaints(rules.layers, files={"docs/design/architecture.md": architecture, name: "\n".join(lines)})

    def expect(self, wrong, *parts):
        self.assertEqual(len(wrong), 1, wrong)
        for part in parts:
            self.assertIn(part, wrong[0])

    def test_an_arrow_of_the_table_is_fine(self):
        self.assertEqual(self.includes("mlxcache/scan/a.cpp", '#include "mlxbase/os/f.h"', '#include "mlxcache/scan/a.h"'), [])

    def test_an_arrow_that_is_not_in_the_table_is_named_with_its_line(self):
        self.expect(self.includes("mlxbase/core/a.cpp", "", '#include "mlxbase/os/f.h"'), "mlxbase/core/a.cpp:2", "may not use mlxbase/os")

    def test_arrows_do_not_reach_through_other_rooms(self):
        self.expect(self.includes("mlxcache/sample/a.cpp", '#include "mlxbase/os/f.h"'), "may not use mlxbase/os")

    def test_a_product_may_include_anothers_face_where_the_table_says_so_and_no_more(self):
        table = ARCHITECTURE + "| mlxdash/collect | core, mlxcache's face | |\n| mlxdash/view | core | |\n"
        self.assertEqual(self.includes("mlxdash/collect/a.cpp", '#include "mlxcache/mlxcache.h"', architecture=table), [])
        self.expect(self.includes("mlxdash/collect/a.cpp", '#include "mlxcache/scan/s.h"', architecture=table), "may not use mlxcache/scan")
        self.expect(self.includes("mlxdash/view/a.cpp", '#include "mlxcache/mlxcache.h"', architecture=table), "mlxcache.h")

    def test_an_include_relative_to_its_folder_is_refused(self):
        self.expect(self.includes("mlxcache/scan/a.cpp", '#include "a.h"'), "path from the root")

    def test_product_code_may_not_use_what_is_for_tests(self):
        self.expect(self.includes("mlxcache/scan/a.cpp", '#include "mlxbase/testing/m.h"'), "may not use mlxbase/testing")
        self.assertEqual(self.includes("mlxcache/scan/a_test.cpp", '#include "mlxbase/testing/m.h"'), [])

    def test_what_tests_share_may_use_what_tests_may_and_is_for_them_alone(self):
        self.assertEqual(self.includes("mlxcache/scan/test_home.h", '#include "mlxbase/testing/m.h"'), [])
        self.expect(self.includes("mlxcache/scan/a.cpp", '#include "mlxcache/scan/test_home.h"'), "for tests only")

    def test_a_test_may_not_reach_above_its_room(self):
        self.expect(self.includes("mlxcache/catalog/a_test.cpp", '#include "mlxcache/scan/s.h"'), "may not use mlxcache/scan")

    def test_a_room_without_a_row_is_named(self):
        self.expect(self.includes("mlxcache/attic/a.cpp", ""), "no row for mlxcache/attic")

    def test_a_planned_room_that_exists_is_no_longer_planned(self):
        self.expect(self.includes("mlxcache/vault/a.cpp", ""), "mlxcache/vault is built")

    def test_a_circle_in_the_table_is_found(self):
        wrong = self.includes("mlxbase/core/a.cpp", "", architecture=ARCHITECTURE.replace("mlxbase/core | |", "mlxbase/core | os |"))
        self.assertTrue(any("mlxbase/core leads back to itself" in w for w in wrong), wrong)

    def test_a_name_that_is_no_room_is_found(self):
        self.expect(self.includes("mlxbase/core/a.cpp", "", architecture=ARCHITECTURE.replace("| core, os, ", "| core, oss, ").replace(
            "mlxcache/scan | catalog, core, os", "mlxcache/scan | catalog, core, oss")), "'oss'")

    def third_party(self, name, line):
        return self.complaints(rules.libraries, files={"docs/design/dependencies.md": DEPENDENCIES, name: line})

    def test_a_library_belongs_to_its_room(self):
        self.expect(self.third_party("mlxcache/scan/a.cpp", "#include <sqlite3.h>"), "belongs to mlxbase/sql")
        self.assertEqual(self.third_party("mlxbase/sql/a.cpp", "#include <sqlite3.h>"), [])
        self.assertEqual(self.third_party("mlxcache/scan/a.cpp", "#include <fmt/format.h>"), [])

    def test_test_libraries_stay_in_tests(self):
        self.expect(self.third_party("mlxcache/scan/a.cpp", "#include <gtest/gtest.h>"), "belongs to tests")
        self.assertEqual(self.third_party("mlxcache/scan/a_test.cpp", "#include <gtest/gtest.h>"), [])

    def seam(self, name, line):
        return self.complaints(rules.one_platform_seam, files={name: line})

    def test_only_the_platform_seam_asks_for_the_platform(self):
        self.expect(self.seam("mlxcache/scan/a.cpp", "#ifdef __APPLE__"), "which platform")
        self.expect(self.seam("mlxcache/scan/a.cpp", "#if defined(__linux__)"), "which platform")
        self.assertEqual(self.seam("mlxbase/os/a.cpp", "#ifdef __APPLE__"), [])
        self.assertEqual(self.seam("mlxcache/scan/a.cpp", "// no __APPLE__ here"), [])

    def test_only_the_platform_seam_touches_the_disk(self):
        self.expect(self.seam("mlxcache/scan/a.cpp", "#include <fstream>"), "past os::FileSystem")
        self.expect(self.seam("mlxcache/scan/a.cpp", "#include <linux/fs.h>"), "one kernel")
        self.assertEqual(self.seam("mlxcache/scan/a_test.cpp", "#include <fstream>"), [])

    def map(self, text, *more):
        return self.complaints(rules.hacking_map, files={"HACKING.md": "| folder | what |\n|---|---|\n" + text, "a/b/x.cpp": "", **dict.fromkeys(more, "")})

    def test_try_has_a_line_of_its_own(self):
        for line in ("  x = {.a = 1, .b = TRY(read())};", "  return Twin{1, TRY(read())};", "      .select = TRY(prepare()),"):
            self.assertEqual(1, len(self.complaints(rules.no_try_in_braces, files={"mlxbase/core/a.cpp": line})), line)
        for line in ("  auto b = TRY(read());", "  if (x) { TRY(read()); }", "  work.select = TRY(prepare());"):
            self.assertEqual([], self.complaints(rules.no_try_in_braces, files={"mlxbase/core/a.cpp": line}), line)

    def test_the_map_names_every_folder_with_code(self):
        self.assertEqual(self.map("| `a/b/` | x |"), [])
        self.expect(self.map(""), "does not name a/b/")

    def test_the_map_names_no_folder_that_is_gone(self):
        self.expect(self.map("| `a/b/` | x |\n| `a/c/` | x |"), "names a/c/")

    def flow(self, text, **other):
        files = {f".github/workflows/{p}-ci.yml": WORKFLOW for p in ("mlxcache", "mlxdash", "swiftmlx")}
        files[".github/workflows/mlxcache-ci.yml"] = text
        if text is None:
            del files[".github/workflows/mlxcache-ci.yml"]
        return self.complaints(rules.workflows, files={**files, "dev": DEV, **other})

    def test_workflows_that_only_call_dev_are_fine(self):
        self.assertEqual(self.flow(WORKFLOW), [])

    def test_every_workflow_is_there(self):
        self.expect(self.flow(None), "mlxcache-ci.yml is missing")

    def test_a_step_of_its_own_is_refused(self):
        self.expect(self.flow(WORKFLOW.replace("./dev test", "make test")), "not a call of ./dev")
        self.expect(self.flow(WORKFLOW.replace("./dev test", "./dev test && curl x")), "not a call of ./dev")
        self.expect(self.flow(WORKFLOW.replace("./dev test", "./dev tset")), "no command tset")

    def test_unknown_actions_runners_and_rights_are_refused(self):
        self.expect(self.flow(WORKFLOW.replace("actions/checkout@v4", "someone/else@v4")), "uses someone/else")
        self.expect(self.flow(WORKFLOW.replace("macos-15", "macos-5")), "unknown 'macos-5'")
        self.expect(self.flow(WORKFLOW.replace("read", "write")), "permissions")

    def test_a_workflow_that_is_not_yaml_is_refused(self):
        self.expect(self.flow("a: [1"), "not YAML")

    def test_registry_hosts_and_machine_folders_are_found(self):
        for text in ("see https://pypi" + ".org/x", "cd /work" + "/main/build", "HOME=/root" + "/.cache"):
            self.expect(self.complaints(rules.nothing_of_one_machine, files={"docs/x.md": text}), "docs/x.md:1")
        self.assertEqual(self.complaints(rules.nothing_of_one_machine, files={"docs/x.md": "https://huggingface.co ~/root/ /home/user/work"}), [])


if __name__ == "__main__":
    unittest.main()
