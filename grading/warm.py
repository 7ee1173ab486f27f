"""The warm parent: a process inside the sandbox that is forked twice per submission.

Importing torch takes seconds, a fork takes milliseconds. This process imports what assignments
use, runs no foreign code, has no thread left when it is done, and then only forks: a student's
process and a checker's for each submission, ordered ahead of time. It runs inside the mounts and
namespaces that `grading.sandbox` has bubblewrap make. Each fork begins in fresh user, PID, mount,
IPC, UTS, network and cgroup namespaces and becomes two processes (three on a machine for which
`grading.linux` does not know the system call's number: there a **doorman** enters the namespaces
first and waits):

* the **keeper**, process 1 of the new PID namespace, mounts its own ``/proc``, ``/tmp`` and
  ``/dev/shm``, drops every capability, and watches: it drains the output (capped), adds up memory
  and CPU time of everything in its namespace, and ends when the worker ends or the warm parent
  says so. Its end makes the kernel kill whatever is left in the namespace.
* the **worker** has limits (memory, processes, files, CPU time) and a system call filter, and runs
  `grading.student.serve` or `grading.checker.serve` on the one socket it was given. Where the host
  can have the kernel limit groups of processes (`grading.cgroups`), it first moves into its own.

What each measure is for: a PID namespace, so that the worker can neither see nor signal the warm
parent, the keeper (process 1 ignores signals from inside) or another submission, and so that
nothing survives it; own tmpfs, so that nothing written is seen by the next submission; own network
namespace without interfaces, so that ``localhost`` is not shared either; closed descriptors, so
that there is no way to the control socket; ``no_new_privs``, no capabilities and no further user
namespaces, so that the kernel's rarely used parts are out of reach.

The control socket carries JSON from and to `grading.sandbox`, both sides ours.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import mmap
import os
import random
import resource
import select
import signal
import socket
import struct
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from grading import linux, preload

CONTROL_BYTES = 160_000
OUTPUT_KEPT = 64 * 1024
POLL_SECONDS = 0.05
GRACE_SECONDS = 3.0
_HOME = "/tmp"  # a fresh tmpfs in every namespace

ENTRIES = {"student": "grading.student", "checker": "grading.checker"}


def main(control_fd: int, isolated: bool, more: tuple[str, ...] = ()) -> None:
    """Import, announce readiness, then fork on request until the control socket closes.

    Args:
        control_fd: Number of the inherited control socket.
        isolated: Whether forks enter namespaces of their own; False only for
            ``--isolation none``.
        more: Modules to import beside `preload.ALWAYS`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the instructor's program's business
    gc.disable()  # a quarter of the time that imports take: they make objects and drop hardly any
    control = socket.socket(fileno=control_fd)
    try:
        missing = preload.import_all(tuple(ENTRIES.values()), more)
        entries = {role: importlib.import_module(name) for role, name in ENTRIES.items()}
        _settle_torch()
        for entry in entries.values():
            entry.prepare()
        threads = _thread_count()
        if isolated and threads != 1:
            raise RuntimeError(f"the warm parent has {threads} threads; a fork needs exactly one")
        # Objects that exist now are shared by all forks; a collection in a child would copy them.
        gc.freeze()
        gc.enable()
        linux.gather_memory()
    except Exception:
        _send(control, {"event": "failed", "message": traceback.format_exc(limit=-3)})
        return
    _send(control, {"event": "ready", "missing": missing, "pid": os.getpid()})
    serves = {role: entry.serve for role, entry in entries.items()}
    next_control: socket.socket | None = control
    while next_control is not None:
        next_control = _WarmParent(next_control, serves, isolated).run()
    os._exit(0)  # nothing is left to do, and taking torch apart would take half a second


def _settle_torch() -> None:
    import torch

    torch.set_num_threads(1)
    # oneDNN compiles machine code for every new shape. A fork meets hundreds of small ones, each a
    # few times: without it they cost a tenth, and the networks of an assignment hardly more.
    torch.backends.mkldnn.enabled = False


