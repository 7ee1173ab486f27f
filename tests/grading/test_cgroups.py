"""Groups limited by the kernel: who is given one, what is written, and how a group lives and ends.

Most tests run on a model of the kernel's files: ordinary folders that move processes, refuse and
forbid as the kernel's guide (Documentation/admin-guide/cgroup-v2.rst) says. Taking a group over and
the life of one are tried on the real thing wherever a test can make one, with whatever controller
there is. Only the last test needs the one for memory.
"""

import errno
import json
import mmap
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import FULL, outcome

from grading import cgroups, results, sandbox, warm
from grading.sandbox import Limits, Session, WarmParent

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 2**20
SMALL = Limits(memory_bytes=64 * MEBIBYTE, disk_bytes=MEBIBYTE, processes=20)
SCOPE = "/user.slice/user-1000.slice/run-r7.scope"
OTHER = "4026531999"  # a namespace of process numbers that is not ours
LIMIT_FILES = {
    "memory": ("memory.max", "memory.swap.max", "memory.oom.group", "memory.events"),
    "pids": ("pids.max",),
}


class Tree:
    """A model of one hierarchy and of what /proc says about this process."""

    def __init__(self, folder, monkeypatch):
        self.proc = folder / "proc"
        self.mount = folder / "control groups"  # with a space, as mountinfo would write it
        self.failing = {}  # name of a file (or "mkdir", "rmdir") to the error it gives
        self.writes = []
        (self.proc / "self/ns").mkdir(parents=True)
        (self.proc / "self/ns/pid").symlink_to(f"pid:[{self.space}]")
        self.add(self.mount, "memory pids cpu")
        (self.mount / "cgroup.type").unlink()  # the machine's root has none
        for name in ("write", "make", "remove"):
            monkeypatch.setattr(cgroups, f"_{name}", getattr(self, name))
        monkeypatch.setattr(cgroups, "_here", None)
        monkeypatch.setattr(cgroups, "_EMPTY_SECONDS", 0.0)

    space = re.sub(r"\D", "", os.readlink("/proc/self/ns/pid")) if os.path.exists("/proc") else "1"

    def own(self, path, *, root="/", options="rw", controllers="memory pids cpu", processes="77"):
        """Put this process into a group; returns its folder."""
        escaped = str(self.mount).replace(" ", r"\040")
        (self.proc / "self/mountinfo").write_text(
            "25 1 0:22 / /sys rw - sysfs sysfs rw\n"
            f"31 25 0:27 {root} {escaped} {options},nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
        )
        (self.proc / "self/cgroup").write_text(f"9:name=systemd:/x\n0::{path}\n")
        folder = self.mount / path.removeprefix(root).lstrip("/")
        for one in [*reversed(folder.relative_to(self.mount).parents), "."][1:]:
            if not (self.mount / one).exists():
                self.add(self.mount / one, controllers)
        if not folder.exists():
            self.add(folder, controllers)
        (folder / "cgroup.controllers").write_text(controllers + "\n")
        (folder / "cgroup.procs").write_text(f"{processes}\n")
        return folder

    def add(self, folder, controllers):
        folder.mkdir()
        names = [n for c in controllers.split() for n in LIMIT_FILES.get(c, ())]
        for name in ("procs", "subtree_control", "kill"):
            names.append(f"cgroup.{name}")
        for name in names:
            (folder / name).write_text("")
        (folder / "cgroup.controllers").write_text(controllers + "\n")
        (folder / "cgroup.type").write_text("domain\n")
        for name in ("depth", "descendants"):
            (folder / f"cgroup.max.{name}").write_text("max\n")

    def fail(self, name):
        if name in self.failing:
            raise OSError(self.failing[name], os.strerror(self.failing[name]), name)

    def make(self, folder):
        if folder.exists():
            raise FileExistsError(folder)
        self.fail("mkdir")
        self.add(folder, (folder.parent / "cgroup.subtree_control").read_text())

    def remove(self, folder):
        self.fail("rmdir")
        inner = [path for path in folder.iterdir() if path.is_dir()]
        if inner or (folder / "cgroup.procs").read_text().split():
            raise OSError(errno.EBUSY, "busy")
        shutil.rmtree(folder)

    def write(self, path, text):
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        self.fail(path.name)
        self.writes.append((str(path.relative_to(self.mount)), text))
        if path.name == "cgroup.procs":
            for other in self.mount.rglob("cgroup.procs"):
                left = [pid for pid in other.read_text().split() if pid != text]
                other.write_text("\n".join(left))
            path.write_text(path.read_text() + f"\n{text}\n")
        elif path.name == "cgroup.subtree_control":
            folder = path.parent
            is_root = not (folder / "cgroup.type").exists()
            if not is_root and (folder / "cgroup.procs").read_text().split():
                raise OSError(errno.EBUSY, "holds processes")
            words = [word.removeprefix("+") for word in text.split()]
            assert set(words) <= set((folder / "cgroup.controllers").read_text().split())
            path.write_text(" ".join({*path.read_text().split(), *words}))
        elif path.name == "cgroup.kill":
            (path.parent / "cgroup.procs").write_text("")
        else:
            path.write_text(text)

    def mark(self, monkeypatch, *folders):
        """Put systemd's mark on these folders and no other."""

        def getxattr(path, name):
            if name == "user.delegate" and Path(path) in folders:
                return b"1"
            raise OSError(errno.ENODATA, "no such attribute")

        monkeypatch.setattr(os, "getxattr", getxattr, raising=False)

    def ready(self, monkeypatch):
        """The groups of a process in a scope with Delegate=yes."""
        folder = self.own(SCOPE)
        self.mark(monkeypatch, folder)
        monkeypatch.setattr(cgroups.find, "__defaults__", (self.proc,))
        return cgroups.here()

    def groups(self):
        """Folders named as ours."""
        return [path for path in self.mount.rglob(f"{cgroups.LEAF}.*") if path.is_dir()]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    made = Tree(tmp_path, monkeypatch)
    made.mark(monkeypatch)
    return made


