"""What an audit finds, and what its repair does."""

from enum import StrEnum

from piwheels.model import Struct


class Problem(StrEnum):
    """How a file differs from what the database says."""

    MISSING = "missing"
    EXTRA = "extra"
    WRONG = "wrong"


class Repair(StrEnum):
    """What `--fix` does about a finding."""

    NONE = "none"
    MOVE_ASIDE = "move-aside"
    WITHDRAW = "withdraw"
    MOVE_AND_WITHDRAW = "move-and-withdraw"
    WRITE_METADATA = "write-metadata"
    UNLINK_STATEMENT = "unlink-statement"
    MOVE_AND_UNLINK_STATEMENT = "move-and-unlink-statement"
    WRITE_STATEMENT = "write-statement"
    MOVE_AND_WRITE_STATEMENT = "move-and-write-statement"
    WRITE_PAGE = "write-page"
    MOVE_AND_WRITE_PAGE = "move-and-write-page"
    COPY = "copy"


#: What each repair does, in words.
REPAIR_TEXTS = {
    Repair.NONE: "nothing: look at it yourself",
    Repair.MOVE_ASIDE: "move it aside",
    Repair.WITHDRAW: "take it off its page, and build it again",
    Repair.MOVE_AND_WITHDRAW: "move it aside, take it off its page, and build it again",
    Repair.WRITE_METADATA: "write it again from the wheel",
    Repair.UNLINK_STATEMENT: "take its link off the page",
    Repair.MOVE_AND_UNLINK_STATEMENT: "move it aside, and take its link off the page",
    Repair.WRITE_STATEMENT: "write it again from the record of its build, if there is one",
    Repair.MOVE_AND_WRITE_STATEMENT: "move it aside, and write it again from the record of its "
    "build, if there is one",
    Repair.WRITE_PAGE: "have the page written again",
    Repair.MOVE_AND_WRITE_PAGE: "move it aside, and have the page written again",
    Repair.COPY: "have the master make the bucket like the web root there",
}

#: What is wrong with a temporary file that no writer needs any more.
LEFT_TEMPORARY = "a temporary file was left"

#: Repairs that begin by moving the file aside.
MOVING = frozenset(
    {
        Repair.MOVE_ASIDE,
        Repair.MOVE_AND_WITHDRAW,
        Repair.MOVE_AND_UNLINK_STATEMENT,
        Repair.MOVE_AND_WRITE_STATEMENT,
        Repair.MOVE_AND_WRITE_PAGE,
    }
)


class Finding(Struct, frozen=True, kw_only=True):
    """One file that is missing, extra or wrong.

    path: relative to the web root; bytes that are not UTF-8 are surrogates.
    project: whose file it is; "" if that is not known.
    detail: what is wrong, as a clause.
    filename, sha256: the wheel that the file is, or belongs to; "" for none.
    page_kind, page_key: the queued page that the repair has written; "" for none.
    """

    problem: Problem
    path: str
    project: str
    detail: str
    repair: Repair
    filename: str = ""
    sha256: str = ""
    page_kind: str = ""
    page_key: str = ""


class ReportedFinding(Struct, frozen=True, kw_only=True):
    """A finding as `piw audit --json` prints it.

    repair: what the repair does or did.
    repaired: whether it was done; null without `--fix`.
    trouble: why it could not be done; "" if it was, or was not tried.
    """

    problem: Problem
    path: str
    project: str
    detail: str
    repair: str
    repaired: bool | None
    trouble: str


def report(finding: Finding, *, repaired: bool | None, trouble: str) -> ReportedFinding:
    """A finding as people and scripts read it, without control characters."""
    return ReportedFinding(
        problem=finding.problem,
        path=printable(finding.path),
        project=printable(finding.project),
        detail=printable(finding.detail),
        repair=REPAIR_TEXTS[finding.repair],
        repaired=repaired,
        trouble=printable(trouble),
    )


def printable(text: str) -> str:
    r"""A text in one line: what cannot be printed is escaped, a line feed as \n."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
