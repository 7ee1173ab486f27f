"""Starts the warm parent inside bubblewrap and keeps an eye on its forks.

One sandbox serves a whole run: its warm parent, or a twin of it for each worker, is forked once
for a submission's checker and once for its student's process. Each fork enters namespaces of its
own (`grading.warm`), so the two see each other no more than two submissions do, and meet only on
the socket that the host gives them. The checker needs no protection from the test cells, which are
the instructor's, but it reads what students' processes send; should its decoder ever be wrong, the
sandbox is the second wall. It contains nothing of the course but ``cnnlib`` and the few modules of
``grading`` that run in it: no source notebook, gradebook, seed or other submission is mounted, so
no path, link or open file can lead there.

`command_line` is the whole policy: read it to know what a submission can see. Run by an ordinary
user, it needs user namespaces. Run by root, a first bubblewrap makes the mounts and drops to an
unprivileged user, because files of the kernel's settings under ``/proc/sys`` obey root even
without capabilities; the second one makes the namespaces, as it would for that user.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

from grading import cgroups

MEBIBYTE = 1024 * 1024
UNPRIVILEGED = 65534  # "nobody" on every Linux
ROLES = ("checker", "student")
START_SECONDS = 600.0  # importing torch on a very busy machine
_CONTROL_BYTES = 2 * MEBIBYTE
_HERE = Path(__file__).resolve().parent
_ENVIRONMENT = "/environment"  # where a virtual environment is mounted
_MODULES = (
    "__init__", "wire", "linux", "preload", "warm", "sharing", "watch", "student", "proxy",
    "checker",
)  # fmt: skip
# What is imported before the first fork if the notebooks mention it, because each fork that needs
# it would spend as long again: the word in an import, and the modules.
_ON_DEMAND = {
    "torchvision": ("torchvision", "torchvision.models"),
    "matplotlib": ("matplotlib.pyplot",),
    "sklearn": ("sklearn.datasets",),
    "skimage": ("skimage.data",),
    "scipy": ("scipy.ndimage",),
    "PIL": ("PIL.Image",),
    "cnnlib.data": ("cnnlib.data", "sklearn.datasets", "PIL.Image"),
    "cnnlib.models": ("cnnlib.models",),
    "cnnlib.summary": ("cnnlib.summary",),
    "cnnlib.plots": ("cnnlib.plots",),
    "cnnlib.training": ("cnnlib.training",),
    "cnnlib.transfer": ("cnnlib.transfer",),
    "cnnlib.detection": ("cnnlib.detection",),
}
_IMPORT = re.compile(rb"\b(?:import|from)[ \t]+([A-Za-z_][\w.]*)(?:[ \t]+import[ \t]+(\w+))?")
_SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/localtime",
    "/etc/mime.types",
    "/sys/kernel/mm/transparent_hugepage",  # the C library asks here whether there are huge pages
)


class IsolationError(RuntimeError):
    """Submissions cannot be isolated on this machine; the message says why and what to do."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes:
        memory_bytes: Memory of all its processes together, beyond what the warm parent shares.
        disk_bytes: Size of its /tmp (and of /dev/shm), and of one file.
        output_bytes: Bytes written to the terminal before it is ended.
        processes: Processes and threads.
        open_files: File descriptors of one process.
        cpu_seconds: CPU time of all its processes together.
        wall_seconds: Time by the clock, for the whole submission.
        cell_cpu_seconds: CPU time for one cell or test.
        cell_wall_seconds: Time by the clock for one cell or test that only waits. One that
            computes has five times as long: a busy machine must not cost an honest student points.
    """

    memory_bytes: int = 3072 * MEBIBYTE
    disk_bytes: int = 256 * MEBIBYTE
    output_bytes: int = 64 * MEBIBYTE
    processes: int = 64
    open_files: int = 256
    cpu_seconds: float = 600.0
    wall_seconds: float = 1800.0
    cell_cpu_seconds: float = 60.0
    cell_wall_seconds: float = 240.0


def mentioned(*notebooks: bytes) -> tuple[str, ...]:
    """The modules worth importing before the first fork, from the imports in these notebooks.

    Only what is on our own list is ever imported; a submission can ask for no more than time.

    Args:
        notebooks: Bytes of the files, whatever they are.
    """
    words = set()
    for data in notebooks:
        lines = b"\n".join(line for line in data.split(b"\n") if b"import" in line)
        for module, name in _IMPORT.findall(lines):
            dotted = module.decode("ascii")
            words |= {dotted, dotted.partition(".")[0], f"{dotted}.{name.decode('ascii')}"}
            words.add(".".join(dotted.split(".")[:2]))
    found = [module for word, modules in _ON_DEMAND.items() if word in words for module in modules]
    return tuple(dict.fromkeys(found))


def command_line(control_fd: int, *, as_root: bool, preload: tuple[str, ...] = ()) -> list[str]:
    """The bubblewrap command that starts a warm parent: the policy in one place.

    Args:
        control_fd: Inherited descriptor of the control socket.
        as_root: Whether this program runs as root (see the module's docstring).
        preload: Modules to import, from `mentioned`.
    """
    bubblewrap = _find_bubblewrap()
    environment = ["--clearenv", *_environment()]
    # --unshare-all: user, IPC, PID, network, UTS and cgroup namespaces. No --share-net.
    walls = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    start = f"from grading.warm import main; main({control_fd}, True, {preload!r})"
    program = [
        _interpreter(), "-s", "-B", "-c", f"import sys; sys.path[0] = '/course'; {start}",
    ]  # fmt: skip
    if not as_root:
        mounts = _mounts(proc=["--proc", "/proc"])
        return [bubblewrap, *walls, *environment, *mounts, "--", *program]
    # The machine's own /proc is in the outer one only because the kernel allows the inner one a
    # fresh /proc only if it reveals nothing new; no program of the sandbox runs between the two.
    outer = [bubblewrap, "--die-with-parent", *environment]
    outer += _mounts(proc=["--bind", "/proc", "/proc"])
    identity = [f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]
    powerless = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    inner = [bubblewrap, *walls, "--ro-bind", "/", "/", *_private("--proc", "/proc")]
    return [*outer, "--", _find("setpriv"), *identity, *powerless, *inner, "--", *program]


def _mounts(proc: list[str]) -> list[str]:
    """Everything that is visible, all of it read-only but /tmp."""
    visible = {path: path for path in _existing(_SYSTEM_FILES)} | _python_folders()
    visible["/course/cnnlib"] = str(_library_folder())
    for name in _MODULES:
        visible[f"/course/grading/{name}.py"] = str(_HERE / f"{name}.py")
    # Folders above a mount would be private to root, who starts this, and closed to the rest.
    parents = {parent for path in visible for parent in Path(path).parents} - {Path("/")}
    folders = [word for path in sorted(parents) for word in _open_folder(path)]
    binds = [word for path, origin in visible.items() for word in ("--ro-bind", origin, path)]
    system = ["--ro-bind", "/usr", "/usr", *_top_level_links()]
    return [*system, *folders, *binds, *_private(*proc), "--remount-ro", "/"]


def _open_folder(path: Path) -> list[str]:
    return [] if path.is_relative_to("/usr") else ["--perms", "0755", "--dir", str(path)]


def _private(*proc: str) -> list[str]:
    return [*proc, "--dev", "/dev", "--remount-ro", "/dev", "--tmpfs", "/tmp", "--chdir", "/"]


def _find_bubblewrap() -> str:
    if not sys.platform.startswith("linux"):
        raise IsolationError(
            f"isolating submissions needs Linux, and this is {sys.platform}. Use the Docker image, "
            "or --isolation none if you trust every submission: student code then runs with "
            "your rights, can read your files and reach the network."
        )
    found = shutil.which("bwrap")
    if found is None:
        raise IsolationError(
            "isolating submissions needs bubblewrap: apt-get install bubblewrap (or dnf, pacman). "
            "--isolation none grades without it: student code then runs with your rights, can "
            "read your files and reach the network."
        )
    return found


def _find(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise IsolationError(f"isolation as root needs the program {program} (package util-linux)")
    return found


def _top_level_links() -> list[str]:
    """/bin, /lib and so on: links into /usr on current systems, folders on old ones."""
    arguments: list[str] = []
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            arguments += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    return arguments


def _existing(paths: tuple[str, ...]) -> list[str]:
    return [path for path in paths if Path(path).exists()]


def _in_virtual_environment() -> bool:
    return sys.prefix != sys.base_prefix


def _interpreter() -> str:
    """Path of this Python inside the sandbox."""
    if _in_virtual_environment():
        return f"{_ENVIRONMENT}/bin/{Path(sys.executable).name}"
    return sys.executable


def _python_folders() -> dict[str, str]:
    """The interpreter and its packages, unless they are in /usr anyway: place inside to origin.

    A virtual environment finds itself wherever it is mounted, so it gets a place of its own: the
    course may lie below /tmp, which is empty in the sandbox. An interpreter cannot be moved.
    """
    roots = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    roots |= {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    wanted: dict[str, str] = {}
    if _in_virtual_environment():
        wanted[_ENVIRONMENT] = sys.prefix
    for root in sorted(roots, key=len):
        inside = any(Path(root).is_relative_to(other) for other in ["/usr", *wanted.values()])
        if inside or not Path(root).is_dir():
            continue
        if Path(root).is_relative_to("/tmp"):
            raise IsolationError(f"Python lies in {root}, and /tmp is empty in the sandbox")
        wanted[root] = root
    return wanted


def _library_folder() -> Path:
    spec = importlib.util.find_spec("cnnlib")
    if spec is None or spec.origin is None:
        raise IsolationError("the package cnnlib cannot be found; run from the course's folder")
    return Path(spec.origin).resolve().parent


def _environment() -> list[str]:
    variables = {
        "PATH": f"{Path(_interpreter()).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": "/tmp/matplotlib",
        "IPYTHONDIR": "/tmp/ipython",
        "PYTHONHASHSEED": "0",
        # One thread each: workers share the cores, and a fork may have only one.
        **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")},
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        "CUDA_VISIBLE_DEVICES": "",
        # Huge pages for the C library's memory from the beginning, as far as it goes: less to
        # gather before the first fork (`grading.linux.gather_memory`). Others ignore it.
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }
    return [word for name, value in variables.items() for word in ("--setenv", name, value)]


class Session:
    """One forked process: a socket to talk to it, and how it ended.

    Attributes:
        number: Its number in its warm parent.
        group: The group that the kernel limits, while there is one.
        report: What the keeper wrote about it, once it has ended.
        usage: CPU seconds and bytes of memory, as last asked for.
    """

    def __init__(self, number: int, group: cgroups.Group | None = None) -> None:
        self.number = number
        self.group = group
        self.report: dict | None = None
        self.usage: tuple[float, float] | None = None

    def settle(self, report: dict) -> None:
        """Take the report, with what the kernel says about memory, and remove the group."""
        if self.group is not None and self.group.memory_ran_out():
            report["reason"] = "memory"
        self.report = report
        self.leave_group()

    def leave_group(self) -> None:
        """End whatever is still in the group, and remove it."""
        group, self.group = self.group, None
        if group is not None:
            group.end()


class _Ahead(NamedTuple):
    """A process that was forked before it was needed."""

    limits: Limits
    session: Session
    channel: socket.socket


class WarmParent:
    """A warm parent, or a twin of one. Use as a context manager; leaving it ends every fork."""

    def __init__(self, *, isolation: str = "bubblewrap", preload: tuple[str, ...] = ()) -> None:
        """Start the process; `wait_until_ready` waits for its imports.

        Args:
            isolation: "bubblewrap", or "none" for plain forks with only resource limits.
            preload: Modules to import beside those that every assignment needs, from `mentioned`.

        Raises:
            IsolationError: There is no isolation on this machine.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._take(ours)
        if isolation == "bubblewrap":
            command = command_line(theirs.fileno(), as_root=os.geteuid() == 0, preload=preload)
            environment = None
        else:
            start = f"from grading.warm import main; main({theirs.fileno()}, False, {preload!r})"
            code = f"import sys; sys.path[0] = {str(_HERE.parent)!r}; {start}"
            command = [sys.executable, "-s", "-B", "-c", code]
            words = _environment()
            environment = dict(zip(words[1::3], words[2::3], strict=True))
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        with theirs:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self.errors,
                stderr=self.errors,
                pass_fds=[theirs.fileno()],
                cwd="/",
            )

    def _take(self, control: socket.socket) -> None:
        # Before the first process of the sandbox: it must be in the leaf that `cgroups.take` makes.
        self.groups = cgroups.here()
        self.control = control
        self.sessions: dict[int, Session] = {}
        self.ahead: dict[str, _Ahead] = {}  # by role
        self.count = 0
        self.ready = False
        self.process: subprocess.Popen | None = None
        self.errors: IO[bytes] | None = None

    @classmethod
    def adopt(cls, control_fd: int) -> WarmParent:
        """The twin at the other end of an inherited socket, see `twin`."""
        adopted = cls.__new__(cls)
        adopted._take(socket.socket(fileno=control_fd))
        adopted.ready = True  # what it was forked from was
        return adopted

    def twin(self) -> socket.socket:
        """Have the warm parent fork a twin of itself, for another worker.

        Returns:
            The twin's control socket, for that worker to `adopt`. The twin ends when the socket
            is closed, and also with the process that started the first warm parent.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._send({"op": "twin"}, theirs.fileno())
        return ours

    def __enter__(self) -> WarmParent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_until_ready(self, limits: Limits | None = None) -> None:
        """Wait until the imports are done, then fork once on trial.

        A machine on which every fork fails would otherwise give everybody 0 points. On trial no
        student's code is there yet, so a failure is the machine's.

        Args:
            limits: Those of the submissions to come, for the trial.

        Raises:
            IsolationError: The sandbox could not be built, its program failed, or a fork of it
                could not be isolated.
        """
        if self.ready:
            return
        message = self._receive(START_SECONDS)
        if message is None or message["event"] != "ready":
            self.refuse("did not start", (message or {}).get("message") or self._last_words())
        self.ready = True
        session, channel = self.start("student", limits or Limits(), trial=True)
        with channel:
            channel.settimeout(START_SECONDS)
            try:
                alive = channel.recv(1)
            except OSError:
                alive = b""
        report = self.end(session)
        if not alive:
            self.refuse("cannot be forked", f"{report.get('reason')} {report.get('output', '')}")

    def _last_words(self) -> str:
        """What a process that does not start has said."""
        if self.process is None or self.errors is None:
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)
        self.errors.seek(0)
        return self.errors.read(4000).decode("utf-8", "replace")

    def refuse(self, what: str, details: str) -> NoReturn:
        """Close the sandbox and say why nothing can be graded in it."""
        self.ready = False
        self.close()
        raise IsolationError(
            f"the sandbox {what}: {details.strip()}\n"
            "Some distributions forbid user namespaces (sysctl kernel.unprivileged_userns_clone"
            " or kernel.apparmor_restrict_unprivileged_userns), and so do many containers. "
            "--isolation none grades without isolation, if you trust every submission."
        )

    def start(
        self, role: str, limits: Limits, *, trial: bool = False
    ) -> tuple[Session, socket.socket]:
        """Fork a process; returns it and our end of its socket.

        Args:
            role: "student" or "checker".
            limits: What it may use.
            trial: One on trial sends a byte when all its walls stand, and ends.
        """
        self.wait_until_ready(limits)
        ahead = None if trial else self._take_ahead(role, limits)
        return (ahead.session, ahead.channel) if ahead else self._fork(role, limits, trial=trial)

    def fork_ahead(self, limits: Limits) -> None:
        """Fork one process of each role before it is asked for, if there is none yet.

        A fork and its namespaces take the kernel many milliseconds, which would otherwise pass
        between two submissions with nothing else to do. A process waits within its own walls, and
        is used for one submission like any other.
        """
        for role in ROLES:
            if role not in self.ahead:
                self.ahead[role] = _Ahead(limits, *self._fork(role, limits))

    def _take_ahead(self, role: str, limits: Limits) -> _Ahead | None:
        """What was forked ahead for this role, unless it ended or has other limits."""
        ahead = self.ahead.pop(role, None)
        if ahead is None:
            return None
        while select.select([self.control], [], [], 0)[0]:
            self._dispatch(self._receive(0))
        if ahead.session.report is None and ahead.limits == limits:
            return ahead
        ahead.channel.close()
        self.end(ahead.session)
        return None

    def end_ahead(self) -> None:
        """End what was forked ahead and not used."""
        while self.ahead:
            _, ahead = self.ahead.popitem()
            ahead.channel.close()
            self.end(ahead.session)

    def _fork(
        self, role: str, limits: Limits, *, trial: bool = False
    ) -> tuple[Session, socket.socket]:
        self.count += 1
        session = Session(self.count, self.groups.make(limits))
        ours, theirs = socket.socketpair()
        order = {"op": "start", "role": role, "id": session.number, "trial": trial}
        ways_in = [] if session.group is None else [session.group.entrance]
        try:
            with theirs:
                self._send({**order, "limits": asdict(limits)}, theirs.fileno(), *ways_in)
        except IsolationError:
            ours.close()
            session.leave_group()
            raise
        if session.group is not None:
            session.group.close_entrance()
        self.sessions[session.number] = session
        return session, ours

    def usage(self, session: Session, timeout: float = 5.0) -> tuple[float, float] | None:
        """CPU seconds and bytes of memory of a running worker and all it started.

        None if the warm parent does not answer in time, as on a very busy machine.
        """
        session.usage = None
        self._send({"op": "usage", "id": session.number})
        end = time.monotonic() + timeout
        while session.usage is None and time.monotonic() < end:
            self._dispatch(self._receive(end - time.monotonic()))
        return session.usage

    def end(self, session: Session, timeout: float = 20.0) -> dict:
        """End a worker with everything it started; returns the keeper's report."""
        if session.report is None:
            self._send({"op": "end", "id": session.number})
        end = time.monotonic() + timeout
        while session.report is None and time.monotonic() < end:
            self._dispatch(self._receive(end - time.monotonic()))
        self.sessions.pop(session.number, None)
        session.leave_group()  # where the sandbox is silent, the kernel can still end it
        return session.report or {"reason": "the sandbox does not answer"}

    def wait_for_end(self, session: Session, timeout: float) -> dict | None:
        """The keeper's report if the worker ends by itself within the time."""
        end = time.monotonic() + timeout
        while session.report is None and time.monotonic() < end:
            self._dispatch(self._receive(end - time.monotonic()))
        return session.report

    def close(self) -> None:
        """End the warm parent and everything forked from it."""
        self.control.close()
        for ahead in self.ahead.values():
            ahead.channel.close()
        if self.process is not None:
            try:
                self.process.wait(1.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for session in self.sessions.values():
            session.leave_group()
        self.groups.sweep()
        if self.errors is not None:
            self.errors.close()

    def _send(self, message: dict, *descriptors: int) -> None:
        data = json.dumps(message).encode()
        try:
            if descriptors:
                socket.send_fds(self.control, [data], descriptors)
            else:
                self.control.send(data)
        except OSError as error:
            raise IsolationError("the sandbox has ended") from error

    def _receive(self, timeout: float) -> dict | None:
        self.control.settimeout(max(timeout, 0.001))
        try:
            data = self.control.recv(_CONTROL_BYTES)
        except TimeoutError:
            return None
        except ConnectionResetError:  # it ended without having read our last order
            data = b""
        if not data:
            if self.ready:
                raise IsolationError("the sandbox has ended")
            return None
        return json.loads(data)

    def _dispatch(self, message: dict | None) -> None:
        session = self.sessions.get(message["id"]) if message else None
        if session is None:
            return
        if message["event"] == "ended":
            refused = message.pop("group_refused", 0)
            if refused and session.group is not None:
                self.groups.give_up(f"a process could not join its group: {os.strerror(refused)}")
            del self.sessions[session.number]
            session.settle(message)
        elif message["event"] == "usage":
            session.usage = (message["cpu"], message["memory"])