def refusal(tree):
    with pytest.raises(cgroups.CgroupError) as caught:
        cgroups.find(tree.proc)
    return str(caught.value)


class TestWhoIsGivenAGroup:
    def test_a_scope_that_systemd_delegates(self, tree, monkeypatch):
        folder = tree.own(SCOPE)
        for user, command in {0: "systemd-run --scope", 7: "systemd-run --user --scope"}.items():
            monkeypatch.setattr(os, "geteuid", lambda user=user: user)
            assert "was not given to this program" in refusal(tree)
            assert f"{command} -p Delegate=yes" in refusal(tree)
        tree.mark(monkeypatch, folder)
        assert cgroups.find(tree.proc) == folder

    def test_the_leaf_of_an_earlier_run_stands_for_the_group_above(self, tree, monkeypatch):
        leaf = tree.own(f"{SCOPE}/{cgroups.LEAF}")
        tree.mark(monkeypatch, leaf.parent)
        assert cgroups.find(tree.proc) == leaf.parent
        tree.own(f"/{cgroups.LEAF}")
        assert cgroups.find(tree.proc) == tree.mount

    def test_the_root_of_a_container(self, tree):
        (tree.mount / "cgroup.type").write_text("domain\n")
        assert cgroups.find(tree.proc if tree.own("/") else None) == tree.mount

    def test_the_root_of_the_machine(self, tree):
        assert tree.own("/") == tree.mount
        assert cgroups.find(tree.proc) == tree.mount

    def test_a_container_that_sees_the_names_of_the_host(self, tree, monkeypatch):
        # Its own group is mounted as the root of what it sees; nobody gave it away.
        tree.own("/docker/5f", root="/docker/5f")
        assert "/docker/5f was not given" in refusal(tree)
        tree.mark(monkeypatch, tree.mount)
        assert cgroups.find(tree.proc) == tree.mount

    def test_a_group_that_an_administrator_hands_over(self, tree, monkeypatch):
        folder = tree.own("/courses/ada")
        owners = {tree.mount / "courses": 0}
        monkeypatch.setattr(cgroups, "_owner", lambda path: owners.get(path, 1234))
        monkeypatch.setattr(os, "geteuid", lambda: 1234)
        assert cgroups.find(tree.proc) == folder
        owners[folder / "cgroup.subtree_control"] = 0
        assert "was not given" in refusal(tree)
        # All of a desktop user's groups are the user's; that is no gift of this one.
        owners.clear()
        assert "was not given" in refusal(tree)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(cgroups, "_owner", lambda path: 0)
        assert "was not given" in refusal(tree)  # root's login session has another manager

    @pytest.mark.parametrize("options", ["ro", "rw"])
    def test_a_mount_that_is_read_only(self, tree, options):
        tree.own("/", options=options)
        if options == "rw":
            assert cgroups.find(tree.proc) == tree.mount
        else:
            assert f"read-only at {tree.mount}" in refusal(tree)

    def test_no_rights(self, tree, monkeypatch):
        tree.own("/")
        for name in ("", "cgroup.procs", "cgroup.subtree_control"):
            closed = tree.mount / name
            monkeypatch.setattr(os, "access", lambda path, mode, closed=closed: path != closed)
            assert "cannot be changed by this user" in refusal(tree)

    def test_version_1_only(self, tree):
        tree.own("/")
        (tree.proc / "self/cgroup").write_text("8:pids:/\n4:memory:/x\n1:name=systemd:/\n")
        assert "version 1 only" in refusal(tree)

    def test_both_versions_with_the_memory_controller_in_the_first(self, tree):
        tree.own("/", controllers="hugetlb")
        assert "no controller memory and pids" in refusal(tree)

    def test_one_controller_is_not_enough(self, tree):
        tree.own("/", controllers="cpu io memory")
        assert "no controller pids (" in refusal(tree)

    def test_version_2_is_not_mounted(self, tree):
        tree.own("/")
        (tree.proc / "self/mountinfo").write_text("25 1 0:22 / /sys rw - sysfs sysfs rw\n")
        assert "no control groups of version 2 are mounted" in refusal(tree)

    def test_another_part_of_the_hierarchy_is_mounted(self, tree):
        tree.own("/docker/5f", root="/docker/5f")
        (tree.proc / "self/cgroup").write_text("0::/docker/5f77\n")
        assert "not mounted anywhere" in refusal(tree)

    @pytest.mark.parametrize("path", ["/../../x", "/x (deleted)"])
    def test_a_group_out_of_sight(self, tree, path):
        tree.own("/")
        (tree.proc / "self/cgroup").write_text(f"0::{path}\n")
        assert "cannot be reached from here" in refusal(tree)

    @pytest.mark.parametrize("kind", ["threaded", "domain threaded", "domain invalid"])
    def test_a_threaded_group(self, tree, kind):
        (tree.own("/") / "cgroup.type").write_text(f"{kind}\n")
        assert f"is {kind}: the kernel limits no memory there" in refusal(tree)

    @pytest.mark.parametrize("name", ["cgroup.max.depth", "cgroup.max.descendants"])
    def test_no_groups_allowed_below(self, tree, name):
        (tree.own("/") / name).write_text("0\n")
        assert f"{name} of the group / allows no groups" in refusal(tree)

    def test_a_folder_that_is_no_group(self, tree):
        tree.own("/")
        (tree.mount / "cgroup.controllers").unlink()
        assert "not a control group of version 2" in refusal(tree)

    def test_names_that_are_not_text(self, tree):
        tree.own("/")
        for name, line in (
            ("mountinfo", b"9 1 0:1 / /\xff rw - ext4 x rw\n"),
            ("cgroup", b"3:\xfe:/\n"),
        ):
            path = tree.proc / "self" / name
            path.write_bytes(line + path.read_bytes())
        assert cgroups.find(tree.proc) == tree.mount

    def test_no_proc(self, tree):
        assert "no control groups" in refusal(tree)


