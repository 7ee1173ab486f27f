"""Submissions that attack the grader or meet with an accident: each gets what its work is worth.

A submission starts from right answers to every task. `Case` says what is put into it and which
tests must lose points because of it; all others must keep theirs. Every attack is bounded: it
could not hurt the machine even if nothing stopped it.
"""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import FULL, MINI, Notebook, outcome

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]

CONVOLVE = """
def convolve(image, kernel):
    height, width = kernel.shape
    patches = image.unfold(0, height, 1).unfold(1, width, 1)
    return (patches * kernel).sum((-1, -2))
"""
SIZE = """
def output_size(size, kernel, stride=1, padding=0):
    if kernel > size + 2 * padding:
        raise ValueError("too large")
    return (size + 2 * padding - kernel) // stride + 1
"""
STUB = "def output_size(size, kernel, stride=1, padding=0):\n    raise NotImplementedError()\n"
ALL = frozenset(FULL)


@dataclass
class Case:
    """What a submission does and what it must cost.

    Attributes:
        answers: Text of solution cells, by grade_id.
        first: A cell of the student's own at the top.
        loses: Tests that give no points.
        statuses: Expected status of some tests; a tuple where it depends on the machine.
        gives: Points of tests that are partly right, honestly.
        edit: What else happened to the notebook.
    """

    answers: dict = field(default_factory=dict)
    first: str = ""
    loses: frozenset = frozenset()
    statuses: dict = field(default_factory=dict)
    gives: dict = field(default_factory=dict)
    edit: Callable[[Notebook], None] = lambda notebook: None


def size(body, loses=True, **more):
    """A case in which the first task is answered by this code."""
    loses = frozenset({"test_output_size"}) if loses else frozenset()
    return Case(answers={"output_size": body}, loses=loses, **more)


def call(body, **more):
    """The first task's function does this when it is called."""
    lines = "\n".join("    " + line for line in body.strip().split("\n"))
    return size(f"def output_size(size, kernel, stride=1, padding=0):\n{lines}\n", **more)


KILLED = {"test_output_size": "killed"}
# Whether a process meets its own limit or the watcher of all its processes first is a matter of
# speed; both are right.
OUT_OF_MEMORY = {"test_output_size": ("failed", "killed")}
TIMEOUT = {"test_output_size": "timeout"}

