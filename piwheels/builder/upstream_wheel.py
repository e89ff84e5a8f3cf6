"""The upstream's own wheel of a release, as far as its archive's directory: what it holds.

Nothing depends on it: where the upstream has none, or does not answer, it is not known.
"""

import asyncio
import logging

from piwheels import names
from piwheels.errors import RejectedError, TransientError
from piwheels.model import Interpreter, Job
from piwheels.simple_index.client import SimpleIndex
from piwheels.simple_index.page import FileKind

log = logging.getLogger(__name__)

#: The directory of an archive of 10,000 files is not larger.
_TAIL_BYTES = 1024**2
_TIMEOUT_S = 60.0
_LINUX = ("linux", "manylinux", "musllinux")


async def upstream_wheel_tail(
    index: SimpleIndex, job: Job, interpreter: Interpreter
) -> tuple[str, bytes] | None:
    """The file name and the last bytes of the upstream's wheel that is most like the one built.

    None if there is no wheel for Linux or for any machine, or if it cannot be had now.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            page = await index.project(job.project)
            files = {
                file.filename: file.url
                for file in (page.files if page else ())
                if file.kind is FileKind.WHEEL and file.version == job.version
            }
            ranked = {
                name: rank for name in files if (rank := _similarity_rank(name, interpreter.abi))
            }
            if not ranked:
                return None
            best = min(ranked, key=lambda name: (ranked[name], name))
            return best, await index.read_tail(files[best], _TAIL_BYTES)
    except (TransientError, RejectedError, TimeoutError) as error:
        log.info("the upstream's wheel of %s %s: %s", job.project, job.version, error)
        return None


def _similarity_rank(filename: str, abi: str) -> int:
    """How alike a wheel's modules are to those of one for a Linux machine; 0 for not at all."""
    try:
        tags = names.parse_wheel_filename(filename).tags
    except RejectedError:
        return 0
    linux = [tag for tag in tags if tag.platform.startswith(_LINUX)]
    if any(tag.abi == abi for tag in linux):
        return 1
    if any(tag.abi == "abi3" for tag in linux):
        return 2
    if any(tag.platform == "any" and tag.interpreter.startswith("py3") for tag in tags):
        return 3
    return 4 if linux else 0