class TestMakingItReady:
    def test_what_is_in_the_group_moves_into_a_leaf(self, tree):
        folder = tree.own(SCOPE, processes="1\n22\n333")
        cgroups.take(folder)
        leaf = folder / cgroups.LEAF
        assert (leaf / "cgroup.procs").read_text().split() == ["1", "22", "333"]
        assert (folder / "cgroup.procs").read_text().split() == []
        assert set((folder / "cgroup.subtree_control").read_text().split()) == {"memory", "pids"}
        before = list(tree.writes)
        cgroups.take(folder)  # a second grader in the same scope
        assert tree.writes == before

    def test_a_second_program_moves_its_own_into_the_leaf_that_is_there(self, tree):
        folder = tree.own(SCOPE, processes="5")
        tree.add(folder / cgroups.LEAF, "")
        cgroups.take(folder)
        assert (folder / cgroups.LEAF / "cgroup.procs").read_text().split() == ["5"]

    def test_the_root_of_the_machine_keeps_its_processes(self, tree):
        folder = tree.own("/", processes="1\n22")
        cgroups.take(folder)
        assert tree.writes == [("cgroup.subtree_control", "+memory +pids")]
        assert not (folder / cgroups.LEAF).exists()

    def test_only_what_is_missing_is_switched_on(self, tree):
        (tree.own("/") / "cgroup.subtree_control").write_text("cpu memory\n")
        cgroups.take(tree.mount)
        assert tree.writes == [("cgroup.subtree_control", "+pids")]

    def test_a_process_that_ends_meanwhile(self, tree, monkeypatch):
        folder = tree.own(SCOPE, processes="5\n6")
        write = tree.write

        def ended(path, text):
            if text == "5":
                (folder / "cgroup.procs").write_text("6")
                raise ProcessLookupError(errno.ESRCH, "no such process")
            write(path, text)

        monkeypatch.setattr(cgroups, "_write", ended)
        cgroups.take(folder)
        assert (folder / cgroups.LEAF / "cgroup.procs").read_text().split() == ["6"]

    def test_processes_out_of_sight_and_processes_without_end(self, tree, monkeypatch):
        folder = tree.own(SCOPE, processes="5\n0")
        with pytest.raises(cgroups.CgroupError, match="cannot be seen from here"):
            cgroups.take(folder)
        (folder / "cgroup.procs").write_text("5")
        monkeypatch.setattr(cgroups, "_write", lambda path, text: None)
        with pytest.raises(cgroups.CgroupError, match="keep starting"):
            cgroups.take(folder)


