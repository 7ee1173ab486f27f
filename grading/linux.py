"""The few Linux system calls that isolation needs and Python does not wrap.

Used inside the sandbox by `grading.warm`, between ``fork`` and the first line of foreign code. No
third-party package: these are a dozen calls with fixed numbers, and what they do must be readable
next to why they are made.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
NEW_NAMESPACES = (
    CLONE_NEWUSER
    | CLONE_NEWNS
    | CLONE_NEWPID
    | CLONE_NEWIPC
    | CLONE_NEWUTS
    | CLONE_NEWNET
    | CLONE_NEWCGROUP
)

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_REC, MS_PRIVATE = 16384, 1 << 18

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 22, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522

_MADV_COLLAPSE = 25
_HUGE_PAGE = 2 * 1024 * 1024

_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_HOLDING_THE_LOCK = ctypes.PyDLL(None, use_errno=True)
_HOLDING_THE_LOCK.syscall.restype = ctypes.c_long
_HOLDING_THE_LOCK.syscall.argtypes = (ctypes.c_long,) * 6


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def gather_memory() -> int:
    """Have the kernel put this process's own memory into huge pages, as far as it can.

    A fork copies the table of all pages that its parent has written. After importing torch that
    are a hundred thousand small ones, and copying and dropping the table is most of what a fork
    costs; huge ones are five hundred times fewer. (``madvise(2)``, MADV_COLLAPSE: Linux 6.1.)

    Returns:
        Bytes of the areas that were gathered; 0 where the kernel cannot.
    """
    gathered = 0
    for start, end in _own_memory():
        start, end = -(-start // _HUGE_PAGE) * _HUGE_PAGE, end // _HUGE_PAGE * _HUGE_PAGE
        if start < end and _libc.madvise(start, end - start, _MADV_COLLAPSE) == 0:
            gathered += end - start
    return gathered


def _own_memory() -> list[tuple[int, int]]:
    """Beginning and end of every area that is written here and comes from no file."""
    try:
        with open("/proc/self/maps") as file:
            lines = [line.split() for line in file]
    except FileNotFoundError:
        return []
    return [
        tuple(int(end, 16) for end in area.split("-"))  # type: ignore[misc]
        for area, access, _, _, inode, *name in lines
        if inode == "0" and access == "rw-p" and name in ([], ["[heap]"])
    ]


def can_fork_into() -> bool:
    """Whether the number of the system call behind `fork_into` is known for this machine."""
    return platform.machine() in _MACHINES


def fork_into(flags: int) -> int:
    """``os.fork()`` whose child begins in new namespaces, as process 1 of a new PID namespace.

    ``unshare`` and then ``fork`` do the same with one process more in between, because a new PID
    namespace is one for the children of who asks. A process of this size is not forked for
    nothing. ``clone(2)`` is called by its number, as the C library's function of that name wants
    a stack. So the C library does not notice the fork, and its notes about the calling thread are
    the parent's; they are right again in every child that is forked the ordinary way.

    Returns:
        0 in the child, its number in the parent.

    Raises:
        OSError: The kernel refused.
    """
    number = _MACHINES[platform.machine()][2]
    python = ctypes.pythonapi
    python.PyOS_BeforeFork()
    # Not through `_libc`: that would let go of Python's lock around the call.
    pid = _HOLDING_THE_LOCK.syscall(number, flags | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        python.PyOS_AfterFork_Child()
        return 0
    error = ctypes.get_errno()
    python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, f"clone: {os.strerror(error)}")
    return pid


def unshare(flags: int) -> None:
    """Move the calling process into new namespaces (its children, for the PID namespace)."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def map_own_ids(uid: int, gid: int) -> None:
    """Give the new user namespace the same single user and group as outside."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def mount(kind: str, target: str, options: str = "", flags: int = MS_NOSUID | MS_NODEV) -> None:
    """Mount a fresh ``tmpfs`` or ``proc``."""
    arguments = (kind.encode(), target.encode(), kind.encode())
    _check(
        _libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None),
        f"mount {kind} on {target}",
    )


def make_mounts_private() -> None:
    """Keep later mounts from spreading to the namespace we came from."""
    _check(_libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "mount /")


def bring_loopback_up() -> None:
    """Bring 127.0.0.1 up in the new, otherwise empty network namespace.

    Some libraries (``torch.distributed``, multiprocessing managers) talk to themselves that way.
    """
    import fcntl
    import socket

    get_flags, set_flags, up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        request = bytearray(struct.pack("16sH14x", b"lo", 0))
        fcntl.ioctl(connection, get_flags, request)
        flags = struct.unpack_from("H", request, 16)[0]
        struct.pack_into("H", request, 16, flags | up)
        fcntl.ioctl(connection, set_flags, request)


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this signal when the parent ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "PR_SET_PDEATHSIG")


def forbid_inspection() -> None:
    """Keep other processes of the same user from tracing this one or reading its memory."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "PR_SET_DUMPABLE")


