"""Commands about projects and releases."""

from typing import Annotated

from msgspec import Meta

from piwheels.errors import UsageError
from piwheels.model import BuildRequest, UpstreamWheelPolicy
from piwheels.protocol.commands.definition import (
    CommandDefinition,
    Confirm,
    ConsoleAction,
    Inputs,
    Kind,
    Parameter,
    Prompt,
    Requirement,
    Scope,
    release_text,
)
from piwheels.protocol.control_roles import ControlRole
from piwheels.protocol.message_base import (
    MAX_NAMES,
    BoundedFloat,
    CommandMessage,
    FileName,
    LongText,
    Sha256Hex,
    ShortText,
    SizeBytes,
)

DEFAULT_REASON = "by an operator"
#: What the console asks for before something is skipped.
REASON_PROMPT = Prompt("Reason, shown to users", DEFAULT_REASON, Kind.TEXT)

__all__ = [
    "Add",
    "Alias",
    "ImportWheel",
    "Prioritize",
    "Remove",
    "Retry",
    "SetWheelPolicy",
    "Skip",
]  # the messages: they are exported by `protocol.messages`


class Add(CommandMessage, frozen=True, kw_only=True):
    """Follow these projects, and build the releases requested of them."""

    requests: Annotated[tuple[BuildRequest, ...], Meta(max_length=MAX_NAMES)]


class Remove(CommandMessage, frozen=True, kw_only=True):
    """Remove a project, or one release of it, with its files; also skip it with `skip`."""

    project: ShortText
    version: ShortText | None = None
    skip: LongText | None = None  # the reason not to build it again


class Skip(CommandMessage, frozen=True, kw_only=True):
    """Do not build a project, a release or a target, for this reason; None ends the skip.

    A project or a release with a target is skipped for that target alone.
    """

    project: ShortText | None = None
    version: ShortText | None = None
    target: ShortText | None = None
    reason: LongText | None = None


class Alias(CommandMessage, frozen=True, kw_only=True):
    """Redirect a name to a project's page; a project of None removes the alias."""

    name: ShortText
    project: ShortText | None = None


class SetWheelPolicy(CommandMessage, frozen=True, kw_only=True):
    """Set what wheels of the upstream count for in a project; None is the farm's policy."""

    project: ShortText
    policy: UpstreamWheelPolicy | None = None


class Retry(CommandMessage, frozen=True, kw_only=True):
    """Queue failed builds again; with `built`, also builds that succeeded."""

    project: ShortText
    version: ShortText | None = None
    target: ShortText | None = None
    built: bool = False


class Prioritize(CommandMessage, frozen=True, kw_only=True):
    """Move queued jobs of a project or release (for one target) ahead by this many seconds.

    A negative `advance_s` moves them back; 0 restores the order in which they were queued.
    """

    project: ShortText
    version: ShortText | None = None
    target: ShortText | None = None
    advance_s: BoundedFloat


class ImportWheel(CommandMessage, frozen=True, kw_only=True):
    """Publish a wheel that was built elsewhere; the master requests its bytes in chunks."""

    filename: FileName
    size_bytes: SizeBytes
    sha256: Sha256Hex


_RELEASE = Parameter("release", Kind.RELEASE, metavar="PROJECT[==VERSION]")
_TARGET = Parameter(
    "--target", Kind.TARGET, "Only for this target: its name, or its ABI tag where that is unique."
)

ADD = CommandDefinition(
    name="add",
    message=Add,
    summary="Follow projects and build their newest releases, or the releases named.",
    examples=("piw add numpy", "piw add 'numpy==2.1' --latest 3", "piw add -r requirements.txt"),
    audit=lambda body: f"add {', '.join(item.requirement for item in body.requests)}",
    console=(
        ConsoleAction(
            name="add_project",
            key="A",
            label="Add project",
            help="Follow a project, and build its newest release or the one that is named.",
            confirm=Confirm.ALWAYS,
            prompt=Prompt("Project (numpy, or numpy==2.1)", "", Kind.TEXT, what="a project"),
            build=lambda inputs: Add(
                requests=(BuildRequest(requirement=(inputs.text or "").strip()),)
            ),
        ),
    ),
)


def _remove_audit(body: Remove) -> str:
    skipped = f" and skip it: {body.skip}" if body.skip is not None else ""
    return f"remove {release_text(body.project, body.version)}{skipped}"