FORGING = {
    "equals_everything": size("""
class Anything:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __len__(self): return 1
    def __sub__(self, other): return 0
    def __rsub__(self, other): return 0
    def __float__(self): return 28.0
    def __lt__(self, other): return True
    __gt__ = __le__ = __ge__ = __lt__
    __class__ = int
def output_size(*args, **kwargs): return Anything()
"""),
    "int_that_equals_everything": size("""
class Anything(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = int.__hash__
def output_size(*args, **kwargs): return Anything(3)
"""),
    "patches_the_checks": Case(
        answers={"output_size": STUB},
        first="""
import builtins, torch, cnnlib.checks as checks
for name in ("check_call", "check_close", "check_equal", "check_raises"):
    setattr(checks, name, lambda *a, **k: None)
    globals()[name] = lambda *a, **k: None
torch.testing.assert_close = lambda *a, **k: None
torch.equal = torch.allclose = torch.isclose = lambda *a, **k: True
builtins.AssertionError = Exception
""",
        loses=frozenset({"test_output_size"}),
    ),
    "patches_ipython": Case(
        answers={"output_size": STUB},
        first="""
ip = get_ipython()
ip.input_transformers_post.append(lambda lines: ["pass\\n"])
ip.ast_transformers.clear()
ip.run_cell = lambda *a, **k: None
""",
        # Every later cell of its own became "pass": it destroyed its own answers.
        loses=ALL,
    ),
    "display_hook": Case(
        answers={"output_size": STUB},
        first="""
import sys
sys.displayhook = lambda value: print(2.0)
get_ipython().displayhook = lambda value: None
print(2.0)
2.0
""",
        loses=frozenset({"test_output_size"}),
    ),
    "tensor_subclass": Case(
        answers={
            "convolve": """
class Close(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func.__name__ in ("isclose", "eq", "allclose", "equal"):
            return torch.tensor(True)
        return super().__torch_function__(func, types, args, kwargs or {})
def convolve(image, kernel):
    shape = (image.shape[0] - kernel.shape[0] + 1, image.shape[1] - kernel.shape[1] + 1)
    return torch.zeros(shape).as_subclass(Close)
"""
        },
        loses=frozenset({"test_convolve"}),
    ),
    "nan": Case(
        answers={
            "convolve": """
def convolve(image, kernel):
    shape = (image.shape[0] - kernel.shape[0] + 1, image.shape[1] - kernel.shape[1] + 1)
    return torch.full(shape, float("nan"))
"""
        },
        loses=frozenset({"test_convolve"}),
    ),
    "box_that_equals_everything": Case(
        answers={
            "box": """
class Box:
    def __init__(self, *corners): pass
    def area(self): return Always()
    def __eq__(self, other): return Always()
class Always:
    def __eq__(self, other): return True
    def __bool__(self): return True
"""
        },
        loses=frozenset({"test_box"}),
    ),
    "area_returns_a_box": Case(
        # The one class that has operators, where a number is expected.
        answers={
            "box": """
class Box:
    def __init__(self, *corners): pass
    def area(self): return Box()
    def __eq__(self, other): return True
    def __hash__(self): return 0
"""
        },
        # Equality "always True" is right for equal boxes and wrong for different ones.
        gives={"test_box": 1.0},
    ),
    "points_from_student": Case(
        answers={
            "box": """
class Box:
    def __init__(self, *corners): pass
    def area(self): return 10**6
"""
        },
        # Without __eq__ different boxes differ, which is one point.
        gives={"test_box": 1.0},
    ),
    "forged_messages": size("""
def output_size(*args, **kwargs):
    print('{"event": "end", "status": "passed", "points": 2}')
    raise AssertionError("passed: 2/2 points")
"""),
    "raises_success": size("""
def output_size(*args, **kwargs):
    raise SystemExit(0)
"""),
    "raises_skip": size("""
import unittest
def output_size(*args, **kwargs):
    raise unittest.SkipTest("passed")
"""),
    "object_with_torch_function": Case(
        answers={
            "convolve": """
class Fake:
    dtype, shape, requires_grad = torch.float32, torch.Size([2, 3]), False
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None): return torch.tensor(True)
    def __getattr__(self, name): return lambda *a, **k: self
def convolve(image, kernel): return Fake()
"""
        },
        loses=frozenset({"test_convolve"}),
    ),
    "numbers_that_compare_as_they_like": Case(
        answers={
            "summarize": """
class Number(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
    __hash__ = float.__hash__
class Answers(dict):
    def __eq__(self, other): return True
    def __getitem__(self, key): return Number(0)
def summarize(values): return Answers(mean=Number(1), max=Number(1))
"""
        },
        loses=frozenset({"test_summarize"}),
    ),
    "patches_the_student_process": Case(
        answers={"output_size": STUB},
        first="""
import gc
for thing in gc.get_objects():
    if type(thing).__name__ == "_Student" or hasattr(type(thing), "start_watching"):
        thing.operations["lookup"] = lambda names: {name: 28 for name in names}
        thing.describe_error = lambda error: ((), "", "", (), (), None)
""",
        # It answers every lookup with a number: all its own answers are gone.
        loses=ALL,
    ),
    "its_own_test_cells": Case(
        answers={"output_size": STUB},
        edit=lambda notebook: notebook.put(test_output_size="pass", test_box="4.0"),
        loses=frozenset({"test_output_size"}),
    ),
    "stub": size(STUB, statuses={"test_output_size": "failed"}),
}

