"""Create or update the course's virtual environment, saying clearly what is wrong when it can't.

Run by make with the system's Python, before anything is installed: only the standard library,
and no syntax newer than Python 3.6, so that an old interpreter gets the message and not a
SyntaxError.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import venv
from typing import Callable, Optional

ROOT = pathlib.Path(__file__).resolve().parent.parent
OLDEST, NEWEST = (3, 11), (3, 13)
# Measured: the environment takes 6.5 GB with CUDA, 2 GB without; pip unpacks beside it.
NEEDED_GB = {"index": 9, "cpu": 4}
# torch's companions on the package index; a CPU-only torch does not want them.
CUDA_PACKAGES = re.compile(r"(nvidia-|cuda-|triton\b)")
QUIET = ("Requirement already satisfied", "WARNING: Location", "Ignoring ", "Looking in ")
UNREACHABLE = re.compile(
    r"Temporary failure in name resolution|Name or service not known|NewConnectionError"
    r"|Network is unreachable|Connection refused|ConnectTimeout|Max retries exceeded"
    # An index that answers lists other versions of a package that exists.
    r"|from versions: none"
    r"|No address associated|ProxyError|NameResolutionError|Failed to establish a new connection"
)


class SetupError(Exception):
    """Something the user has to mend; the message says what and how."""


def check_python(version: tuple) -> None:
    """Raise SetupError when the pinned packages do not exist for this Python ``(major, minor)``."""
    version = tuple(version[:2])
    if not OLDEST <= version <= NEWEST:
        raise SetupError(
            "Python {}.{} found, but the pinned environment needs {}.{} to {}.{}.\n"
            "Install one of these and name it: make PYTHON=/path/to/python3.11 book".format(
                *(version + OLDEST + NEWEST)
            )
        )


def check_disk(folder: pathlib.Path, needed_gb: float, usage: Callable = shutil.disk_usage) -> None:
    """Raise SetupError when ``folder`` has less than ``needed_gb`` GB (10^9 bytes) free."""
    free_gb = usage(str(folder)).free / 1e9
    if free_gb < needed_gb:
        raise SetupError(
            f"{free_gb:.1f} GB free in {folder}, but installing takes {needed_gb} GB.\n"
            "Free some space; or, where no GPU is needed, take the smaller CPU-only torch: "
            "make TORCH_INDEX=URL-of-the-CPU-index book"
        )


def without_cuda(requirements: str) -> str:
    """Return the text of a requirements file without torch, torchvision and CUDA's packages."""
    kept, skipping = [], False
    for line in requirements.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            skipping = bool(CUDA_PACKAGES.match(line) or re.match(r"(torch|torchvision)==", line))
        if not skipping:
            kept.append(line)
    return "\n".join(kept) + "\n"


def pinned(requirements: str, *names: str) -> list:
    """Return the lines ``name==version`` of ``names``."""
    return [
        re.search(rf"^{re.escape(name)}==\S+", requirements, re.MULTILINE).group(0)
        for name in names
    ]


def explain(log: str) -> str:
    """Turn pip's output into one sentence about what to do."""
    if UNREACHABLE.search(log):
        return (
            "The package index could not be reached. Check the network (and PIP_INDEX_URL or your "
            "proxy settings, if you use them), then run the same command again: what is already "
            "downloaded is kept."
        )
    if "No space left on device" in log:
        return "The disk is full. Free some space, then run the same command again."
    if "No matching distribution found" in log:
        return (
            "A pinned package does not exist for this machine (64-bit Linux, macOS or Windows with "
            "Python 3.11 to 3.13 is expected), or your package index does not carry it."
        )
    return "pip failed; its own message is above."


def run_pip(python: pathlib.Path, *arguments: str) -> None:
    """Run pip, showing its output as it comes; raise SetupError that explains a failure."""
    command = [str(python), "-m", "pip", *arguments]
    log = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    ) as process:
        for line in process.stdout:
            log.append(line)
            # What is fetched and built is progress enough; the rest would be hundreds of lines.
            if not line.startswith(QUIET):
                sys.stdout.write(line)
                sys.stdout.flush()
    if process.returncode:
        raise SetupError(explain("".join(log)))


def install(folder: pathlib.Path, stamp: pathlib.Path, torch_index: str) -> None:
    """Make ``folder`` a virtual environment with the pinned packages and cnnlib, then stamp it."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"Creating {folder} …")
        venv.create(str(folder), with_pip=True)
    print("Installing the pinned packages (several minutes the first time) …", flush=True)
    common = ["install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
    if torch_index:
        text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
        # Both from the same index: a CPU build of torch cannot load the other index's torchvision.
        run_pip(python, *common, "--index-url", torch_index, *pinned(text, "torch", "torchvision"))
        reduced = folder / "requirements-without-cuda.txt"
        reduced.write_text(without_cuda(text), encoding="utf-8")
        run_pip(python, *common, "-r", str(reduced))
    else:
        run_pip(python, *common, "-r", str(ROOT / "requirements.txt"))
    run_pip(python, *common, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    stamp.write_text("The pins of requirements.txt are installed.\n", encoding="utf-8")


def main(arguments: Optional[list] = None) -> int:
    """Check the machine, install, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=pathlib.Path, required=True)
    parser.add_argument("--stamp", type=pathlib.Path, required=True)
    parser.add_argument("--torch-index", default="")
    options = parser.parse_args(arguments)
    try:
        check_python(sys.version_info)
        if not options.venv.exists():
            kind = "cpu" if options.torch_index else "index"
            check_disk(options.venv.resolve().parent, NEEDED_GB[kind])
        install(options.venv, options.stamp, options.torch_index)
    except SetupError as error:
        print("\n" + str(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Run the same command again to go on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUTF8", "1")
    sys.exit(main())