class TestLimits:
    def test_what_is_written_before_anybody_enters(self, tree, monkeypatch):
        groups = tree.ready(monkeypatch)
        tree.writes.clear()
        group = groups.make(SMALL)
        memory = 64 * MEBIBYTE + 2 * MEBIBYTE + cgroups.OVERHEAD_BYTES
        expected = {
            "memory.max": memory, "memory.swap.max": 0, "memory.oom.group": 1, "pids.max": 20,
        }  # fmt: skip
        inside = group.folder.relative_to(tree.mount)
        assert tree.writes == [(f"{inside}/{name}", str(v)) for name, v in expected.items()]
        assert group.folder.parent == tree.mount / SCOPE[1:]
        assert groups.facts() == {"cgroup": expected}
        manifest = results.execution_facts({"tests": [], "manifest": {}}, "w")
        assert manifest["cgroup"] == expected
        assert "cgroup_missing" not in manifest
        assert os.readlink(f"/proc/self/fd/{group.entrance}") == f"{group.folder}/cgroup.procs"
        assert not os.get_inheritable(group.entrance)
        entrance = group.entrance
        assert group.end()
        assert not group.folder.exists()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(entrance)

    def test_honest_work_has_the_same_limits_with_groups_and_without(self):
        limits = Limits()
        files = cgroups.limits_of(limits)
        assert files["memory.max"] > limits.memory_bytes + 2 * limits.disk_bytes
        assert files["pids.max"] == limits.processes

    def test_a_kernel_without_swap(self, tree, monkeypatch):
        monkeypatch.setitem(LIMIT_FILES, "memory", ("memory.max", "memory.oom.group"))
        groups = tree.ready(monkeypatch)
        group = groups.make(SMALL)
        assert set(group.written) == {"memory.max", "memory.oom.group", "pids.max"}
        assert groups.facts()["cgroup"] == group.written

    def test_each_group_has_a_name_of_its_own(self, tree, monkeypatch):
        groups = tree.ready(monkeypatch)
        made = [groups.make(SMALL) for _ in range(3)]
        assert len({group.folder for group in made}) == 3
        for group in made:
            match = cgroups._NAME.fullmatch(group.folder.name)
            assert match["space"] == tree.space
            assert match["pid"] == str(os.getpid())
            group.end()


STEPS = {
    # What fails, and with which error; before or while a group is made.
    "the leaf": ("mkdir", errno.EAGAIN, "before"),
    "moving into it": ("cgroup.procs", errno.EOPNOTSUPP, "before"),
    "switching controllers on": ("cgroup.subtree_control", errno.EBUSY, "before"),
    "a group": ("mkdir", errno.EAGAIN, "while"),
    "memory.max": ("memory.max", errno.EACCES, "while"),
    "memory.swap.max": ("memory.swap.max", errno.EINVAL, "while"),
    "memory.oom.group": ("memory.oom.group", errno.EINVAL, "while"),
    "pids.max": ("pids.max", errno.EACCES, "while"),
}