READING = {
    "looks_for_the_tests": Case(
        first="""
import gc, os, sys, glob
found = []
for folder in ("/", "/course", "/course/grading", "REPOSITORY", "/root", "/home", "/tmp", "/proc"):
    try:
        found += [os.path.join(folder, name) for name in os.listdir(folder)]
    except OSError:
        pass
text = " ".join(found)
assert "ipynb" not in text and "gradebook" not in text and "solutions" not in text, text
for root, folders, files in os.walk("/course"):
    for name in files:
        assert "test_" not in name and not name.endswith(".ipynb"), name
assert not any("hidden" in str(value)[:500].lower() and "rng = " in str(value)[:5000]
               for value in gc.get_objects() if isinstance(value, str))
assert "CNNLIB_GRADING_SEED" not in os.environ
for name in os.listdir("/proc"):
    if name.isdigit():
        try:
            data = open(f"/proc/{name}/environ", "rb").read()
        except OSError:
            continue
        assert b"SEED" not in data
print("LOOKED EVERYWHERE")
"""
    ),
    "walks_the_frames": call("""
import sys, inspect
frame = sys._getframe()
texts = []
while frame:
    texts.append(str(frame.f_locals)[:100000] + str(frame.f_globals.get("expected")))
    frame = frame.f_back
assert not any("check_call" in text and "misconceptions" in text for text in texts)
return (size + 2 * padding - kernel) // stride + 1 if kernel <= size + 2 * padding else [][1]
"""),
    "the_next_door": Case(
        first="""
import os
for name in ("root", "cwd", "exe", "environ", "mem", "maps", "fd"):
    try:
        found = os.listdir(f"/proc/1/{name}/") if name in ("root", "cwd", "fd") else None
        data = open(f"/proc/1/{name}", "rb").read(10) if found is None else found
    except OSError:
        continue
    raise SystemError(f"read {name} of the keeper: {data!r}")
print("DOOR CLOSED")
"""
    ),
    "earlier_submissions": Case(
        first="""
import os
seen = [name for folder in ("/tmp", "/dev/shm") for name in os.listdir(folder)]
assert not [name for name in seen if "left-behind" in name or "hostile" in name], seen
import sys
assert not any("hostile" in str(module) for module in list(sys.modules))
assert not os.path.exists(os.path.expanduser("~/.ipython/profile_default/startup/00-hostile.py"))
print("CLEAN START")
"""
    ),
    "other_processes": Case(
        first="""
import os
numbers = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
assert numbers[0] == 1 and len(numbers) <= 3, numbers
assert os.getppid() == 1
print("ONLY MYSELF")
"""
    ),
}

WRITING = {
    "writes_files": Case(
        first="""
import os
written = []
for path in ("/course/cnnlib/checks.py", "/usr/lib/x", "/etc/passwd", "/root/x", "/x", "/dev/x",
             "/course/grading/wire.py", "/proc/sys/kernel/core_pattern", "/proc/1/oom_score_adj",
             os.__file__, "REPOSITORY/x"):
    try:
        with open(path, "a") as file:
            file.write("import os\\n")
        written.append(path)
    except OSError:
        pass
assert not written, written
open("/tmp/left-behind", "w").write("x" * 1000)
print("WROTE NOTHING")
"""
    ),
    "startup_files": Case(
        first="""
import os
for name in (".ipython/profile_default/startup/00-hostile.py", ".bashrc", ".config/hostile.pth",
             ".matplotlib/matplotlibrc", ".local/lib/python3.11/site-packages/hostile.pth"):
    path = os.path.join(os.path.expanduser("~"), name)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").write("import os; os._exit(9)")
    except OSError:
        pass
try:
    import sysconfig
    open(os.path.join(sysconfig.get_path("purelib"), "hostile.pth"), "w").write("import os")
    raise SystemError("wrote into site-packages")
except OSError:
    print("PACKAGES ARE READ ONLY")
"""
    ),
    "shared_memory": Case(
        first="""
from multiprocessing import shared_memory
block = shared_memory.SharedMemory("hostile-left-behind", create=True, size=1000)
block.buf[:4] = b"evil"
"""
    ),
}

