"""Wheels of build tools for the index of a situation, from the configured index."""

import io
import subprocess
import zipfile
from pathlib import Path

from piwheels.index_client.page import IndexFile
from tests import requires
from tests.causes.spec import BOTH
from tests.session_cache import persistent_cache


def tool_wheels(tools: tuple[str, ...], python: str) -> list[Path]:
    """The wheels of requirements and of what they require, for a Python; kept for a week."""
    if not tools:
        return []
    folder = persistent_cache(
        "tool-wheels", (tools, python), lambda at: _download(tools, python, at)
    )
    return sorted(folder.glob("*.whl"))


def _download(tools: tuple[str, ...], python: str, folder: Path) -> None:
    interpreter = str(requires.find_python(python))
    command = [interpreter, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), *tools], check=True)


def compiled_pips(tools: list[tuple[IndexFile, bytes]]) -> Path:
    """The pips of `tools`, unpacked as `PipProvider` does, with bytecode, which saves seconds."""

    def create(folder: Path) -> None:
        for file, content in tools:
            if file.filename.startswith("pip-"):
                zipfile.ZipFile(io.BytesIO(content)).extractall(folder / file.sha256)
        for python in BOTH:
            command = [str(requires.find_python(python)), "-m", "compileall", "-q", str(folder)]
            subprocess.run(command, check=False)  # each pip compiles for some Pythons only

    return persistent_cache("compiled-pips", [file.filename for file, _ in tools], create)