class TestWhateverFailsTheWatcherIsLeft:
    @pytest.mark.parametrize("step", STEPS)
    def test_at_any_step(self, tree, monkeypatch, step):
        name, error, when = STEPS[step]
        if when == "before":
            tree.failing[name] = error
        groups = tree.ready(monkeypatch)
        tree.failing[name] = error
        assert groups.make(SMALL) is None
        assert groups.folder is None
        facts = results.execution_facts({"tests": [], "manifest": {}}, "w")
        assert facts["cgroup"] is None
        assert os.strerror(error) in facts["cgroup_missing"]
        tree.failing.clear()
        assert groups.make(SMALL) is None  # and it stays so: no group of which one knows half
        assert tree.groups() == []

    def test_a_file_that_the_kernel_does_not_have(self, tree, monkeypatch):
        monkeypatch.setitem(LIMIT_FILES, "memory", ("memory.max",))
        groups = tree.ready(monkeypatch)
        assert groups.make(SMALL) is None
        assert "memory.oom.group" in cgroups.facts()["cgroup_missing"]
        assert tree.groups() == []

    def test_a_group_that_cannot_be_removed_is_left_for_later(self, tree, monkeypatch):
        groups = tree.ready(monkeypatch)
        group = groups.make(SMALL)
        tree.failing["rmdir"] = errno.EBUSY
        assert not group.end()
        assert groups.make(SMALL) is not None

    def test_nothing_is_said_of_a_program_that_started_no_sandbox(self, monkeypatch):
        monkeypatch.setattr(cgroups, "_here", None)
        assert "no sandbox" in cgroups.facts()["cgroup_missing"]
        assert cgroups._here is None


class Parent:
    """The other end of a `WarmParent`, played by the test."""

    def __init__(self):
        ours, self.control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.warm = WarmParent.adopt(ours.detach())

    def order(self):
        data, descriptors, _, _ = socket.recv_fds(self.control, 10_000, 5)
        names = [os.readlink(f"/proc/self/fd/{fd}") for fd in descriptors]
        for fd in descriptors:
            os.close(fd)
        return json.loads(data), names

    def ended(self, session, **facts):
        message = {"event": "ended", "id": session.number, "reason": None, "exit": -9, **facts}
        self.control.send(json.dumps(message).encode())


@pytest.fixture
def parent(tree, monkeypatch):
    tree.ready(monkeypatch)
    made = Parent()
    yield made
    made.warm.close()
    made.control.close()


class TestASession:
    def test_the_way_into_its_group_travels_with_the_order(self, parent, tree):
        session, channel = parent.warm.start("student", SMALL)
        _, names = parent.order()
        assert names[0].startswith("socket:")
        assert names[1:] == [f"{session.group.folder}/cgroup.procs"]
        assert session.group.entrance == -1
        other, other_channel = parent.warm.start("checker", SMALL)
        assert other.group.folder != session.group.folder  # the checker survives the student
        parent.ended(session)
        assert parent.warm.wait_for_end(session, 5)["reason"] is None
        assert tree.groups() == [other.group.folder]
        parent.warm.close()
        assert tree.groups() == []
        channel.close()
        other_channel.close()

    def test_what_a_killed_worker_left_goes_with_the_last_sandbox(self, parent, tree):
        left = cgroups.here().folder / f"{cgroups.LEAF}.{tree.space}.{2**31}.5.1"
        tree.add(left, "memory pids")
        parent.warm.close()
        assert not left.exists()

    @pytest.mark.parametrize(
        ("events", "keeper", "reason"),
        [
            ("low 0\nhigh 0\nmax 9\noom 2\noom_kill 3\noom_group_kill 1\n", None, "memory"),
            ("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n", "ended by the grader", "memory"),
            ("low 0\nhigh 0\nmax 9\noom 0\noom_kill 0\n", None, None),
            ("low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n", "cpu", "cpu"),
            ("", "memory", "memory"),
        ],
    )
    def test_the_kernel_says_that_memory_ran_out(self, parent, tree, events, keeper, reason):
        session, channel = parent.warm.start("student", SMALL)
        with channel:
            (session.group.folder / "memory.events").write_text(events)
            parent.ended(session, reason=keeper)
            assert parent.warm.end(session)["reason"] == reason
        assert tree.groups() == []

    def test_a_process_that_may_not_join_ends_the_use_of_groups(self, parent, tree):
        session, channel = parent.warm.start("student", SMALL)
        parent.order()
        with channel:
            parent.ended(session, group_refused=errno.EACCES, exit=0)
            assert "group_refused" not in parent.warm.end(session)
        facts = cgroups.facts()
        assert facts["cgroup"] is None
        assert "could not join its group: Permission denied" in facts["cgroup_missing"]
        assert tree.groups() == []
        parent.order()  # "end"
        session, channel = parent.warm.start("student", SMALL)
        with channel:
            assert session.group is None
            assert len(parent.order()[1]) == 1

    def test_a_silent_sandbox_leaves_no_group(self, parent, tree):
        session, channel = parent.warm.start("student", SMALL)
        tree.write(session.group.folder / "cgroup.procs", "4711")
        with channel:
            report = parent.warm.end(session, timeout=0.01)
        assert report == {"reason": "the sandbox does not answer"}
        assert [text for path, text in tree.writes if path.endswith("cgroup.kill")] == ["1"]

    def test_a_sandbox_that_is_gone_leaves_no_group(self, parent, tree):
        parent.control.close()
        with pytest.raises(sandbox.IsolationError):
            parent.warm.start("student", SMALL)
        assert tree.groups() == []

    def test_a_report_without_a_group_is_left_as_it_is(self):
        session = Session(1)
        session.settle({"reason": "output"})
        assert session.report == {"reason": "output"}

    def test_the_worker_tells_the_keeper_what_the_kernel_refused(self, tmp_path):
        usage = mmap.mmap(-1, mmap.PAGESIZE)
        for mode, expected in ((os.O_WRONLY, 0), (os.O_RDONLY, errno.EBADF)):
            fd = os.open(tmp_path / "cgroup.procs", mode | os.O_CREAT)
            warm._Keeper(None, [0, 1, 2, fd], usage, {}, False).enter_group()
            assert struct.unpack("i", usage[16:20])[0] == expected
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)
        assert (tmp_path / "cgroup.procs").read_text() == "0"