ESCAPE = {
    "network": Case(
        first="""
import socket, urllib.request
for family, address in ((socket.AF_INET, ("1.1.1.1", 53)), (socket.AF_INET, ("10.0.0.1", 80))):
    try:
        socket.create_connection(address, timeout=2)
        raise SystemError("reached the network")
    except OSError:
        pass
try:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
    raise SystemError("netlink")
except OSError:
    pass
print("NO NETWORK")
"""
    ),
    "signals": Case(
        first="""
import os, signal
for target in (1, -1):
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGINT):
        if target == 1:
            try:
                os.kill(target, number)
            except OSError:
                pass
print("NOBODY DIED")
"""
    ),
    "kills_everything_it_can": call("import os, signal\nos.kill(-1, signal.SIGKILL)\nreturn 0"),
    "namespaces_and_mounts": Case(
        first="""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for flags in (0x10000000, 0x00020000, 0x20000000, 0x40000000):
    assert libc.unshare(flags) == -1
assert libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == -1
assert libc.umount2(b"/proc", 2) == -1
assert libc.ptrace(16, 1, 0, 0) == -1
assert libc.setuid(0) == -1
assert libc.syscall(310, 1, 0, 0, 0, 0, 0) == -1
status = open("/proc/self/status").read()
assert "CapEff:\\t0000000000000000" in status and "CapBnd:\\t0000000000000000" in status
assert "NoNewPrivs:\\t1" in status and "Seccomp:\\t2" in status
print("LOCKED IN")
"""
    ),
    "open_descriptors": Case(
        first="""
import os, stat, socket
numbers = [int(name) for name in os.listdir("/proc/self/fd")]
paths = [f"/proc/self/fd/{number}" for number in numbers]
links = {path: os.readlink(path) for path in paths if os.path.lexists(path)}
odd = [l for n, l in links.items() if not l.startswith(("/dev/null", "pipe:", "socket:", "/proc/"))]
assert not odd, odd
assert sum(l.startswith("socket:") for l in links.values()) == 1, links
print("ONE SOCKET")
"""
    ),
    "programs_with_more_rights": Case(
        first="""
import os, subprocess
tries = (["su", "-c", "true"], ["unshare", "-U", "true"], ["mount", "-t", "tmpfs", "x", "/tmp"],
         ["bwrap", "--ro-bind", "/", "/", "true"], ["nsenter", "-t", "1", "-a", "true"])
for command in tries:
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        continue
    assert done.returncode != 0, command
assert os.getuid() != 0 or not os.access("/proc/sys/kernel/hostname", os.W_OK)
print("NO MORE RIGHTS")
"""
    ),
    "descriptors_passed_around": call("""
import os, socket
channel = socket.socket(fileno=os.dup(3))
one, other = socket.socketpair()
os.dup2(one.fileno(), 3)
try:
    socket.send_fds(channel, [b"x"], [0, 1, 2])
finally:
    os.dup2(channel.fileno(), 3)
return 28
"""),
}

EXHAUSTION = {
    "memory": call(
        "x = []\nwhile True:\n    x.append(bytearray(50_000_000))",
        statuses=OUT_OF_MEMORY,
    ),
    "memory_in_children": call(
        """
import os, time
for _ in range(6):
    if os.fork() == 0:
        block = bytearray(200_000_000)
        time.sleep(60)
        os._exit(0)
time.sleep(60)
""",
        statuses=KILLED,
    ),
    "fork_bomb": call("""
import os
children = 0
try:
    for _ in range(500):
        if os.fork() == 0:
            import time
            time.sleep(30)
            os._exit(0)
        children += 1
except OSError:
    pass
assert children < 100
raise RuntimeError("stopped by the limit")
"""),
    "disk": call(
        """
with open("/tmp/large", "wb") as file:
    for _ in range(300):
        file.write(bytes(1_000_000))
""",
        statuses={"test_output_size": "failed"},
    ),
    "output": call('print("x" * 10_000_000)\nreturn 0'),
    "raw_output": call(
        'import os\nfor _ in range(10_000):\n    os.write(1, b"x" * 100_000)', statuses=KILLED
    ),
    "endless": call("while True:\n    pass", statuses=TIMEOUT),
    "endless_that_swallows": call(
        """
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
""",
        statuses=TIMEOUT,
    ),
    "endless_cell": Case(
        answers={"output_size": "while True:\n    pass"}, loses=frozenset({"test_output_size"})
    ),
    "sleeps": call("import time\ntime.sleep(1000)", statuses=TIMEOUT),
    "giant_tensor": call("import torch\nreturn torch.zeros(1).expand(10**12)"),
    "giant_list": call("return [0] * 3_000_000"),
    "deep_nesting": call("x = []\nfor _ in range(100_000):\n    x = [x]\nreturn x"),
    "endless_iterator": call("import itertools\nreturn itertools.count()"),
    "large_tensor": call("import torch\nreturn torch.zeros(70_000_000)"),
    "many_files": call(
        "for n in range(30_000):\n    open(f'/tmp/left-behind-{n}', 'w').close()",
        statuses={"test_output_size": "failed"},
    ),
    "many_threads": call("""
import threading, time
for _ in range(1000):
    threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
return 28
"""),
    "many_open_files": call("files = [open('/dev/null') for _ in range(5000)]\nreturn 28"),
    "raises_its_own_limits": call(
        """
import resource
for name in ("AS", "NPROC", "CPU", "FSIZE"):
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (-1, -1))
return 28
"""
    ),
    "deep_recursion": call("return output_size(size, kernel)"),
    "deep_recursion_without_limit": call(
        "import sys\nsys.setrecursionlimit(10**9)\nreturn output_size(size, kernel)"
    ),
}

