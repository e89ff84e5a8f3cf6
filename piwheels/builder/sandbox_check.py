"""A check that the sandbox works, before any job is requested."""

import logging
import platform
import shutil
import signal
from pathlib import Path

from piwheels.builder import seccomp
from piwheels.builder.bubblewrap import Bubblewrap
from piwheels.builder.process_runner import Limits
from piwheels.builder.sandbox import Sandbox, SandboxCommand
from piwheels.errors import ConfigError
from piwheels.formatting import exit_status_text

log = logging.getLogger(__name__)

_CHECK_TIMEOUT_S = 30.0
_CHECK_ATTEMPTS = 5
#: The statuses of a killed program: for its parent, and as a shell or bubblewrap returns it.
_KILLED_STATUSES = frozenset({-signal.SIGKILL, 128 + signal.SIGKILL})

#: System settings that forbid user namespaces: name, forbidding value, remedy.
_BLOCKING_SYSCTLS = (
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile",
    ),
)


async def check_sandbox(sandbox: Sandbox, folder: Path) -> None:
    """Run a trivial program in a sandbox.

    A Bubblewrap that works only without `--disable-userns` is used without it, which is logged.

    Args:
        sandbox: the sandbox to try.
        folder: where to create its work folder, which is removed again.

    Raises:
        ConfigError: it does not work; the message has the reason and a remedy.
    """
    error = await _check_error(sandbox, folder)
    if error and isinstance(sandbox, Bubblewrap):
        sandbox.disable_userns = False
        if not await _check_error(sandbox, folder):
            filtered = seccomp.filter_program(platform.machine()) is not None
            log.warning(
                "bubblewrap cannot forbid user namespaces in builds (%s): %s",
                error,
                "only the seccomp filter forbids them"
                if filtered
                else "builds can create namespaces",
            )
            return
        sandbox.disable_userns = True
    if error:
        raise ConfigError(f"the sandbox does not work: {error}; {_remediation(error)}")


async def _check_error(sandbox: Sandbox, folder: Path) -> str:
    """The error of a sandbox that does not work; "" if it works.

    A check that was killed says nothing about the sandbox and is repeated.

    Raises:
        ConfigError: a program is not installed.
    """
    for _ in range(_CHECK_ATTEMPTS):
        status, lines = await _run_check(sandbox, folder)
        if lines or status not in _KILLED_STATUSES:
            break
    if status == 0:
        return ""
    return lines[-1] if lines else exit_status_text(status)


async def _run_check(sandbox: Sandbox, folder: Path) -> tuple[int, list[str]]:
    """The exit status of a trivial program in a sandbox, and the lines it printed."""
    work_dir = folder / "sandbox-check"
    shutil.rmtree(work_dir, ignore_errors=True)
    output = bytearray()
    sandbox.prepare(work_dir)
    command = SandboxCommand(
        command=("true",),
        environment={"PATH": "/usr/bin:/bin"},
        work_dir=work_dir,
        limits=Limits(timeout_s=_CHECK_TIMEOUT_S, disk_reserve_bytes=0),
    )
    try:
        result = await sandbox.run(command, output.extend)
    except FileNotFoundError as error:
        raise ConfigError(
            f"builds need the program {error.filename}, which is not installed: it comes with "
            "util-linux"
        ) from None
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)
    return result.status, output.decode(errors="replace").strip().splitlines()


def _remediation(error: str, settings: Path = Path("/proc/sys")) -> str:
    for name, value, remedy in _BLOCKING_SYSCTLS:
        try:
            found = (settings / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if found == value:
            return f"this system forbids user namespaces ({name} is {value}): {remedy}"
    if "mount proc" in error:
        return (
            "parts of /proc are hidden or read-only here, and then the kernel lets nobody mount "
            "another one (docker run --security-opt systempaths=unconfined); "
            "--no-sandbox builds without a sandbox, with all permissions of the builder"
        )
    return (
        "a container needs permission to create namespaces (docker run --privileged); "
        "--no-sandbox builds without a sandbox, with all permissions of the builder"
    )