class TestSweeping:
    def stale(self, tree, space, pid, start, processes=""):
        folder = tree.mount / f"{cgroups.LEAF}.{space}.{pid}.{start}.1"
        tree.add(folder, "memory pids")
        (folder / "cgroup.procs").write_text(processes)
        return folder

    def test_only_what_a_dead_program_of_ours_left_is_removed(self, tree):
        stat = "55 (a) b) S 1" + " 0" * 17 + " 900 0 0"
        (tree.proc / "55").mkdir()
        (tree.proc / "55/stat").write_text(stat)
        dead = self.stale(tree, tree.space, 44, 100)
        again = self.stale(tree, tree.space, 55, 899)  # the number was given out again
        alive = self.stale(tree, tree.space, 55, 900)
        elsewhere = self.stale(tree, OTHER, 44, 100)
        others = [tree.mount / name for name in ("cnnlib-grading", "cnnlib-grading.x", "system")]
        for folder in others:
            tree.add(folder, "")
        assert cgroups.sweep(tree.mount, tree.proc) == [dead.name, again.name]
        assert [path.exists() for path in (dead, again, alive, elsewhere)] == [0, 0, 1, 1]
        assert all(folder.exists() for folder in others)

    def test_another_users_group_stays(self, tree, monkeypatch):
        theirs = self.stale(tree, tree.space, 44, 100)
        mine = self.stale(tree, tree.space, 45, 100)
        monkeypatch.setattr(
            cgroups, "_owner", lambda path: os.geteuid() + (path.name == theirs.name)
        )
        assert cgroups.sweep(tree.mount, tree.proc) == [mine.name]
        assert theirs.exists()

    def test_what_still_runs_in_it_is_ended(self, tree):
        folder = self.stale(tree, tree.space, 44, 100, processes="9\n10")
        assert cgroups.sweep(tree.mount, tree.proc) == [folder.name]
        assert (f"{folder.name}/cgroup.kill", "1") in tree.writes

    def test_a_kernel_without_kill(self, tree):
        folder = self.stale(tree, tree.space, 44, 100, processes="9")
        (folder / "cgroup.kill").unlink()
        assert cgroups.sweep(tree.mount, tree.proc) == []
        assert folder.exists()


# --- on the real kernel ---------------------------------------------------------------------------


@pytest.fixture
def real():
    """A real group to make others in, without limits: what a hybrid machine has too."""
    try:
        path, above = cgroups._place(Path("/proc"))
    except cgroups.CgroupError as error:
        pytest.skip(f"no group of version 2 on this machine: {error}")
    if path != "/" and not cgroups._marked(above) and not cgroups._handed_over(above):
        pytest.skip(f"the group {path} was not given to these tests")
    folder = above / f"cnnlib-grading-tests.{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no group can be made in {above}: {error}")
    yield folder
    for group in [path for path in folder.iterdir() if path.is_dir()]:
        cgroups._end(group)
    assert cgroups._end(folder)