def _thread_count() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except FileNotFoundError:
        return 1


def _send(control: socket.socket, message: dict) -> None:
    control.send(json.dumps(message).encode())


class _Child:
    """What the warm parent knows of one fork."""

    def __init__(self, pid: int, life: int, report: int, usage: mmap.mmap) -> None:
        self.pid = pid
        self.life = life  # closing it tells the keeper to end
        self.report = report
        self.usage = usage
        self.text = b""
        self.deadline: float | None = None


class _WarmParent:
    """Serves one control socket.

    Several workers share what was imported: for each of them the first one forks a twin of
    itself, with a control socket of its own.
    """

    def __init__(self, control: socket.socket, serves: dict[str, Callable], isolated: bool) -> None:
        self.control = control
        self.serves = serves
        self.isolated = isolated
        self.children: dict[int, _Child] = {}
        self.twins: set[int] = set()
        self.leaving: set[int] = set()  # forks that have reported and are being taken apart

    def run(self) -> socket.socket | None:
        """Serve until the socket closes; in a twin, return the socket that it has to serve."""
        while True:
            reports = {child.report: number for number, child in self.children.items()}
            ready, _, _ = select.select([self.control, *reports], [], [], 0.5)
            for source in ready:
                if source is self.control:
                    order, descriptors = self.next_order()
                    if order is None:
                        return None
                    if order["op"] == "twin":
                        twin = self.fork_twin(*descriptors)
                        if twin is not None:
                            return twin
                    else:
                        self.obey(order, descriptors)
                else:
                    self.listen(reports[source])
            self.enforce_deadlines()
            self.reap(self.twins)
            self.reap(self.leaving)

    def next_order(self) -> tuple[dict | None, list[int]]:
        """An order and the descriptors that came with it; no order when the host is gone."""
        data, fds, _, _ = socket.recv_fds(self.control, CONTROL_BYTES, 2)
        return (json.loads(data) if data else None), fds

    def fork_twin(self, descriptor: int) -> socket.socket | None:
        """Fork; None here, and in the twin its control socket, everything else being closed."""
        pid = os.fork()
        if pid != 0:
            os.close(descriptor)
            self.twins.add(pid)
            return None
        self.control.close()
        self.leaving.clear()  # they are the first one's children
        for child in self.children.values():
            os.close(child.report)
            if child.deadline is None:
                os.close(child.life)
            child.usage.close()
        return socket.socket(fileno=descriptor)

    def reap(self, pids: set[int]) -> None:
        for pid in list(pids):
            if os.waitpid(pid, os.WNOHANG)[0]:
                pids.discard(pid)

    def obey(self, order: dict, descriptors: list[int]) -> None:
        if order["op"] == "start":
            serve = _say_that_all_is_well if order["trial"] else self.serves[order["role"]]
            self.start(order["id"], descriptors, order["limits"], serve)
        elif order["op"] == "end" and order["id"] in self.children:
            child = self.children[order["id"]]
            if child.deadline is None:
                os.close(child.life)
                child.deadline = time.monotonic() + GRACE_SECONDS
        elif order["op"] == "usage":
            child = self.children.get(order["id"])
            cpu, memory = struct.unpack("dd", child.usage[:16]) if child else (0.0, 0.0)
            _send(self.control, {"event": "usage", "cpu": cpu, "memory": memory, **_id(order)})

    def start(self, number: int, descriptors: list[int], limits: dict, serve: Any) -> None:
        """Fork for a submission.

        Args:
            number: Of the session.
            descriptors: Its socket, and the way into its group if it has one (`grading.cgroups`).
            limits: What it may use.
            serve: What it does.
        """
        life_read, life_write = os.pipe()
        report_read, report_write = os.pipe()
        usage = mmap.mmap(-1, mmap.PAGESIZE)  # anonymous and shared with the keeper alone
        ends = [*descriptors[:1], life_read, report_write, *descriptors[1:]]
        own_ids = os.getuid(), os.getgid()  # in a new namespace they are nobody's at first
        straight = self.isolated and linux.can_fork_into()
        try:
            pid = linux.fork_into(linux.NEW_NAMESPACES) if straight else os.fork()
        except OSError as error:
            for fd in (*ends, life_write, report_read):
                os.close(fd)
            usage.close()
            reason = f"no process could be forked: {error}"
            _send(self.control, {"event": "ended", "reason": reason, "id": number})
            return
        if pid == 0:

            def keep(ends: list[int]) -> int:
                return _Keeper(serve, ends, usage, limits, self.isolated).run()

            enter = _as_keeper if straight else _as_doorman
            _begin(functools.partial(enter, keep, own_ids) if self.isolated else keep, ends)
        for fd in ends:
            os.close(fd)
        self.children[number] = _Child(pid, life_write, report_read, usage)

    def listen(self, number: int) -> None:
        child = self.children[number]
        piece = os.read(child.report, 65536)
        if piece and len(child.text) < CONTROL_BYTES:
            child.text += piece
            return
        if child.deadline is None:
            os.close(child.life)
        os.close(child.report)
        child.usage.close()
        del self.children[number]
        try:
            report = json.loads(child.text)
            self.leaving.add(child.pid)
        except ValueError:
            _, status = os.waitpid(child.pid, 0)
            report = {"reason": f"the keeper ended with status {status}"}
        _send(self.control, {**report, "event": "ended", "id": number})

    def enforce_deadlines(self) -> None:
        now = time.monotonic()
        for child in self.children.values():
            if child.deadline is not None and now > child.deadline:
                os.kill(child.pid, signal.SIGKILL)


