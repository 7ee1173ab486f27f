"""Groups of processes whose limits the kernel keeps (cgroup version 2), where they can be had.

The watcher in `grading.warm` adds a submission's processes up twenty times a second. The kernel can
do it for every page, but only for a program that has been given a group to manage. `find` looks
whether this one has; if so, each process that student code or test cells run in gets a group of
its own, with all that it starts:

* ``memory.max``, no swap, and ``memory.oom.group``: who wants more is ended, all of it at once;
* ``pids.max``: a fork bomb fails at its own limit;
* ``cgroup.kill``: nothing survives the end.

The student's process and the checker have a group each, because the checker must survive what the
student's process does. Of the processes in front of them (`grading.warm`) only the last is put in,
by itself, before the first line of foreign code: the keeper has to live to tell how it ended. It
joins through a descriptor of ``cgroup.procs`` that this side opened. The kernel asks whether the
one who *opened* may move processes there (Linux 5.16, and corrected older ones), so the sandbox
needs no right of its own, and numbers of processes need not be translated between namespaces.

A group with limits for its children may hold no process itself, unless it is the machine's root.
So what is in the group that was given, this program included, moves into a leaf below it.

Nothing here is needed to grade. What cannot be found, made or written leaves everything to the
watcher, as on a machine without groups, and the manifest says why (`facts`). A group is named
after the process that made it and that process's start time: what a killed run left is removed by
the next one (`sweep`), and nobody else's is touched.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grading.sandbox import Limits

LEAF = "cnnlib-grading"
CONTROLLERS = ("memory", "pids")
# What the kernel counts and the watcher does not: pages of the warm parent that are copied when
# they are written to, page tables, buffers. The limits must come to the same for honest work.
OVERHEAD_BYTES = 512 * 1024 * 1024
_MAY_BE_MISSING = frozenset(["memory.swap.max"])  # a kernel without swap has none
_NAME = re.compile(rf"{LEAF}\.(?P<space>\d+)\.(?P<pid>\d+)\.(?P<start>\d+)\.\d+")
_DELEGATED = ("user.delegate", "trusted.delegate")  # systemd's mark for Delegate=yes
_ROUNDS = 20
_EMPTY_SECONDS = 2.0
_LOOK_SECONDS = 0.005
_numbers = itertools.count(1)
_lock = threading.Lock()
_here: Groups | None = None


class CgroupError(RuntimeError):
    """There are no groups for this program; the message says why."""


# --- which group has been given -------------------------------------------------------------------


@dataclass(frozen=True)
class _Mount:
    """One place where a hierarchy of version 2 is mounted.

    Attributes:
        root: The group that is seen there, as a path from the namespace's root.
        point: The folder where it is seen.
        read_only: Whether nothing there can be changed.
    """

    root: str
    point: Path
    read_only: bool


def find(proc: Path = Path("/proc")) -> Path:
    """The folder of the group that this process has been given to manage.

    Given is: what systemd has marked (``Delegate=yes``); the root of a namespace of groups, as in
    a container, or of the machine; and a group that belongs to this user while the one above does
    not. A group that can be written to and is none of these, such as the session that root or a
    desktop's user is logged in to, has another manager.

    Args:
        proc: Where to read about this process.

    Raises:
        CgroupError: There is none.
    """
    path, folder = _place(proc)
    _require_domain(folder)
    missing = [name for name in CONTROLLERS if name not in _words(folder / "cgroup.controllers")]
    if missing:
        raise CgroupError(
            f"the group of this program has no controller {' and '.join(missing)} (the kernel or "
            "the group above does not give it, or version 1 has it)"
        )
    if path != "/" and not _marked(folder) and not _handed_over(folder):
        user = "--user " if os.geteuid() else ""
        raise CgroupError(
            f"the group {path} was not given to this program; with systemd, start it with "
            f"systemd-run {user}--scope -p Delegate=yes"
        )
    for name in ("cgroup.max.depth", "cgroup.max.descendants"):
        if _words(folder / name) == ["0"]:
            raise CgroupError(f"{name} of the group {path} allows no groups below it")
    for place in (folder, folder / "cgroup.procs", folder / "cgroup.subtree_control"):
        if not os.access(place, os.W_OK):
            raise CgroupError(f"the group {path} cannot be changed by this user")
    return folder


def _place(proc: Path) -> tuple[str, Path]:
    """The group that this process is in, or whose leaf it is in, and that group's folder."""
    path = _own_path(proc)
    mount = _covering(path, _mounts(proc))
    if mount.read_only:
        raise CgroupError(f"control groups are mounted read-only at {mount.point}")
    steps = [name for name in path.removeprefix(mount.root).split("/") if name]
    if steps and steps[-1] == LEAF:  # an earlier run moved us, or who started us, there
        steps.pop()
        path = path.rpartition("/")[0] or "/"
    return path, mount.point.joinpath(*steps)