@pytest.fixture
def without_limits(monkeypatch):
    monkeypatch.setattr(cgroups, "limits_of", lambda limits: {})


def processes(folder):
    return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]


def wait_until(condition, what):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.005)


def child_in(group):
    """A process that joins the group by itself, starts another, and waits."""
    pid = os.fork()
    if pid == 0:
        os.write(group.entrance, b"0")
        os.fork()
        signal.pause()
        os._exit(0)
    return pid


def test_a_group_lives_and_ends_with_all_that_is_in_it(real, without_limits):
    groups = cgroups.Groups(real)
    group = groups.make(SMALL)
    assert groups.make(SMALL).end()
    child = child_in(group)
    wait_until(lambda: len(processes(group.folder)) == 2, "a child and its child")
    assert child in processes(group.folder)
    above = cgroups._place(Path("/proc"))[0].rstrip("/")
    where = f"0::{above}/{real.name}/{group.folder.name}"
    assert where in Path(f"/proc/{child}/cgroup").read_text().splitlines()
    assert "populated 1" in (group.folder / "cgroup.events").read_text()
    assert os.getpid() not in processes(group.folder)
    assert not group.memory_ran_out()
    assert group.end()
    assert not group.folder.exists()
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert group.end()  # nothing is left to do


CONTROLLERS = {"memory": "memory.max", "pids": "pids.max", "hugetlb": "hugetlb.2MB.max"}


@pytest.fixture
def controller(real):
    """A controller that the real group can have switched on, as the memory controller would be."""
    above = real.parent
    for name in CONTROLLERS:
        if name in (real / "cgroup.controllers").read_text().split():
            yield name
            return
    # The machine's own root: switched on for the test, and off again.
    found = (above / "cgroup.controllers").read_text().split()
    offered = [name for name in CONTROLLERS if name in found]
    if (above / "cgroup.type").exists() or not offered:
        pytest.skip("no controller can be switched on here")
    (above / "cgroup.subtree_control").write_text(f"+{offered[0]}")
    try:
        yield offered[0]
        (real / "cgroup.subtree_control").write_text(f"-{offered[0]}")
    finally:
        (above / "cgroup.subtree_control").write_text(f"-{offered[0]}")


TAKER = """
import errno, json, os, subprocess, sys
from pathlib import Path
from grading import cgroups, linux
folder, controller, limit, place, turn = Path(sys.argv[1]), *sys.argv[2:]
cgroups.CONTROLLERS = (controller,)
cgroups.limits_of = lambda limits: {limit: 4 << 20}
if turn != "second":
    (folder / "cgroup.procs").write_text("0")
    if turn == "first":
        os.setxattr(folder, "user.delegate", b"1")
    elif turn == "in a container":
        try:
            linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWCGROUP)
        except PermissionError:
            sys.exit(77)
        linux.make_mounts_private()
        linux.mount("cgroup2", place)
    else:
        for path in (folder, folder / "cgroup.procs", folder / "cgroup.subtree_control"):
            os.chown(path, 65534, 65534)
        os.setuid(65534)
    try:  # the rule that the leaf is for
        (folder / "cgroup.subtree_control").write_text("+" + controller)
    except OSError as error:
        assert error.errno == errno.EBUSY, error
    else:
        raise AssertionError("a group with processes took a controller")
groups = cgroups.here()
group = groups.make(None)
print(json.dumps({
    "missing": groups.missing,
    "own": cgroups._own_path(Path("/proc")).rpartition(folder.name)[2],
    "limit": group and (group.folder / limit).read_text().strip(),
    "ended": group and group.end(),
}), flush=True)
if turn == "first":
    subprocess.run([sys.executable, *sys.orig_argv[1:-1], "second"], check=True)
"""


