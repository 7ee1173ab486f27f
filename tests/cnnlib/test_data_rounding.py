"""Composed pictures do not depend on how a processor rounds: trainings amplify the last bits."""

import hashlib
import os
import subprocess
import sys

import pytest

from cnnlib.data import load, load_scenes

SETS = {
    "glyphs": lambda: load("glyphs", per_class=4, image_size=16),
    "letters in scenes": lambda: load_scenes("glyphs", count=60),
    "digits in scenes": lambda: load_scenes("digits", count=60, objects=(2, 5)),
}


def fingerprint(name):
    """Hash of all pixels, and of the masks where there are some."""
    made = SETS[name]()
    content = hashlib.sha256(made.images.numpy().tobytes())
    for target in getattr(made, "targets", []):
        content.update(target["masks"].numpy().tobytes())
    return content.hexdigest()


@pytest.fixture(scope="module")
def without_vectors():
    """Fingerprints from a process in which PyTorch uses no vector instructions."""
    program = (
        f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "from test_data_rounding import SETS, fingerprint\n"
        "import torch\n"
        "print(torch.backends.cpu.get_cpu_capability())\n"
        "for name in SETS:\n    print(fingerprint(name))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"ATEN_CPU_CAPABILITY": "default"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    capability, *hashes = done.stdout.split()
    assert capability not in ("AVX2", "AVX512")
    return dict(zip(SETS, hashes, strict=True))


@pytest.mark.parametrize("name", SETS)
def test_pictures_are_the_same_to_the_last_bit(name, without_vectors):
    assert fingerprint(name) == without_vectors[name]