REMOVE = CommandDefinition(
    name="remove",
    role=ControlRole.ADMINISTER,
    message=Remove,
    summary="Remove a project or a release, and its wheels, from the farm.",
    examples=("piw remove numpy==2.1", "piw remove numpy --skip 'too large for our disk'"),
    parameters=(
        _RELEASE,
        Parameter(
            "--skip", Kind.TEXT, "Also skip it from now on, with this reason.", metavar="REASON"
        ),
    ),
    build=lambda inputs: Remove(project=inputs.project, version=inputs.version, skip=inputs.text),
    audit=_remove_audit,
    discards_work=lambda _: True,
    question="Remove {what} and its wheels from the index?",
)


def _skipped(body: Skip) -> str:
    if body.project:
        return release_text(body.project, body.version, body.target)
    return f"target {body.target}"


def _skip(inputs: Inputs, reason: str | None) -> Skip:
    return Skip(
        project=inputs.project or None,
        version=inputs.version,
        target=inputs.target,
        reason=reason,
    )


_SKIPPED = (
    Parameter("release", Kind.RELEASE, required=False, metavar="[PROJECT[==VERSION]]"),
    Parameter(
        "--target",
        Kind.TARGET,
        "The target; with a project or release, only that is meant, for this target.",
    ),
)

SKIP = CommandDefinition(
    name="skip",
    message=Skip,
    summary="Stop building a project, release or target. Published wheels are kept.",
    details="`piw unskip` ends it.",
    examples=(
        "piw skip numpy==2.1 --reason 'needs 8 GB'",
        "piw skip numpy --target cp313",
        "piw skip --target cp39-bullseye-armv7l",
    ),
    parameters=(
        *_SKIPPED,
        Parameter("--reason", Kind.TEXT, "Shown to users.", default=DEFAULT_REASON),
    ),
    build=lambda inputs: _skip(inputs, (inputs.text or DEFAULT_REASON).strip()),
    audit=lambda body: f"skip {_skipped(body)}: {body.reason}",
    applies_to=lambda body: body.reason is not None,
    console=(
        ConsoleAction(
            name="skip_project",
            key="i",
            label="Skip project",
            help="Stop building the project, with a reason; its wheels are kept.",
            requires=Requirement.PROJECT,
            scope=Scope.PROJECT,
            confirm=Confirm.ALWAYS,
            prompt=REASON_PROMPT,
        ),
    ),
)

UNSKIP = CommandDefinition(
    name="unskip",
    message=Skip,
    summary="Build a skipped project, release or target again.",
    examples=("piw unskip numpy", "piw unskip --target cp313"),
    parameters=_SKIPPED,
    build=lambda inputs: _skip(inputs, None),
    audit=lambda body: f"unskip {_skipped(body)}",
    applies_to=lambda body: body.reason is None,
    console=(
        ConsoleAction(
            name="unskip_project",
            key="u",
            label="Unskip",
            help="Build the project again.",
            requires=Requirement.PROJECT,
            scope=Scope.PROJECT,
        ),
    ),
)


def _alias(inputs: Inputs) -> Alias:
    if inputs.flag == bool(inputs.project):
        raise UsageError("name a PROJECT, or use --remove")
    return Alias(name=inputs.text or "", project=inputs.project or None)


ALIAS = CommandDefinition(
    name="alias",
    message=Alias,
    summary="Redirect NAME to PROJECT's page on the web site.",
    details="It does not work for installs: pip and uv reject a wheel whose project name differs "
    "from the one requested.",
    examples=("piw alias PIL pillow", "piw alias PIL --remove"),
    parameters=(
        Parameter("name", Kind.TEXT),
        Parameter("project", Kind.PROJECT, required=False),
        Parameter("--remove", Kind.FLAG, "Remove the alias."),
    ),
    build=_alias,
    audit=lambda body: (
        f"redirect {body.name} to {body.project}" if body.project else f"remove alias {body.name}"
    ),
)


_FARM_POLICY = "default"


def _policy(inputs: Inputs) -> SetWheelPolicy:
    known = [str(policy) for policy in UpstreamWheelPolicy]
    policy = UpstreamWheelPolicy(inputs.text) if inputs.text in known else None
    return SetWheelPolicy(project=inputs.project, policy=policy)


