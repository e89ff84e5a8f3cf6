"""The lines of a log that match rules."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from piwheels.causes.log_text import Line, PlainLog
from piwheels.causes.rule import Rank, Rule
from piwheels.causes.rules.prose import software_in
from piwheels.causes.uninformative_lines import BUILDER_PREFIX, is_uninformative

#: Of more lines with the same word only the first and the last ones are examined.
_MAX_LINES_PER_WORD = 2000
_WARNING = re.compile(
    r"(?:\S+: ?)?(?:\w*Warning|warning|warn|WARN|note|info|INFO|DEBUG)(?:\[[^\]]*\])?: "
    r"|\S+:\d+(?::\d+)?: (?:warning|note|Warning): |\*? ?checking |performance hint: "
)
_PIP_RETRY = "WARNING: Retrying "
_EXCEPTION_LINE = re.compile(
    r"(?:[A-Za-z_]\w*\.)*(?:_*[A-Z]\w*)?(?:Error|Exception|Exit|Failed|Failure)(?:: |:?$)"
    r"|(?:ERROR|error|Error|FATAL|fatal): |(?:[a-z_]\w*\.)+[A-Z]\w*: |configure: error: "
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A line that matches a rule."""

    line: Line
    rule: Rule
    match: re.Match[str]
    rank: Rank

    @property
    def name(self) -> str:
        """What the line says is missing; "" if it says nothing of it."""
        groups = self.match.groupdict()
        named = (text for key, text in groups.items() if key.startswith("name") and text)
        return next(named, self.rule.subject)

    @property
    def version(self) -> str:
        """The version that the line asks for; "" for none."""
        groups = self.match.groupdict()
        return next(
            (text for key, text in groups.items() if key.startswith("version") and text), ""
        )


def find_all(log: PlainLog, rules: Iterable[Rule]) -> list[Finding]:
    """The findings of a log in the order of its lines, one for each line at most."""
    found: dict[int, Finding] = {}
    for rule in rules:
        if rule.context and rule.context not in log.text:
            continue
        for start in log.starts(rule.literals, _MAX_LINES_PER_WORD):
            if start not in found and (finding := _match(log, rule, log.line_at(start))):
                found[start] = finding
    return [found[start] for start in sorted(found)]


def _match(log: PlainLog, rule: Rule, line: Line) -> Finding | None:
    match = rule.pattern.search(line.text)
    if match is None or not _is_eligible(log, rule, line):
        return None
    if rule.name == "software" and not software_in(line.text):
        return None
    is_error = (
        rule.rank is Rank.HINT
        and _EXCEPTION_LINE.match(line.text)
        and "CalledProcessError" not in line.text
    )
    return Finding(line, rule, match, Rank.EXCEPTION if is_error else rule.rank)


def _is_eligible(log: PlainLog, rule: Rule, line: Line) -> bool:
    text = line.text
    if text.startswith(BUILDER_PREFIX) or log.is_quoted(line):
        return False
    if _WARNING.match(text) and not text.startswith(_PIP_RETRY):
        return False
    judged_by_form = rule.failure_class is None or rule.weight >= 7
    return not (judged_by_form and rule.rank is not Rank.CONSEQUENCE and is_uninformative(text))


def of_rank(findings: Sequence[Finding], *ranks: Rank) -> list[Finding]:
    """The findings of some ranks."""
    return [finding for finding in findings if finding.rank in ranks]


def lightest(findings: Sequence[Finding]) -> Finding:
    """The finding with the least weight; of several the first, or the last if its rule says so."""
    least = min(finding.rule.weight for finding in findings)
    equal = [finding for finding in findings if finding.rule.weight == least]
    return equal[-1] if all(finding.rule.prefer_last for finding in equal) else equal[0]