def _id(order: dict) -> dict:
    return {"id": order["id"]}


def _say_that_all_is_well(connection: socket.socket) -> None:
    """What a fork on trial does instead of its work."""
    connection.send(b"+")


def _begin(work: Callable[[list[int]], int], ends: list[int]) -> NoReturn:
    """In a fork: do its work with these descriptors alone, report what goes wrong, and end.

    Args:
        work: Given the descriptors, returns the exit status.
        ends: Socket, life, report and the ways into groups, numbered as the warm parent has them.
    """
    code = 1
    report = ends[2]
    try:
        ends = _keep_only(*ends)
        report = ends[2]
        code = work(ends)
    except Exception:
        os.write(report, json.dumps({"reason": traceback.format_exc(limit=-2)}).encode())
    finally:
        os._exit(code)


def _as_keeper(keep: Callable[[list[int]], int], own_ids: tuple[int, int], ends: list[int]) -> int:
    """In a fork that began in its namespaces: keep the worker."""
    linux.die_with_parent(signal.SIGKILL)
    linux.map_own_ids(*own_ids)
    return keep(ends)


def _as_doorman(keep: Callable[[list[int]], int], own_ids: tuple[int, int], ends: list[int]) -> int:
    """In a fork that has to enter namespaces itself: start the keeper in them, wait for it."""
    linux.unshare(linux.NEW_NAMESPACES)
    linux.map_own_ids(*own_ids)
    keeper = os.fork()
    if keeper == 0:
        linux.die_with_parent(signal.SIGKILL)
        return keep(ends)
    for fd in ends:
        os.close(fd)
    _, status = os.waitpid(keeper, 0)
    return os.waitstatus_to_exitcode(status) & 0xFF


def _keep_only(*fds: int) -> list[int]:
    """Close every descriptor except these and 0–2; they come back numbered from 3 on."""
    high = [os.dup2(fd, 100 + index, inheritable=False) for index, fd in enumerate(fds)]
    os.closerange(3, 100)
    os.closerange(100 + len(fds), 65536)
    low = [os.dup2(fd, 3 + index, inheritable=False) for index, fd in enumerate(high)]
    for fd in high:
        os.close(fd)
    return low