def drop_privileges() -> None:
    """Give up every capability for good; no later program may gain any."""
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            if ctypes.get_errno() in (errno.EINVAL, errno.EPERM):
                break  # past the last capability, or already without the right to drop more
            _check(-1, "PR_CAPBSET_DROP")
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), 8)
    _check(_libc.capset(header, ctypes.create_string_buffer(24)), "capset")
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")


# System calls that no answer to an assignment needs, and that have been the way into the kernel
# before. (x86_64 number, aarch64 number); the two tables agree from 424 on. The last three calls
# exist on x86 only.
_FORBIDDEN: dict[str, tuple[int, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "pidfd_getfd": (438, 438),
    "mount_setattr": (442, 442),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "personality": (135, 92),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "quotactl_fd": (443, 443),
    "fanotify_init": (300, 262),
    "clock_adjtime": (305, 266),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "ioperm": (173, None),
    "iopl": (172, None),
    "modify_ldt": (154, None),
}
_MACHINES = {
    # column of the table, audit number, clone, socket, ioctl
    "x86_64": (0, 0xC000003E, 56, 41, 16),
    "aarch64": (1, 0xC00000B7, 220, 198, 29),
}
_CLONE3 = 435
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # type into, or paste into, the terminal of somebody else
_LOCAL_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6; the namespace has no way out anyway


def seccomp_available() -> bool:
    """Whether the filter's numbers are known for this machine."""
    return platform.machine() in _MACHINES


def install_seccomp_filter() -> None:
    """Refuse the system calls of the table for this process and its children, for good.

    They fail with "operation not permitted" instead of killing, so that an innocent library that
    probes for one goes on. New namespaces are refused in ``clone`` too, and ``clone3``, whose
    flags a filter cannot read, pretends not to exist, as the C library expects on old kernels.
    Writing into a terminal's input is refused in ``ioctl``.
    """
    program = b"".join(_filter_program(*_MACHINES[platform.machine()]))
    code = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    fprog = Program(len(program) // 8, ctypes.addressof(code))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(fprog), 0, 0), "seccomp")


def _filter_program(
    column: int, audit: int, clone: int, socket_call: int, ioctl: int
) -> list[bytes]:
    """The filter as classic BPF; each condition is one jump over one return."""
    load, jump_equal, jump_at_least, jump_bits, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill, refuse = 0x7FFF0000, 0x80000000, 0x00050000
    number_at, machine_at, first_argument_at, second_argument_at = 0, 4, 16, 24

    def step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("HBBI", code, if_true, if_false, value)

    not_permitted = step(give, refuse | errno.EPERM)
    program = [
        step(load, machine_at),
        step(jump_equal, audit, 1, 0),
        step(give, kill),
        step(load, number_at),
        # x86_64 has a second numbering (x32) that would walk around the table.
        step(jump_at_least, 0x40000000, 0, 1),
        not_permitted,
    ]
    for numbers in _FORBIDDEN.values():
        number = numbers[column]
        if number is not None:
            program += [step(jump_equal, number, 0, 1), not_permitted]
    program += [
        step(jump_equal, ioctl, 0, 5),
        step(load, second_argument_at),
        step(jump_equal, _TIOCSTI, 1, 0),
        step(jump_equal, _TIOCLINUX, 0, 1),
        not_permitted,
        step(give, allow),
        step(jump_equal, _CLONE3, 0, 1),
        step(give, refuse | errno.ENOSYS),
        step(jump_equal, clone, 0, 4),
        step(load, first_argument_at),
        step(jump_bits, NEW_NAMESPACES, 0, 1),
        not_permitted,
        step(give, allow),
        step(jump_equal, socket_call, 0, 2 + len(_LOCAL_FAMILIES)),
        step(load, first_argument_at),
    ]
    for left, family in zip(range(len(_LOCAL_FAMILIES), 0, -1), _LOCAL_FAMILIES, strict=True):
        program.append(step(jump_equal, family, left, 0))
    return [*program, not_permitted, step(give, allow)]