POLICY = CommandDefinition(
    name="policy",
    message=SetWheelPolicy,
    summary="Set what upstream wheels count for in a project: build, missing or mirror.",
    details="`build` builds every target; `missing` builds only targets that no wheel of the "
    "upstream covers, because installers take that wheel from there; `mirror` does the same and "
    "publishes that wheel here as it is; `default` is the farm's setting `upstream.wheels`. Wheels "
    "that were mirrored stay when the policy changes. `piw explain PROJECT` tells which policy "
    "holds.",
    examples=("piw policy numpy mirror", "piw policy numpy default"),
    parameters=(
        Parameter("project", Kind.PROJECT),
        Parameter("policy", Kind.CHOICE, choices=(*map(str, UpstreamWheelPolicy), _FARM_POLICY)),
    ),
    build=_policy,
    audit=lambda body: f"policy of {body.project}: {body.policy or _FARM_POLICY}",
)


def _retry(inputs: Inputs, *, built: bool) -> Retry:
    return Retry(project=inputs.project, version=inputs.version, target=inputs.target, built=built)


RETRY = CommandDefinition(
    name="retry",
    message=Retry,
    summary="Queue failed and deferred builds again.",
    examples=("piw retry numpy==2.1", "piw retry numpy --target cp313"),
    parameters=(_RELEASE, _TARGET),
    build=lambda inputs: _retry(inputs, built=False),
    audit=lambda body: f"retry {release_text(body.project, body.version, body.target)}",
    applies_to=lambda body: not body.built,
    console=(
        ConsoleAction(
            name="retry",
            key="y",
            label="Retry",
            help="Queue failed builds again.",
            requires=Requirement.PROJECT,
            scope=Scope.RELEASE_FOR_TARGET,
        ),
    ),
)

REBUILD = CommandDefinition(
    name="rebuild",
    message=Retry,
    summary="Build a project or release again, also where its build succeeded.",
    details="The new wheels get a build number (PEP 427). To write pages again, use "
    "`piw pages rebuild`.",
    examples=("piw rebuild numpy==2.1", "piw rebuild numpy --target cp313"),
    parameters=(_RELEASE, _TARGET),
    build=lambda inputs: _retry(inputs, built=True),
    audit=lambda body: f"rebuild {release_text(body.project, body.version, body.target)}",
    applies_to=lambda body: body.built,
)


def _prioritize(inputs: Inputs) -> Prioritize:
    return Prioritize(
        project=inputs.project,
        version=inputs.version,
        target=inputs.target,
        advance_s=inputs.number,
    )


def _prioritize_audit(body: Prioritize) -> str:
    from piwheels.formatting import format_duration  # noqa: PLC0415 - `piw --help` stays fast

    what = release_text(body.project, body.version, body.target)
    back = "-" if body.advance_s < 0 else ""
    return f"prioritize {what} by {back}{format_duration(abs(body.advance_s))}"


PRIORITIZE = CommandDefinition(
    name="prioritize",
    message=Prioritize,
    summary="Move a project's or release's queued jobs ahead (by one day unless --by is given).",
    examples=("piw prioritize numpy==2.1", "piw prioritize numpy --target cp313 --by 2h"),
    parameters=(
        _RELEASE,
        _TARGET,
        Parameter(
            "--by",
            Kind.DURATION,
            "How far to move jobs forward (90s, 15m, 2h, 1d); negative moves them back, 0 "
            "restores the original order.",
            default="1d",
            metavar="DURATION",
        ),
    ),
    build=_prioritize,
    audit=_prioritize_audit,
    console=(
        ConsoleAction(
            name="raise_priority",
            key="plus",
            label="Raise priority",
            help="Move the release's queued jobs ahead by some hours.",
            requires=Requirement.PROJECT,
            scope=Scope.RELEASE,
            confirm=Confirm.ALWAYS,
            prompt=Prompt("Hours to move ahead", "24", Kind.DURATION),
        ),
        ConsoleAction(
            name="reset_priority",
            key="",
            label="Reset priority",
            help="Restore the order in which the release's jobs were queued.",
            requires=Requirement.PROJECT,
            scope=Scope.RELEASE,
        ),
    ),
)

IMPORT = CommandDefinition(
    name="import",
    role=ControlRole.ADMINISTER,
    message=ImportWheel,
    summary="Publish wheels that were built elsewhere, after the same checks as a builder's.",
    examples=("piw import numpy-2.1-cp311-cp311-linux_armv7l.whl",),
    audit=lambda body: f"import {body.filename}",
)

DEFINITIONS = (
    ADD, REMOVE, SKIP, UNSKIP, POLICY, ALIAS, RETRY, REBUILD, PRIORITIZE, IMPORT,
)  # fmt: skip