class _Keeper:
    """Process 1 of a submission's namespace: starts the worker and watches it."""

    def __init__(
        self,
        serve: Any,
        ends: list[int],
        usage: mmap.mmap,
        limits: dict,
        isolated: bool,
    ) -> None:
        self.serve = serve
        self.channel, self.life, self.report, *self.group = ends
        self.usage = usage
        self.limits = limits
        self.isolated = isolated
        self.kept = b""
        self.output_bytes = 0
        self.reason: str | None = None
        self.reaped_cpu = 0.0
        self.peak_memory = 0.0
        self.status: int | None = None

    def run(self) -> int:
        if self.isolated:
            self.furnish()
            linux.drop_privileges()
            linux.die_with_parent(signal.SIGKILL)  # dropping privileges resets it
            linux.forbid_inspection()
        output_read, output_write = os.pipe()
        self.baseline = _memory_of_process("self") if self.isolated else 0.0
        self.worker = os.fork()
        if self.worker == 0:
            os.close(self.life)
            os.close(self.report)
            os.close(output_read)
            self.enter_group()
            self.usage.close()
            _as_worker(self.serve, self.channel, output_write, self.limits, self.isolated)
        for fd in (self.channel, output_write, *self.group):
            os.close(fd)
        os.set_blocking(output_read, False)
        self.watch(output_read)
        self.kill_all()
        self.drain(output_read)
        self.write_report()
        return 0

    def enter_group(self) -> None:
        """In the worker: move into the group that was made for it; the keeper stays outside.

        The way in is open to the program that made it, whoever writes to it. Should the kernel
        refuse, the watcher does without, and the report says so.
        """
        for fd in self.group:
            try:
                os.write(fd, b"0")  # this process, in its own words
            except OSError as error:
                self.usage[16:20] = struct.pack("i", error.errno or 0)
            os.close(fd)

    def furnish(self) -> None:
        """Own /proc, /tmp, /dev/shm; no way to make further namespaces."""
        size = f"size={self.limits['disk_bytes']},nr_inodes=20000,mode=1777"
        linux.make_mounts_private()
        linux.mount("proc", "/proc", flags=linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        linux.mount("tmpfs", "/tmp", size)
        linux.mount("tmpfs", "/dev/shm", size)
        linux.bring_loopback_up()
        with open("/proc/sys/user/max_user_namespaces", "w") as file:
            file.write("0")
        os.chdir(_HOME)

    def watch(self, output: int) -> None:
        next_look = 0.0
        sources = [output, self.life, *_exit_of(self.worker)]
        while self.status is None and self.reason is None:
            ready, _, _ = select.select(sources, [], [], POLL_SECONDS)
            if self.life in ready:
                self.reason = "ended by the grader"
            if output in ready and not self.drain(output):
                sources.remove(output)  # every writer closed its end
            self.reap()
            now = time.monotonic()
            if self.isolated and now >= next_look:
                next_look = now + POLL_SECONDS
                self.look()

    def drain(self, output: int) -> bool:
        """Read what is there, keep the beginning; says whether the pipe is still open."""
        for _ in range(64):
            try:
                piece = os.read(output, 65536)
            except BlockingIOError:
                return True
            if not piece:
                return False
            self.output_bytes += len(piece)
            self.kept += piece[: OUTPUT_KEPT - len(self.kept)]
            if self.output_bytes > self.limits["output_bytes"]:
                self.reason = self.reason or "output"
                return True
        return True

    def reap(self) -> bool:
        """Take note of what has ended; says whether anything is left."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.reaped_cpu += used.ru_utime + used.ru_stime
            if pid == self.worker:
                self.status = status

    def look(self) -> None:
        """Add up CPU time and memory of everything in the namespace."""
        cpu, memory = self.reaped_cpu, 0.0
        for name in os.listdir("/proc"):
            if name.isdigit() and name != "1":
                try:
                    cpu += _cpu_of_process(name)
                    memory += max(0.0, _memory_of_process(name) - self.baseline)
                except (FileNotFoundError, ProcessLookupError):
                    continue
        self.peak_memory = max(self.peak_memory, memory)
        self.usage[:16] = struct.pack("dd", cpu, memory)
        if memory > self.limits["memory_bytes"]:
            self.reason = self.reason or "memory"
        elif cpu > self.limits["cpu_seconds"]:
            self.reason = self.reason or "cpu"

    def kill_all(self) -> None:
        """End everything, and wait until it is gone: the report says that nothing is left.

        Process 1 is the parent of every process of its namespace that has lost its own.
        """
        if self.isolated:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        else:
            for target in (-self.worker, self.worker):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(target, signal.SIGKILL)
        end = time.monotonic() + GRACE_SECONDS
        while self.reap() and time.monotonic() < end:
            time.sleep(0.002)

    def write_report(self) -> None:
        code = os.waitstatus_to_exitcode(self.status) if self.status is not None else None
        message = {
            "reason": self.reason,
            "exit": code,
            "output": self.kept.decode("utf-8", "replace"),
            "output_bytes": self.output_bytes,
            "peak_memory": self.peak_memory,
            "cpu_seconds": self.reaped_cpu,
            "group_refused": struct.unpack("i", self.usage[16:20])[0],
        }
        data = memoryview(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))
        while data:
            data = data[os.write(self.report, data) :]
        os.close(self.report)  # at once: taking this process apart would keep the reader waiting


def _exit_of(pid: int) -> list[int]:
    """A descriptor that can be read once the process has ended; none where the kernel has none.

    Without it the end is noticed at the next look at the clock. (``pidfd_open(2)``: Linux 5.3.)
    """
    try:
        return [os.pidfd_open(pid)]
    except (AttributeError, OSError):
        return []


def _cpu_of_process(name: str) -> float:
    with open(f"/proc/{name}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_of_process(name: str) -> float:
    """Bytes of memory that are not shared with files."""
    total = 0
    with open(f"/proc/{name}/status", "rb") as file:
        for line in file:
            if line.startswith((b"RssAnon:", b"RssShmem:")):
                total += int(line.split()[1]) * 1024
    return float(total)


def _as_worker(serve: Any, channel: int, output: int, limits: dict, isolated: bool) -> NoReturn:
    """In the last fork: limits, then foreign code."""
    code = 70
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        (channel,) = _keep_only(channel)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _set_limits(limits)
        if isolated and linux.seccomp_available():
            linux.install_seccomp_filter()
        _reseed()
        serve(socket.socket(fileno=channel))
        code = 0
    except SystemExit:
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _set_limits(limits: dict) -> None:
    # A little less address space than the watcher allows memory: one process that asks for too
    # much gets a MemoryError its author can read, instead of being killed without a word. The
    # watcher's limit is for many processes together.
    address_space = _address_space() + limits["memory_bytes"] * 7 // 8
    for name, value in (
        ("RLIMIT_CORE", 0),
        ("RLIMIT_CPU", int(limits["cpu_seconds"]) + 5),
        ("RLIMIT_FSIZE", limits["disk_bytes"]),
        ("RLIMIT_NOFILE", limits["open_files"]),
        ("RLIMIT_NPROC", limits["processes"]),
        ("RLIMIT_AS", address_space),
        ("RLIMIT_MSGQUEUE", 0),
        ("RLIMIT_MEMLOCK", 64 * 1024),
    ):
        number = getattr(resource, name, None)
        if number is not None:
            resource.setrlimit(number, (value, value))


def _address_space() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * mmap.PAGESIZE
    except FileNotFoundError:
        return 64 << 30  # no /proc (macOS): the limit is only a fence far out


def _reseed() -> None:
    """The same start for every submission, whatever was forked before it."""
    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global generator is what students use
    torch.manual_seed(0)
