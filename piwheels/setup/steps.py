"""One step of a setup: commands, and the shell test that tells whether it is done."""

import shlex
from collections.abc import Iterable

import msgspec

#: Where a file that a step replaces is kept.
BACKUP_DIR = "/var/backups"

#: The variables that may hold secrets: what a builder joins by, and the address of a database.
TOKEN_VARIABLE = "PIWHEELS_TOKEN"  # noqa: S105 - its name
DATABASE_VARIABLE = "PIWHEELS_SETUP_DATABASE"
SECRETS = frozenset({TOKEN_VARIABLE, DATABASE_VARIABLE})

_SCRIPT_HEAD = (
    "#!/bin/sh",
    "# Run this as root. It may be run again: what is done is not repeated.",
    "set -eu",
    "cd /",
)


class Command(msgspec.Struct, frozen=True):
    """One program that a step runs."""

    argv: tuple[str, ...]
    user: str = ""  # the account that runs it; "" is root
    output: str = ""  # the file that its output becomes; "" is none
    #: The variable whose value it reads; not an argument, which every account could see.
    secret: str = ""

    @property
    def words(self) -> str:
        """The command as one line of shell, without what becomes of its output."""
        prefix = ("runuser", "-u", self.user, "--") if self.user else ()
        return shlex.join((*prefix, *self.argv))

    @property
    def shell(self) -> str:
        """The command as shell. A file is replaced as a whole, and its former content is kept."""
        if self.secret:
            # printf is a command of the shell itself, and no process of its own.
            value = f'"${{{self.secret}:?}}"'
            return f": {value}\nprintf '%s\\n' {value} | {self.words}"
        if not self.output:
            return self.words
        folder, _, name = self.output.rpartition("/")
        # Web servers include each file of a folder, but none whose name begins with a dot.
        new, file = shlex.quote(f"{folder}/.{name}.new"), shlex.quote(self.output)
        kept = shlex.quote(f"{BACKUP_DIR}/{name}.old")
        return (
            f"{self.words} > {new}\nif [ -e {file} ]; then cp -p {file} {kept}; fi\nmv {new} {file}"
        )


class Step(msgspec.Struct, frozen=True):
    """Something that a setup does, unless it is done."""

    title: str
    commands: tuple[Command, ...]
    done: str  # a shell test that succeeds once the step is done
    #: A shell test that succeeds if something else is in its place, which the step replaces.
    differs: str = "false"

    @property
    def shell(self) -> str:
        """Its commands as shell."""
        return "\n".join(command.shell for command in self.commands)


def command(*argv: str, user: str = "") -> Command:
    """A command of these words."""
    return Command(argv=argv, user=user)


def file_step(title: str, path: str, *argv: str) -> Step:
    """The step after which a file holds what a command prints."""
    writer = Command(argv=argv, output=path)
    file = shlex.quote(path)
    return Step(
        title=title,
        commands=(writer,),
        done=f"{writer.words} | cmp -s - {file}",
        differs=f"test -e {file}",
    )


def negated(test: str) -> str:
    """The test that succeeds if this one fails."""
    return f"! {{ {test}; }}"


def removal_step(title: str, *paths: str) -> Step:
    """The step after which none of these files exists."""
    present = " || ".join(f"test -e {shlex.quote(path)}" for path in paths)
    return Step(title=title, commands=(command("rm", "-f", *paths),), done=negated(present))


def secrets_of(steps: Iterable[Step]) -> list[str]:
    """The variables that hold what commands of these steps read."""
    return sorted({it.secret for step in steps for it in step.commands if it.secret})


def guard_step(title: str, done: str, otherwise: str) -> Step:
    """A test that ends a setup where it fails; nothing is changed.

    Args:
        title: what holds.
        done: the test.
        otherwise: what is said then.
    """
    refuse = ("sh", "-c", f"echo {shlex.quote(otherwise)} >&2; exit 1")
    return Step(title=title, commands=(command(*refuse),), done=done)


def script(steps: list[Step]) -> str:
    """A POSIX shell script that does what these steps do.

    What commands read is in its environment, not in it.
    """
    needed = [f"# It needs the variable {name}, exported." for name in secrets_of(steps)]
    blocks = [
        f"# {step.title}\nif ! {{ {step.done}; }} > /dev/null 2>&1; then\n{step.shell}\nfi"
        for step in steps
    ]
    return "\n\n".join(["\n".join([*_SCRIPT_HEAD[:2], *needed, *_SCRIPT_HEAD[2:]]), *blocks, ""])
