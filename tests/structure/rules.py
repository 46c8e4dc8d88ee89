"""Rules about the tree itself. Each takes a Tree and returns complaints, one string each; none means it holds.

rules_test.py shows that each complains when it should; structure_test.py runs them on this tree.
"""
import os
import re
import subprocess

PRODUCTS = ("mlxbase", "mlxcache", "mlxstudio", "mlxhub", "mlxdash", "swiftmlx")
CODE = (".cpp", ".h", ".py", ".sh", ".cmake", ".swift")
# Code that only tests link: the tests themselves, and what they share.
TEST_SUFFIX = re.compile(r"(_(test|fuzz|bench|suite|fixture)|/fixture|/test_\w+)\.(cpp|h)$")


class Tree:
    def __init__(self, root, files=None):
        self.root = root
        self.files = sorted(files if files is not None else self._list())

    def _list(self):
        """Files that are tracked or could be: what git does not ignore. Without git (an unpacked archive), all but build folders."""
        asked = subprocess.run(["git", "-C", self.root, "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True, check=False)
        if asked.returncode == 0:
            names = asked.stdout.decode("utf-8", "surrogateescape").split("\0")
            return [n for n in names if n and os.path.isfile(os.path.join(self.root, n))]
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [f for f in folders if f not in (".git", "build") and not f.startswith("build-")]
            found += [os.path.relpath(os.path.join(folder, n), self.root) for n in names]
        return found

    def has(self, name):
        return name in self.files

    def read(self, name):
        with open(os.path.join(self.root, name), encoding="utf-8", errors="surrogateescape") as f:
            return f.read()

    def cpp(self):
        return [f for f in self.files if f.endswith((".cpp", ".h")) and f.split("/")[0] in PRODUCTS]


def table_rows(text, first_heading):
    """Cells of the Markdown table whose first heading is `first_heading`."""
    rows, inside = [], False
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")] if line.startswith("|") else None
        if cells is None:
            inside = False
        elif cells[0] == first_heading:
            inside = True
        elif inside and not set(cells[0]) <= set("-: "):
            rows.append(cells)
    return rows


def room_of(path):
    return "/".join(path.split("/")[:2]) if path.count("/") >= 2 else None


def read_arrows(tree):
    """(room -> set of rooms it may use, rooms that are planned, complaints)"""
    arrows, planned, wrong = {}, set(), []
    rows = table_rows(tree.read("docs/design/architecture.md"), "room")
    known = {cells[0] for cells in rows}
    for cells in rows:
        room, state = cells[0], cells[2] if len(cells) > 2 else ""
        uses = set()
        for name in filter(None, (n.strip() for n in cells[1].split(","))):
            face = re.fullmatch(r"(\w+)'s face", name)
            if face:
                uses.add(f"{face[1]}/{face[1]}.h")
                continue
            own, floor = f"{room.split('/')[0]}/{name}", f"mlxbase/{name}"
            target = own if own in known else floor
            if target not in known:
                wrong.append(f"architecture.md: {room} uses '{name}', which is no room of the table")
            uses.add(target)
        arrows[room] = uses
        if state == "planned":
            planned.add(room)
    return arrows, planned, wrong


def closure(arrows, room):
    seen, todo = set(), [room]
    while todo:
        for other in arrows.get(todo.pop(), ()):
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


def layers(tree):
    """Every include of one of our rooms is an arrow of docs/design/architecture.md; the arrows have no circle."""
    arrows, planned, wrong = read_arrows(tree)
    wrong += [f"architecture.md: {room} leads back to itself" for room in arrows if room in closure(arrows, room)]
    rooms = {room_of(f) for f in tree.cpp()} - {None}
    wrong += [f"architecture.md: no row for {room}" for room in rooms - set(arrows)]
    wrong += [f"architecture.md: {room} is built, so it is not planned" for room in rooms & planned]
    for name in tree.cpp():
        room = room_of(name)
        if room not in arrows:
            continue
        allowed = {room} | arrows[room]
        if TEST_SUFFIX.search(name):
            allowed |= closure(arrows, room) | {"mlxbase/testing", "mlxcache/sample"}
            allowed |= closure(arrows, "mlxcache/sample")
        for number, line in enumerate(tree.read(name).splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found:
                continue
            face = re.fullmatch(r"(\w+)/\1\.h", found[1])  # a product's public face: its own tests may hold it to its word
            if face and (found[1] in allowed or face[1] == room.split("/")[0] and TEST_SUFFIX.search(name)):
                continue
            target = room_of(found[1])
            if target is None or target.split("/")[0] not in PRODUCTS:
                wrong.append(f'{name}:{number}: includes "{found[1]}": write the path from the root, room and all')
            elif TEST_SUFFIX.search(found[1]) and not TEST_SUFFIX.search(name):
                wrong.append(f"{name}:{number}: {found[1]} is for tests only")
            elif target not in allowed:
                wrong.append(f"{name}:{number}: {room} may not use {target}")
    return wrong


def libraries(tree):
    """A third-party header is included only where docs/design/dependencies.md says."""
    wrong, owners = [], []
    for cells in table_rows(tree.read("docs/design/dependencies.md"), "library"):
        where = [w.strip() for w in cells[2].split(",")]
        owners += [(h.strip(), where) for h in cells[1].split(",")]
    for name in tree.cpp():
        for number, line in enumerate(tree.read(name).splitlines(), 1):
            found = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
            if not found:
                continue
            for header, where in owners:
                if not (found[1] == header or header.endswith("/") and found[1].startswith(header)):
                    continue
                test = bool(TEST_SUFFIX.search(name)) or room_of(name) == "mlxbase/testing"
                if "every room" in where or room_of(name) in where or ("tests" in where and test) or ("benchmarks" in where and test):
                    continue
                wrong.append(f"{name}:{number}: <{found[1]}> belongs to {', '.join(where)} (docs/design/dependencies.md)")
    return wrong


def one_platform_seam(tree):
    """What depends on the operating system, or touches the disk, is in mlxbase/os."""
    wrong = []
    platform = re.compile(r"\b(__APPLE__|__MACH__|__linux__|__gnu_linux__|TARGET_OS_\w+|_WIN32)\b")
    kernel = re.compile(r"#\s*include\s+<(linux/|mach/|libproc\.h|sys/(statfs|xattr|inotify|sendfile|event|attr|clonefile)\.h)")
    disk = re.compile(r"#\s*include\s+<(filesystem|fstream|dirent\.h|fcntl\.h|sys/stat\.h|sys/file\.h)>")
    for name in tree.cpp():
        if room_of(name) == "mlxbase/os":
            continue
        for number, line in enumerate(tree.read(name).splitlines(), 1):
            if platform.search(line.split("//")[0]):
                wrong.append(f"{name}:{number}: asks which platform this is; that belongs in mlxbase/os")
            if kernel.search(line):
                wrong.append(f"{name}:{number}: a header of one kernel; that belongs in mlxbase/os")
            if disk.search(line) and not TEST_SUFFIX.search(name) and room_of(name) != "mlxbase/testing":
                wrong.append(f"{name}:{number}: reaches the disk past os::FileSystem, so tests cannot make it fail")
    return wrong


def no_try_in_braces(tree):
    """Leaving a braced initialiser early by TRY leaks, with GCC, the members that were made already."""
    wrong = []
    in_braces = re.compile(r"(?:^|[\s{,(])\.\w+ = TRY\(|\b[A-Z]\w*\{[^}]*\bTRY\(")
    for name in tree.cpp():
        for number, line in enumerate(tree.read(name).splitlines(), 1):
            if in_braces.search(line.split("//")[0]):
                wrong.append(f"{name}:{number}: TRY inside a braced initialiser; give it a line of its own")
    return wrong


def hacking_map(tree):
    """HACKING.md's map names every folder that holds code, and no other."""
    listed = {cells[0].strip("`").rstrip("/") for cells in table_rows(tree.read("HACKING.md"), "folder")}
    there = {os.path.dirname(f) for f in tree.files if (f.endswith(CODE) or f.endswith("CMakeLists.txt")) and "/corpus/" not in f} - {""}
    # A folder that only gathers its children is named by them.
    gathers = {d for d in there if not any(os.path.dirname(f) == d and f.endswith(CODE) for f in tree.files)}
    wrong = [f"HACKING.md: its map does not name {d}/" for d in sorted(there - gathers - listed)]
    wrong += [f"HACKING.md: its map names {d}/, which holds no code" for d in sorted(listed - there)]
    return wrong


RUNNERS = {"ubuntu-24.04", "ubuntu-24.04-arm", "macos-14", "macos-15"}
ACTIONS = re.compile(r"actions/(checkout|cache)@v\d+$")


def workflows(tree):
    """The three workflows parse, run on known machines, and every step is ./dev, so that they cannot drift from .ci/run."""
    import yaml  # PyYAML; `./dev test` puts it into its virtual environment

    wrong = []
    commands = set(re.findall(r"^dev_(\w+)\(\)", tree.read("dev"), re.M))
    for product in ("mlxcache", "mlxdash", "swiftmlx"):
        if not tree.has(f".github/workflows/{product}-ci.yml"):
            wrong.append(f".github/workflows/{product}-ci.yml is missing")
    for name in [f for f in tree.files if f.startswith(".github/workflows/")]:
        try:
            flow = yaml.safe_load(tree.read(name))
        except yaml.YAMLError as error:
            wrong.append(f"{name}: not YAML: {error}")
            continue
        if not isinstance(flow, dict) or not {"name", True, "jobs"} <= set(flow):  # YAML 1.1 reads the key `on` as true
            wrong.append(f"{name}: name, on and jobs are needed")
            continue
        if flow.get("permissions") != {"contents": "read"}:
            wrong.append(f"{name}: permissions must be contents: read")
        for job, body in flow["jobs"].items():
            matrix = (body.get("strategy") or {}).get("matrix") or {}
            runner = str(body.get("runs-on", ""))
            found = re.fullmatch(r"\$\{\{ matrix\.(\w+) \}\}", runner)
            for machine in matrix.get(found[1], [""]) if found else [runner]:
                if machine not in RUNNERS:
                    wrong.append(f"{name}: {job} runs on unknown '{machine}'")
            for step in body.get("steps") or [{}]:
                if "uses" in step and "run" not in step:
                    if not ACTIONS.match(step["uses"]):
                        wrong.append(f"{name}: {job} uses {step['uses']}")
                    continue
                line = str(step.get("run", ""))
                call = re.fullmatch(r"\./dev (\w+)( [\w|:'^ -]+)?", line)
                if not call:
                    wrong.append(f"{name}: {job}: a step is not a call of ./dev: {line!r}")
                elif call[1] not in commands:
                    wrong.append(f"{name}: {job}: ./dev has no command {call[1]}")
    return wrong


def nothing_of_one_machine(tree):
    """No file names a package registry's host or a folder of the machine it was written on."""
    hosts = ["pypi" + r"\.org", "python" + r"hosted\.org", "crates" + r"\.io", "registry" + r"\.npmjs", "proxy" + r"\.golang", "sum" + r"\.golang",
             "deb" + r"\.debian", "maven" + r"\.org"]
    private = re.compile("|".join(hosts) + r"|(?<![\w.}~-])/(" + "work/main|work/shared|root/|tmp/w/" + ")")
    wrong = []
    for name in tree.files:
        for number, line in enumerate(tree.read(name).splitlines(), 1):
            found = private.search(line)
            if found:
                wrong.append(f"{name}:{number}: '{found[0]}'")
    return wrong


ALL = (layers, libraries, one_platform_seam, no_try_in_braces, hacking_map, workflows, nothing_of_one_machine)
