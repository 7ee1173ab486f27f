"""A PostgreSQL server of the tests' own: in a folder of its own, no network, gone with them."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from sqlalchemy import create_engine, text

from grading import linux

NAME, PASSWORD = "teacher", "p@ss word"  # what an address has to quote
MISSING = "no PostgreSQL server here (Debian's package postgresql has one)"


def programs():
    """The folder of PostgreSQL's programs; Debian does not put the server's on the path."""
    on_path = shutil.which("postgres")
    if on_path:
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


class Server:
    """A running server."""

    def __init__(self, folder):
        self.folder = folder
        self.made = 0
        self.blank = ""  # name of a database with an empty gradebook

    def url(self, database, password=PASSWORD):
        """The address of a database, as nbgrader's configuration has it."""
        quoted = password.replace("@", "%40").replace(" ", "%20")
        return f"postgresql://{NAME}:{quoted}@/{database}?host={self.folder}"

    def create(self, template=""):
        """A new database, empty or a copy of another; returns its name."""
        self.made += 1
        name = f"course{self.made}"
        self.tell(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        return name

    def renew(self, name):
        """Make a database empty, whoever still holds it."""
        self.tell(f"DROP DATABASE {name} WITH (FORCE)")
        self.tell(f"CREATE DATABASE {name}")

    def tell(self, command):
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(command))
        engine.dispose()


@contextlib.contextmanager
def running():
    """A server until the end of the block, or of this process whatever ends it."""
    folder = programs()
    # Short, because the address of a socket must be; PostgreSQL refuses to run as root.
    home = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    user = "nobody" if os.getuid() == 0 else None
    (home / "password").write_text(PASSWORD)
    if user:
        for path in (home, home / "password"):
            shutil.chown(path, user)
    environment = {"PATH": os.defpath, "LC_ALL": "C"}  # nothing of a server that may be there
    options = {"user": user, "cwd": home, "env": environment, "stdin": subprocess.DEVNULL}
    try:
        subprocess.run(
            [folder / "initdb", "-D", home / "data", "-U", NAME, "--auth=scram-sha-256",
             f"--pwfile={home / 'password'}", "--encoding=UTF8", "--locale=C", "--no-sync"],
            check=True, capture_output=True, timeout=120, **options,
        )  # fmt: skip
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(
                [folder / "postgres", "-D", home / "data", "-k", home,
                 "-p", "5432", "-c", "listen_addresses=", "-c", "fsync=off"],
                stdout=log, stderr=log,
                preexec_fn=lambda: linux.die_with_parent(signal.SIGQUIT), **options,
            )  # fmt: skip
        try:
            _wait_for(folder / "pg_isready", home, server)
            yield Server(home)
        finally:
            server.send_signal(signal.SIGINT)  # ends connections, then itself
            server.wait(timeout=60)
    finally:
        shutil.rmtree(home)


def _wait_for(is_ready, home, server):
    end = time.monotonic() + 60
    command = [is_ready, "-q", "-h", home, "-p", "5432"]
    while subprocess.run(command, check=False).returncode:
        assert server.poll() is None, (home / "log").read_text()
        assert time.monotonic() < end, (home / "log").read_text()
        time.sleep(0.05)