@pytest.mark.parametrize("turn", ["first", "handed over", "in a container"])
def test_a_real_group_is_taken_and_a_limit_is_written(real, controller, turn, tmp_path):
    """All but the name of the controller is as it would be for memory."""
    if turn != "first" and os.geteuid() != 0:
        pytest.skip("only root can hand a group over or make a container")
    (real / "cgroup.max.depth").write_text("1")
    arguments = [str(real), controller, CONTROLLERS[controller], str(tmp_path), turn]
    command = [sys.executable, "-c", TAKER, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if ended.returncode == 77:
        pytest.skip("these tests may not make namespaces")
    assert ended.returncode == 0, ended.stderr
    expected = {"missing": "", "own": f"/{cgroups.LEAF}", "limit": str(4 << 20), "ended": True}
    # The second program, which the first started, finds itself in the leaf.
    programs = 2 if turn == "first" else 1
    assert [json.loads(line) for line in ended.stdout.splitlines()] == [expected] * programs
    assert controller in (real / "cgroup.subtree_control").read_text().split()
    assert [path.name for path in real.iterdir() if path.is_dir()] == [cgroups.LEAF]


MAKER = """
import os, signal, sys
from pathlib import Path
from grading import cgroups
cgroups.limits_of = lambda limits: {}
group = cgroups.Groups(Path(sys.argv[1])).make(None)
if os.fork() == 0:
    os.write(group.entrance, b"0")
    print(group.folder.name, flush=True)
    signal.pause()
signal.pause()
"""


def test_what_a_killed_grader_left_is_swept_and_a_living_ones_is_not(real):
    with subprocess.Popen(
        [sys.executable, "-c", MAKER, str(real)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as maker:
        try:
            name = maker.stdout.readline().strip()
            assert cgroups._NAME.fullmatch(name)["pid"] == str(maker.pid)
            left = real / name
            assert cgroups.sweep(real) == []
            (orphan,) = processes(left)
        finally:
            maker.kill()
            maker.wait()
        assert processes(left) == [orphan]
        assert cgroups.sweep(real) == [name]
        assert not left.exists()


def test_a_kernel_that_refuses_leaves_nothing(real, monkeypatch):
    groups = cgroups.Groups(real)
    if "memory" in (real / "cgroup.controllers").read_text():
        (real / "cgroup.max.descendants").write_text("0")
    assert groups.make(SMALL) is None  # no such file here, or no group at all
    assert "could not be made" in groups.facts()["cgroup_missing"]
    assert [path for path in real.iterdir() if path.is_dir()] == []


@pytest.mark.slow
def test_the_first_line_of_a_submission_runs_in_its_group(
    real, without_limits, grader, source, right, monkeypatch
):
    grader.wait_until_ready()
    grader.warm.end_ahead()
    monkeypatch.setattr(grader.warm, "groups", cgroups.Groups(real))
    right.insert("print(open('/proc/self/cgroup').read())")
    result = grader.grade(source.bytes, right.bytes, seed="a")
    assert outcome(result) == FULL
    grader.warm.end_ahead()
    said = "".join(cell.get("output", "") for cell in result["cells"])
    name = re.search(rf"0::\S*/{real.name}/({cgroups.LEAF}\.\S+)", said)
    assert name is not None, said
    assert cgroups._NAME.fullmatch(name[1])["pid"] == str(os.getpid())
    assert grader.warm.groups.folder == real  # nobody was refused
    assert [path for path in real.iterdir() if path.is_dir()] == []


@pytest.mark.slow
def test_only_the_worker_is_in_the_group_and_the_keeper_tells_how_it_ended(
    real, without_limits, grader, monkeypatch
):
    grader.wait_until_ready()
    grader.warm.end_ahead()
    monkeypatch.setattr(grader.warm, "groups", cgroups.Groups(real))
    session, channel = grader.warm.start("student", grader.limits)
    with channel:
        folder = session.group.folder
        wait_until(lambda: processes(folder), "the worker")
        assert len(processes(folder)) == 1
        cgroups._kill(folder)
        report = grader.warm.wait_for_end(session, 60)
    assert report["exit"] == -signal.SIGKILL
    assert report["reason"] is None
    assert not folder.exists()


def test_the_kernel_keeps_the_limits(monkeypatch):
    groups = cgroups.here()
    if groups.folder is None:
        pytest.skip(f"no memory limit can be tried here: {groups.missing}")
    monkeypatch.setattr(cgroups, "OVERHEAD_BYTES", 0)
    limits = Limits(memory_bytes=256 * MEBIBYTE, disk_bytes=MEBIBYTE, processes=20)
    group = groups.make(limits)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(group.entrance, b"0")
        for started in range(3 * limits.processes):
            try:
                child = os.fork()
            except BlockingIOError:
                os.write(writer, str(started).encode())
                break
            if child == 0:
                signal.pause()
                os._exit(0)
        _ = b"x" * (4 * limits.memory_bytes)
        os._exit(1)
    try:
        os.close(writer)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        assert group.memory_ran_out()
        wait_until(lambda: not processes(group.folder), "the end of all its children")
    finally:
        assert group.end()
    with os.fdopen(reader) as said:
        assert said.read() == str(limits.processes - 1)