def _own_path(proc: Path) -> str:
    """The group of this process in the hierarchy of version 2, from the namespace's root."""
    try:
        lines = _lines(proc / "self/cgroup")
    except OSError as error:
        raise CgroupError("this system has no control groups") from error
    for line in lines:
        if line.startswith("0::/"):
            path = line.removeprefix("0::")
            if path.startswith("/..") or path.endswith(" (deleted)"):
                raise CgroupError(f"the group {path} of this program cannot be reached from here")
            return path
    raise CgroupError("this system has control groups of version 1 only")


def _mounts(proc: Path) -> list[_Mount]:
    """The hierarchy of version 2 where it is mounted, the latest first; see proc(5)."""
    found = []
    for line in _lines(proc / "self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if kind[0] == "cgroup2":
            options = {*fields[5].split(","), *kind[-1].split(",")}
            point = Path(_unescape(fields[4]))
            found.append(_Mount(_unescape(fields[3]), point, "ro" in options))
    return found[::-1]


def _unescape(text: str) -> str:
    r"""A path of mountinfo, which has \040 for a space."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _covering(path: str, mounts: list[_Mount]) -> _Mount:
    for mount in mounts:
        if mount.root == "/" or path == mount.root or path.startswith(f"{mount.root}/"):
            return mount
    if mounts:
        raise CgroupError(f"the group {path} of this program is not mounted anywhere")
    raise CgroupError("no control groups of version 2 are mounted")


def _require_domain(folder: Path) -> None:
    if not (folder / "cgroup.controllers").is_file():
        raise CgroupError(f"{folder} is not a control group of version 2")
    kind = " ".join(_words(folder / "cgroup.type"))
    if kind not in ("", "domain"):  # the machine's root has no type
        raise CgroupError(f"the group of this program is {kind}: the kernel limits no memory there")


def _marked(folder: Path) -> bool:
    for name in _DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _handed_over(folder: Path) -> bool:
    """Whether somebody made the group and gave it to this user, as the kernel's guide describes."""
    user = os.geteuid()
    parts = (folder, folder / "cgroup.procs", folder / "cgroup.subtree_control")
    try:
        ours = all(_owner(part) == user for part in parts)
        return user != 0 and ours and _owner(folder.parent) != user
    except OSError:
        return False


def _owner(path: Path) -> int:
    return path.stat().st_uid


# --- making it ready ------------------------------------------------------------------------------


def take(folder: Path) -> None:
    """Have the kernel keep limits for the groups below this one.

    Raises:
        CgroupError: Something is in the way.
        OSError: The kernel refuses.
    """
    enabled = _words(folder / "cgroup.subtree_control")
    missing = [name for name in CONTROLLERS if name not in enabled]
    if not missing:
        return
    if (folder / "cgroup.type").exists():  # the machine's root may keep its processes
        _empty_into_leaf(folder)
    _write(folder / "cgroup.subtree_control", " ".join(f"+{name}" for name in missing))


def _empty_into_leaf(folder: Path) -> None:
    """Move every process of the group into a leaf below it; several programs may do so at once."""
    leaf = folder / LEAF
    with contextlib.suppress(FileExistsError):
        _make(leaf)
    for _ in range(_ROUNDS):
        numbers = _words(folder / "cgroup.procs")
        if not numbers:
            return
        if "0" in numbers:  # how the kernel shows those that this namespace does not
            raise CgroupError("processes that cannot be seen from here share the group")
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                _write(leaf / "cgroup.procs", number)
    raise CgroupError("the group cannot be emptied: new processes keep starting in it")


def sweep(folder: Path, proc: Path = Path("/proc")) -> list[str]:
    """Remove the groups of programs that have ended; returns their names.

    A program is known by its number, its start time and the namespace that the number belongs to,
    so a group whose maker may be alive, here or where we cannot see it, stays. So does another
    user's.
    """
    space = _namespace(proc)
    removed = []
    for name in sorted(os.listdir(folder)):
        match = _NAME.fullmatch(name)
        if match is None or match["space"] != space or _owner(folder / name) != os.geteuid():
            continue
        if _start_time(proc, match["pid"]) != match["start"] and _end(folder / name):
            removed.append(name)
    return removed


def _namespace(proc: Path) -> str:
    return re.sub(r"\D", "", os.readlink(proc / "self/ns/pid"))


def _start_time(proc: Path, pid: str) -> str | None:
    """When a process started, in the kernel's ticks; None if there is no such process."""
    try:
        text = (proc / pid / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(b")")[2].split()[19].decode()


# --- groups ---------------------------------------------------------------------------------------


class Group:
    """The group of one process and of everything that it will start."""

    def __init__(self, folder: Path, limits: dict[str, int]) -> None:
        """Make it, write its limits, and open the way in.

        Args:
            folder: A folder that does not exist yet.
            limits: What to write, by the name of the file.

        Raises:
            OSError: The kernel refuses; nothing is left then.
        """
        self.folder = folder
        self.written: dict[str, int] = {}
        _make(folder)
        try:
            for name, value in limits.items():
                if name not in _MAY_BE_MISSING or (folder / name).exists():
                    _write(folder / name, str(value))
                    self.written[name] = value
            # The descriptor that the process itself will write to, see the module's docstring.
            self.entrance = os.open(folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            _end(folder)
            raise

    def close_entrance(self) -> None:
        """Close our copy of the way in, once it has been passed on."""
        if self.entrance >= 0:
            os.close(self.entrance)
            self.entrance = -1

    def memory_ran_out(self) -> bool:
        """Whether the kernel ended processes of the group for want of memory."""
        try:
            words = _words(self.folder / "memory.events")
        except OSError:
            return False
        counts = dict(zip(words[::2], words[1::2], strict=False))
        return counts.get("oom_kill", "0") != "0"

    def end(self) -> bool:
        """End whatever is in it and remove it; False if it had to be left for a later sweep."""
        self.close_entrance()
        return _end(self.folder)


def _kill(folder: Path) -> None:
    # Kernels before 5.14 have no such file; what holds processes there is left to the keeper.
    with contextlib.suppress(OSError):
        if (folder / "cgroup.kill").exists():
            _write(folder / "cgroup.kill", "1")


def _end(folder: Path) -> bool:
    """Remove a group, what is in it being killed first; says whether it is gone."""
    end = None
    while True:
        try:
            _remove(folder)
        except OSError as error:
            now = time.monotonic()
            if error.errno != errno.EBUSY or now > (end or now):
                return not folder.exists()
            end = end or now + _EMPTY_SECONDS
        else:
            return True
        _kill(folder)
        time.sleep(_LOOK_SECONDS)


def limits_of(limits: Limits) -> dict[str, int]:
    """What is written into the files of a group.

    Args:
        limits: What one process and all it starts may use.

    Returns:
        By the file's name. Files in the two private folders are memory to the kernel, so the
        group may have what `Limits` allow for processes and for files together.
    """
    memory = limits.memory_bytes + 2 * limits.disk_bytes + OVERHEAD_BYTES
    return {
        "memory.max": memory,
        "memory.swap.max": 0,
        "memory.oom.group": 1,
        "pids.max": limits.processes,
    }


class Groups:
    """The groups that this program makes, or why it makes none.

    Attributes:
        folder: Where they are made; None if there are none.
        missing: Why there are none.
        written: The limits of the last one.
    """

    def __init__(self, folder: Path | None, missing: str = "") -> None:
        self.folder = folder
        self.missing = missing
        self.written: dict[str, int] = {}

    def make(self, limits: Limits) -> Group | None:
        """A new group; None if there are none, also from now on."""
        if self.folder is None:
            return None
        try:
            own = f"{_namespace(Path('/proc'))}.{os.getpid()}.{_start_time(Path('/proc'), 'self')}"
            name = f"{LEAF}.{own}.{next(_numbers)}"
            group = Group(self.folder / name, limits_of(limits))
        except OSError as error:
            self.give_up(f"a group could not be made: {error}")
            return None
        self.written = group.written
        return group

    def sweep(self) -> None:
        """Remove what programs that have ended left here, such as workers that were killed."""
        if self.folder is not None:
            with contextlib.suppress(OSError):  # the next run tries again
                sweep(self.folder)

    def give_up(self, reason: str) -> None:
        """Make no more: the watcher alone is better than groups of which one knows too little."""
        self.folder = None
        self.missing = reason

    def facts(self) -> dict[str, Any]:
        """For the manifest: the limits that the kernel keeps, or why it keeps none."""
        if self.folder is None:
            return {"cgroup": None, "cgroup_missing": self.missing}
        return {"cgroup": self.written}


def here() -> Groups:
    """The groups of this program, found and made ready when it first asks."""
    global _here
    with _lock:
        if _here is None:
            try:
                folder = find()
                take(folder)
                sweep(folder)
                _here = Groups(folder)
            except (CgroupError, OSError) as error:
                _here = Groups(None, str(error))
        return _here


def facts() -> dict[str, Any]:
    """As `Groups.facts`, without making anything ready."""
    return (_here or Groups(None, "no sandbox was started by this program")).facts()


# --- the kernel's files ---------------------------------------------------------------------------


def _lines(path: Path) -> list[str]:
    # Names of groups and folders are bytes; few of them are not UTF-8, and none may stop us.
    return path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except FileNotFoundError:
        return []


def _write(path: Path, text: str) -> None:
    # Never with O_CREAT: a file that the kernel has not made must stay missing.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _make(folder: Path) -> None:
    folder.mkdir()


def _remove(folder: Path) -> None:
    folder.rmdir()
