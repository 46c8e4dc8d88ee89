"""What lies below some folders, as values that can be compared: bytes, inode, mode, owner, times, attributes."""
import hashlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Name:
    kind: str            # "file", "link", "folder", "other"
    sha256: str = ""     # of a file
    text: str = ""       # of a link
    inode: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    attributes: tuple = ()  # (name, value), ACLs among them

    def bytes_only(self):
        return Name(self.kind, self.sha256, self.text, size=self.size)

    def without_inode(self):
        return replace(self, inode=0)


def sha256_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _attributes(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()
    return tuple(sorted((name, os.getxattr(path, name, follow_symlinks=False)) for name in names))


def name_at(path):
    info = os.lstat(path)
    common = dict(inode=info.st_ino, mode=stat.S_IMODE(info.st_mode), uid=info.st_uid, gid=info.st_gid, mtime_ns=info.st_mtime_ns)
    if stat.S_ISLNK(info.st_mode):
        return Name("link", text=os.readlink(path), **common)
    if stat.S_ISDIR(info.st_mode):
        return Name("folder", inode=info.st_ino, mode=common["mode"], uid=info.st_uid, gid=info.st_gid)
    if not stat.S_ISREG(info.st_mode):
        return Name("other", **common)
    return Name("file", sha256=sha256_of(path), size=info.st_size, attributes=_attributes(path), **common)


def snapshot(*roots):
    """{path: Name} of everything below `roots`, lock files and the hub's .locks left out (who takes a lock makes its file, and it stays)."""
    found = {}
    for root in roots:
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if name != ".locks"]
            for name in [*files, *(f for f in folders if os.path.islink(os.path.join(folder, f)))]:
                path = os.path.join(folder, name)
                if not path.endswith((".lock", ".lock.soft")):
                    found[path] = name_at(path)
            folders[:] = [f for f in folders if not os.path.islink(os.path.join(folder, f))]
            for name in folders:
                found[os.path.join(folder, name)] = name_at(os.path.join(folder, name))
    return found


def files_below_quick(*roots):
    """Paths of regular files, unread."""
    return [path for root in roots for folder, _, files in os.walk(root) for path in (os.path.join(folder, name) for name in files)
            if stat.S_ISREG(os.lstat(path).st_mode)]


def files_below(*roots):
    return [path for path, name in sorted(snapshot(*roots).items()) if name.kind == "file"]


def differences(before, after, view=lambda name: name, ignore=lambda path: False):
    """Readable lines, one for each path that is not the same; empty when all is well."""
    lines = []
    for path in sorted(set(before) | set(after)):
        if ignore(path):
            continue
        old, new = before.get(path), after.get(path)
        if old is None:
            lines.append(f"appeared: {path}")
        elif new is None:
            lines.append(f"vanished: {path}")
        elif old.kind != "folder" or new.kind != "folder":
            if view(old) != view(new):
                lines.append(f"changed: {path}\n  before {view(old)}\n  after  {view(new)}")
    return lines


def write(path, data, mode=0o644, mtime=None):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return path
