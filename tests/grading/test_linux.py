"""The filter of system calls: what it refuses, on which machines, and what goes on working."""

import ast
import contextlib
import ctypes
import errno
import io
import mmap
import os
import platform
import struct
import sys

import pytest

from grading import linux

ALLOW, KILL = "allow", "kill"
# Independent of the module: from the kernel's tables (include/uapi/asm-generic/unistd.h and
# arch/x86/entry/syscalls/syscall_64.tbl).
NUMBERS = {
    "x86_64": {
        "read": 0, "mmap": 9, "ioctl": 16, "socket": 41, "clone": 56, "fork": 57, "execve": 59,
        "kill": 62, "ptrace": 101, "mount": 165, "umount2": 166, "pivot_root": 155, "swapon": 167,
        "reboot": 169, "init_module": 175, "quotactl": 179, "io_uring_setup": 425, "bpf": 321,
        "finit_module": 313, "delete_module": 176, "add_key": 248, "request_key": 249,
        "keyctl": 250, "perf_event_open": 298, "process_vm_readv": 310, "process_vm_writev": 311,
        "open_by_handle_at": 304, "setns": 308, "unshare": 272, "kexec_load": 246,
        "userfaultfd": 323, "personality": 135, "clone3": 435, "io_uring_enter": 426, "iopl": 172,
    },
    "aarch64": {
        "read": 63, "mmap": 222, "ioctl": 29, "socket": 198, "clone": 220, "execve": 221,
        "kill": 129, "ptrace": 117, "mount": 40, "umount2": 39, "pivot_root": 41, "swapon": 224,
        "reboot": 142, "init_module": 105, "quotactl": 60, "io_uring_setup": 425, "bpf": 280,
        "finit_module": 273, "delete_module": 106, "add_key": 217, "request_key": 218,
        "keyctl": 219, "perf_event_open": 241, "process_vm_readv": 270, "process_vm_writev": 271,
        "open_by_handle_at": 265, "setns": 268, "unshare": 97, "kexec_load": 104,
        "userfaultfd": 282, "personality": 92, "clone3": 435, "io_uring_enter": 426,
    },
}  # fmt: skip
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ORDINARY = ("read", "mmap", "fork", "execve", "kill")
NEW_USER_NAMESPACE, CHILD_OF_FORK = 0x10000000, 0x1200011
REFUSED = -errno.EPERM


def verdict(machine, number, *arguments, audit=None):
    """What the filter says: a tiny interpreter of the instructions it uses."""
    arguments = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("IIQ6Q", number, audit or AUDIT[machine], 0, *arguments)
    program = [struct.unpack("HBBI", s) for s in linux._filter_program(*linux._MACHINES[machine])]
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, value = program[at]
        at += 1
        if code == 0x20:  # load a word
            accumulator = struct.unpack_from("I", data, value)[0]
        elif code == 0x06:  # return
            kind, detail = value & 0xFFFF0000, value & 0xFFFF
            return {0x7FFF0000: ALLOW, 0x80000000: KILL, 0x00050000: -detail}[kind]
        else:
            holds = {
                0x15: accumulator == value, 0x35: accumulator >= value, 0x45: accumulator & value
            }[code]  # fmt: skip
            at += if_true if holds else if_false


