# The grading tool for machines without Linux namespaces of their own: macOS, Windows, or a Linux
# whose administrator forbids them.
#
#   docker build --build-arg UID=$(id -u) -t course-grading .
#   docker run --rm -it --network none --cap-drop ALL \
#     --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
#     --security-opt systempaths=unconfined \
#     -v "$PWD:/course" -v course-grading-seed:/home/grader/.local/share/cnnlib-grading \
#     course-grading check a1_layers
#
# Inside, every submission gets the same sandbox as on Linux (grading/sandbox.py): bubblewrap makes
# new namespaces, and a system call filter and the loss of all rights follow. Docker's own defaults
# are in the way of that, so three of them are switched off for this container:
#
#   seccomp=unconfined       Docker's filter refuses clone and unshare with CLONE_NEWUSER.
#   systempaths=unconfined   Docker covers parts of /proc, and the kernel lets nobody mount a fresh
#                            /proc who could see more in it than before.
#   apparmor=unconfined      Docker's profile forbids mount (Ubuntu, Debian; harmless elsewhere).
#
# What that costs: the *grader itself*, which is this repository's code, runs under fewer of
# Docker's restrictions. Student code does not: it gets a filter and namespaces of its own. In
# exchange the container has an ordinary user, no capability and no network (leave --network none
# away only for a Dask cluster). Don't use --privileged; it is not needed and gives far more.
#
# /course is the course's folder: submissions, gradebook and results stay there, outside the image.
# The named volume keeps the secret behind the hidden inputs: without it every container would
# draw a new one, and grading again would use other inputs.
# On a Linux with kernel.apparmor_restrict_unprivileged_userns=1 (Ubuntu 24.04 and later) the
# host's setting holds in containers too; the grader then refuses and says so.
FROM python:3.11-slim-bookworm

# bubblewrap: the sandbox. The fonts are for figures that submissions draw.
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap fonts-dejavu-core \
    && rm -rf /var/lib/apt/lists/*

ARG UID=1000
RUN useradd --uid "$UID" --create-home --shell /usr/sbin/nologin grader \
    && install -d -o grader -g grader -m 0700 /home/grader/.local/share/cnnlib-grading

WORKDIR /course
COPY requirements.txt pyproject.toml README.md LICENSE LICENSE-TEXT ./
COPY tools tools
COPY cnnlib cnnlib
# The pinned packages. TORCH_INDEX, as in the Makefile, takes torch from another index: a CPU-only
# one makes the image several GB smaller.
ARG TORCH_INDEX=""
RUN python tools/environment.py --venv /opt/venv --stamp /opt/venv/.installed \
        --torch-index "$TORCH_INDEX" \
    && rm -rf /root/.cache
COPY _config.yml nbgrader_config.py ./
COPY grading grading

ENV PATH="/opt/venv/bin:$PATH" PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
USER grader
ENTRYPOINT ["python", "-m", "grading"]
CMD ["--help"]
