"""Downloads the pinned wheels of requirements.txt and merges their files into one prefix: bin, include, lib.

Plain unpacking instead of `pip install`, because pip spreads a wheel's library files differently on each
distribution, and a prefix that CMake can search is all that is needed.

    python3 scripts/wheels.py REQUIREMENTS PREFIX
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile


def target_of(name: str) -> str | None:
    """Where a file of a wheel belongs in the prefix, or None for metadata."""
    parts = pathlib.PurePosixPath(name).parts
    if "data" in parts:  # <wheel>.data/data/lib/..., clang_format/data/bin/...
        return "/".join(parts[parts.index("data") + 1 :])
    if len(parts) == 3 and parts[0].endswith(".data") and parts[1] == "scripts":
        return f"bin/{parts[2]}"
    return None


def unpack(wheel: pathlib.Path, prefix: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            target = target_of(entry.filename)
            if not target or entry.is_dir():
                continue
            path = prefix / target
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, open(path, "wb") as sink:
                shutil.copyfileobj(source, sink)
            path.chmod(0o755 if path.parent.name == "bin" or ".so" in path.name else 0o644)


def link_copies(prefix: pathlib.Path) -> None:
    """The oneDNN wheel carries one library under three names; keep one."""
    real = prefix / "lib" / "libdnnl.so.3.2"
    for name in ("libdnnl.so.3", "libdnnl.so"):
        copy = prefix / "lib" / name
        copy.unlink(missing_ok=True)
        copy.symlink_to(real.name)


def main(requirements: str, prefix_name: str) -> None:
    prefix = pathlib.Path(prefix_name)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--only-binary=:all:", "--require-hashes", "--dest", folder, "--requirement", requirements],
            check=True,
        )
        staging = pathlib.Path(tempfile.mkdtemp(dir=prefix.parent))
        for wheel in sorted(pathlib.Path(folder).glob("*.whl")):
            unpack(wheel, staging)
        link_copies(staging)
        shutil.rmtree(prefix, ignore_errors=True)
        os.rename(staging, prefix)


if __name__ == "__main__":
    main(*sys.argv[1:3])