CRASHES = {
    "exit": call("import os\nos._exit(0)", statuses=KILLED),
    "segfault": call("import ctypes\nctypes.string_at(0)", statuses=KILLED),
    "abort": call("import os\nos.abort()", statuses=KILLED),
    "exit_in_a_cell": Case(
        answers={"output_size": "import os\nos._exit(0)"}, loses=frozenset({"test_output_size"})
    ),
    "thread_that_kills_later": Case(
        first="""
import os, threading, time
def strike():
    time.sleep(1.0)
    os._exit(1)
threading.Thread(target=strike, daemon=True).start()
"""
    ),
    "forks_and_returns_twice": call("import os\nos.fork()\nreturn 28"),
    "forks_and_returns_late": call(
        "import os, time\nif os.fork() == 0:\n    time.sleep(0.05)\nreturn 28"
    ),
    "alarm": call("import signal, time\nsignal.alarm(1)\ntime.sleep(5)", statuses=KILLED),
    "deadlock": call(
        "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
        statuses=TIMEOUT,
    ),
    "settrace": Case(first="import sys\nsys.settrace(lambda *args: None)\nsys.setprofile(None)"),
    "closes_the_channel": call("import os\nos.closerange(3, 100)"),
    "unsendable_global": Case(
        answers={"box": "Box = [0] * 3_000_000"}, loses=frozenset({"test_box"})
    ),
    "breaks_dict": Case(first="import builtins\nbuiltins.dict = builtins.len = None"),
    "breaks_print": Case(first="import sys, builtins\nsys.stdout = None\nbuiltins.print = None"),
}

PROTOCOL = {
    "garbage": call("import os\nos.write(3, b'garbage' * 1000)\nreturn 5", statuses=KILLED),
    "huge_length": call("import os\nos.write(3, b'\\xff' * 8)\nreturn 5", statuses=KILLED),
    "unasked_reply": Case(
        first="""
import sys
sys.path.insert(0, "/course")
from grading import wire
import socket, os
channel = socket.socket(fileno=os.dup(3))
payload = wire.encode((3, "ok", wire.encode(28), [], []))
wire.send_frame(channel, payload)
""",
        # The cell breaks the protocol each time it is run; without it everything is right.
    ),
    # One zero byte after the other: the checker waits for the rest until the cell's time is over.
    "drip": call(
        """
import os, time
while True:
    os.write(3, b"\\x00")
    time.sleep(1)
"""
    ),
    "another_answer_first": call(
        """
import os, sys
sys.path.insert(0, "/course")
from grading import wire
payload = wire.encode((10**6, "ok", wire.encode(28), [], []))
os.write(3, len(payload).to_bytes(4, "big") + payload)
return 28
""",
        statuses=KILLED,
    ),
    "calls_a_function_nobody_passed": call(
        """
import os, sys
sys.path.insert(0, "/course")
from grading import wire
payload = wire.encode((1, "callback", wire.encode(((), {})), [], []))
os.write(3, len(payload).to_bytes(4, "big") + payload)
return 28
""",
        statuses=KILLED,
    ),
    "somebody_elses_tensor": call(
        """
import os, sys, torch
sys.path.insert(0, "/course")
from grading import wire
state = (4, False, False, torch.zeros(1), None)
payload = wire.encode((1, "ok", wire.encode(28), [state], []))
os.write(3, len(payload).to_bytes(4, "big") + payload)
return 28
""",
        statuses=KILLED,
    ),
    "half_a_message": call(
        "import os\nos.write(3, (1000).to_bytes(4, 'big') + b'N' * 10)\nos._exit(0)",
        statuses=KILLED,
    ),
    "pickle_on_the_wire": call(
        """
import os, pickle
class Evil:
    def __reduce__(self): return (os.system, ("touch /tmp/evil",))
data = pickle.dumps(Evil())
os.write(3, len(data).to_bytes(4, "big") + data)
return 5
""",
        statuses=KILLED,
    ),
}