@pytest.mark.parametrize("machine", NUMBERS)
def test_what_the_filter_says_on_each_machine(machine):
    numbers = dict(NUMBERS[machine])
    special = {name: numbers.pop(name) for name in ("clone", "clone3", "socket", "ioctl")}
    for name, number in numbers.items():
        expected = ALLOW if name in ORDINARY else REFUSED
        assert verdict(machine, number) == expected, name
    assert verdict(machine, special["clone"], CHILD_OF_FORK) == ALLOW
    assert verdict(machine, special["clone"], CHILD_OF_FORK | NEW_USER_NAMESPACE) == REFUSED
    assert verdict(machine, special["clone3"]) == -errno.ENOSYS
    for family, allowed in {1: True, 2: True, 10: True, 16: False, 17: False, 38: False}.items():
        assert verdict(machine, special["socket"], family) == (ALLOW if allowed else REFUSED)
    for request, allowed in {0x5412: False, 0x541C: False, 0x5401: True, 0x5421: True}.items():
        assert verdict(machine, special["ioctl"], 0, request) == (ALLOW if allowed else REFUSED)
        upper = request | 1 << 32  # of which the kernel reads the lower half only
        assert verdict(machine, special["ioctl"], 0, upper) == (ALLOW if allowed else REFUSED)
    assert verdict(machine, numbers["read"], audit=0x40000003) == KILL  # 32-bit numbering
    if machine == "x86_64":
        assert verdict(machine, numbers["read"] | 0x40000000) == REFUSED  # x32


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() not in NUMBERS,
    reason="the filter is for Linux on these machines",
)
def test_the_kernel_takes_the_filter_and_refuses_every_call_of_the_table():
    column = linux._MACHINES[platform.machine()][0]
    wanted = {name: numbers[column] for name, numbers in linux._FORBIDDEN.items()}
    # Some of these would really do something: none is called unless the program refuses it.
    verdicts = {verdict(platform.machine(), n) for n in wanted.values() if n is not None}
    assert verdicts == {REFUSED}
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        libc = ctypes.CDLL(None, use_errno=True)
        linux._check(libc.prctl(linux._PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
        linux.install_seccomp_filter()
        passed = []
        for name, number in wanted.items():
            if number is not None and not (
                libc.syscall(number, -1, 0, 0, 0, 0, 0) == -1 and ctypes.get_errno() == errno.EPERM
            ):
                passed.append(name)
        if libc.ioctl(0, 0x5412, b"x") != -1 or ctypes.get_errno() != errno.EPERM:
            passed.append("TIOCSTI")
        os.write(writer, repr((passed, os.getpid() > 0)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answers:
        assert answers.read() == "([], True)"
    assert os.waitpid(child, 0)[1] == 0


def test_machines_without_a_table_are_named(monkeypatch):
    assert set(linux._MACHINES) == {"x86_64", "aarch64"}
    assert linux.can_fork_into() == linux.seccomp_available()
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert not linux.seccomp_available()
    assert not linux.can_fork_into()


@pytest.mark.skipif(not linux.can_fork_into(), reason="the system call's number is not known")
def test_a_fork_begins_as_process_1_of_its_own_namespaces():
    reader, writer = os.pipe()
    ids = os.getuid(), os.getgid()
    namespaces = ("user", "pid", "mnt", "ipc", "uts", "net", "cgroup")
    try:
        child = linux.fork_into(linux.NEW_NAMESPACES)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSPC) or os.environ.get("CI"):
            raise
        pytest.skip("user namespaces are forbidden here")
    if child == 0:
        code = 1
        try:
            linux.map_own_ids(*ids)
            seen = [os.readlink(f"/proc/self/ns/{name}") for name in namespaces]
            grandchild = os.fork()  # the ordinary way: Python's own state has survived
            if grandchild == 0:
                os._exit(7 if os.getppid() == 1 else 1)
            ended = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
            answer = (os.getpid(), os.getuid(), os.getgid(), ended, seen)
            os.write(writer, repr(answer).encode())
            code = 3
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as answers:
        pid, uid, gid, ended, seen = ast.literal_eval(answers.read())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert (pid, uid, gid, ended) == (1, *ids, 7)
    for name, place in zip(namespaces, seen, strict=True):
        assert place != os.readlink(f"/proc/self/ns/{name}"), name


@pytest.mark.skipif(not linux.can_fork_into(), reason="the system call's number is not known")
def test_a_fork_that_the_kernel_refuses_is_an_error_and_does_no_harm():
    shared_root = 0x200  # CLONE_FS, which a mount namespace of its own rules out
    with pytest.raises(OSError, match="clone: Invalid argument"):
        linux.fork_into(linux.CLONE_NEWNS | shared_root)
    child = os.fork()
    if child == 0:
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="a system call of Linux")
def test_gathered_memory_holds_what_it_held():
    size = 3 * linux._HUGE_PAGE
    memory = mmap.mmap(-1, size)
    with contextlib.closing(memory):
        memory[:] = bytes(range(256)) * (size // 256)
        gathered = linux.gather_memory()
        assert gathered % linux._HUGE_PAGE == 0
        assert memory[:] == bytes(range(256)) * (size // 256)


def test_only_private_memory_that_can_be_written_is_gathered(monkeypatch):
    text = (
        "55d000000000-55d000900000 rw-p 00000000 00:00 0    [heap]\n"
        "7f0000001000-7f0000601000 rw-p 00000000 00:00 0 \n"
        "7f1000000000-7f1000900000 r--p 00000000 00:00 0 \n"
        "7f2000000000-7f2000900000 rw-s 00000000 00:01 77   /dev/zero (deleted)\n"
        "7f3000000000-7f3000900000 rw-p 00100000 08:01 99   /usr/lib/libtorch.so\n"
        "7ffd00000000-7ffd00900000 rw-p 00000000 00:00 0    [stack]\n"
        "7f4000000000-7f4000001000 rw-p 00000000 00:00 0 \n"
    )
    asked = []

    class Kernel:
        def madvise(self, start, length, advice):
            asked.append((start, length, advice))
            return 0 if len(asked) == 1 else -1

    monkeypatch.setattr("builtins.open", lambda path: io.StringIO(text))
    monkeypatch.setattr(linux, "_libc", Kernel())
    assert linux.gather_memory() == 0x800000
    assert asked == [(0x55D000000000, 0x800000, 25), (0x7F0000200000, 0x400000, 25)]


def test_without_a_list_of_its_memory_nothing_is_gathered(monkeypatch):
    def no_such_file(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr("builtins.open", no_such_file)
    assert linux.gather_memory() == 0