ACCIDENTS = {
    "warnings": Case(
        first="import warnings\nwarnings.warn('careful')",
        answers={"convolve": "import warnings\nwarnings.warn('old')\n" + CONVOLVE},
    ),
    "progress_bar": Case(
        first="""
import sys
for i in range(1000):
    print(f"\\r{i}/1000", end="", file=sys.stderr)
"""
    ),
    "colab_cells": Case(
        first="""
from google.colab import drive, files
drive.mount('/content/drive')
%cd /content/drive
!pip install torchinfo
%matplotlib inline
%pip install something
"""
    ),
    "prints_when_called": Case(
        answers={
            "convolve": CONVOLVE.replace(
                "    return", "    print('debug', image.shape)\n    return"
            )
        }
    ),
    "plots": Case(first="import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"),
    "await_at_top_level": Case(first="import asyncio\nawait asyncio.sleep(0.01)"),
    "threads_printing": Case(
        first="""
import threading, time
def chatter():
    while True:
        print("x", flush=True)
        time.sleep(0.01)
threading.Thread(target=chatter, daemon=True).start()
"""
    ),
    "data_loader_workers": Case(
        first="""
import torch
from torch.utils.data import DataLoader, TensorDataset
assert len(list(DataLoader(TensorDataset(torch.arange(8)), batch_size=4, num_workers=1))) == 2
print("LOADED")
"""
    ),
    "subprocess": Case(
        first="""
import subprocess
print(subprocess.run(["echo", "HELLO"], capture_output=True, text=True).stdout)
"""
    ),
    "error_in_a_helper": Case(first="1 / 0"),
    "cell_fails_after_the_definition": size(SIZE + "\noutput_size('a', 'b')\n", loses=False),
    "lost_metadata": Case(edit=lambda notebook: [c.update(metadata={}) for c in notebook.cells]),
    "copied_cells": Case(
        edit=lambda notebook: notebook.cells.extend(
            dict(notebook.cell(name)) for name in ("convolve", "test_convolve", "box")
        )
    ),
    "deleted_test_cells": Case(
        edit=lambda notebook: [
            notebook.cells.remove(notebook.cell(name)) for name in ("test_convolve", "test_box")
        ]
    ),
    "tqdm": Case(
        first="""
try:
    from tqdm.auto import tqdm
except ImportError:
    tqdm = list
for _ in tqdm(range(100)):
    pass
"""
    ),
    "changes_the_random_seed": Case(
        first="import torch, random\ntorch.manual_seed(1)\n"
        "random.seed(1)\ntorch.set_default_dtype(torch.float64)"
    ),
}

FAMILIES = {
    **FORGING, **READING, **WRITING, **ESCAPE, **EXHAUSTION, **CRASHES, **PROTOCOL, **ACCIDENTS,
}  # fmt: skip
# Cells that print this at their end found what they looked for to be out of reach.
PROOFS = {
    "looks_for_the_tests": "LOOKED EVERYWHERE",
    "the_next_door": "DOOR CLOSED",
    "earlier_submissions": "CLEAN START",
    "startup_files": "PACKAGES ARE READ ONLY",
    "programs_with_more_rights": "NO MORE RIGHTS",
    "other_processes": "ONLY MYSELF",
    "writes_files": "WROTE NOTHING",
    "network": "NO NETWORK",
    "signals": "NOBODY DIED",
    "namespaces_and_mounts": "LOCKED IN",
    "open_descriptors": "ONE SOCKET",
    "data_loader_workers": "LOADED",
    "subprocess": "HELLO",
}


# One or two of each family, for the batch: the ones that end by themselves.
BATCH = (
    "equals_everything", "patches_the_checks", "patches_ipython", "object_with_torch_function",
    "looks_for_the_tests", "writes_files", "startup_files", "shared_memory", "signals",
    "kills_everything_it_can", "namespaces_and_mounts", "fork_bomb", "disk", "raw_output",
    "deep_recursion_without_limit", "exit_in_a_cell", "segfault", "forks_and_returns_twice",
    "forks_and_returns_late", "breaks_dict", "garbage", "unasked_reply", "another_answer_first",
    "half_a_message",
    "threads_printing", "changes_the_random_seed", "earlier_submissions",
)  # fmt: skip


def prepare(name, notebook, repository=ROOT):
    """Put an attack or accident into a submission with right answers."""
    case = FAMILIES[name]
    notebook.put(**case.answers)
    case.edit(notebook)
    if case.first:
        notebook.insert(case.first.replace("REPOSITORY", str(repository)))
    return notebook.bytes


def examine(name, result):
    """See that a submission got what its work is worth and was shown nothing hidden."""
    case = FAMILIES[name]
    explained = {test["grade_id"]: (test["status"], test["message"]) for test in result["tests"]}
    expected = {test: 0.0 if test in case.loses else points for test, points in FULL.items()}
    assert outcome(result) == expected | case.gives, (name, explained)
    for test, statuses in case.statuses.items():
        allowed = statuses if isinstance(statuses, tuple) else (statuses,)
        assert explained[test][0] in allowed, (name, explained)
    if name in PROOFS:
        outputs = [cell["output"] + str(cell["error"]) for cell in result["cells"]]
        assert any(PROOFS[name] in output for output in outputs), (name, outputs)
    shown = repr(result["cells"]) + repr(explained)
    assert "BEGIN HIDDEN" not in shown
    assert "rng.randint" not in shown


@pytest.mark.parametrize("name", FAMILIES)
def test_a_submission_gets_what_its_work_is_worth(name, grader, source, right):
    examine(name, grader.grade(source.bytes, prepare(name, right), seed="seed"))


def test_a_class_with_attackers_in_it(grader, source, right, course):
    """One grader for all, as in a course: nobody else's marks, nothing outside changes."""
    before = fingerprint(course), left_behind()
    honest = right.bytes
    for number, name in enumerate(BATCH):
        notebook = Notebook(right.content)
        result = grader.grade(source.bytes, prepare(name, notebook, course), seed=name)
        examine(name, result)
        if number % 3 == 0:  # their neighbour in the list
            result = grader.grade(source.bytes, honest, seed=f"after {name}")
            assert outcome(result) == FULL, (name, result["tests"])
            assert result["notes"] == []
    assert (fingerprint(course), left_behind()) == before


@pytest.fixture
def course(tmp_path):
    """A course's folder with what an attacker would like to change."""
    for name in ("gradebook.db", "nbgrader_config.py", "submitted/other/mini/mini.ipynb"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"precious {name}")
    return tmp_path


def fingerprint(course):
    """Digests of the files that the attacks of this file go for."""
    named = ("cnnlib/checks.py", "grading/wire.py", "grading/__init__.py", "nbgrader_config.py")
    files = [path for path in course.rglob("*") if path.is_file()]
    files += [ROOT / name for name in named] + [MINI, Path(os.__file__), Path("/etc/passwd")]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def left_behind():
    """Names outside that only the attacks of this file use."""
    places = (Path("/tmp"), Path("/dev/shm"), Path.home(), Path.home() / ".config")
    names = ("left-behind", "hostile", "evil")
    return sorted(
        str(path)
        for place in places
        if place.is_dir()
        for path in place.iterdir()
        if any(name in path.name for name in names)
    )


@pytest.mark.parametrize("attempt", range(5))  # a process that is late is not late every time
def test_nothing_is_left_behind(grader, source, right, attempt):
    right.insert("""
import subprocess, os
for _ in range(5):
    subprocess.Popen(["sleep", "300"], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    import time
    time.sleep(300)
""")
    before = set(os.listdir("/tmp"))
    result = grader.grade(source.bytes, right.bytes, seed="seed")
    assert outcome(result) == FULL
    names = [p.read_text() for p in Path("/proc").glob("[0-9]*/comm")]
    commands = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if _readable(p)]
    assert names
    assert not any(b"sleep\x00300" in command for command in commands)
    assert not {name for name in set(os.listdir("/tmp")) - before if "left-behind" in name}


@pytest.mark.usefixtures("grader")  # skipped where there is no isolation
def test_killing_the_grader_leaves_nothing():
    program = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from grading.run import Grader
grader = Grader()
grader.wait_until_ready()
session, channel = grader.warm.start("student", grader.limits)
print("ready", flush=True)
time.sleep(600)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True
    )
    with process:
        assert process.stdout.readline() == b"ready\n"
        inside = _descendants(process.pid)
        assert len(inside) >= 4
        process.kill()
    deadline = time.monotonic() + 30
    while any(map(_alive, inside)):
        assert time.monotonic() < deadline, "processes of a killed grader are still there"
        time.sleep(0.1)


def _descendants(pid):
    import psutil

    return [(child.pid, child.create_time()) for child in psutil.Process(pid).children(True)]


def _alive(identity):
    import psutil

    try:
        process = psutil.Process(identity[0])
        return process.create_time() == identity[1] and process.status() != "zombie"
    except psutil.NoSuchProcess:
        return False


def _readable(path):
    try:
        path.read_bytes()
    except OSError:
        return False
    return True
