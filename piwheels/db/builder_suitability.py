"""Which builder gets a job or a reproduction: conditions of SQL and their parameters.

A builder suits if it meets everything that the job requires, or if no other connected builder that
takes jobs for the target does: what nobody meets keeps no job from being built. Of memory alone a
job always needs as much as it requires, or as the largest builder has, whether that is connected;
if it needs packages, the largest of those that have or add them.
"""

from collections.abc import Sequence
from typing import Any, LiteralString

from piwheels.model import BuilderCapability, TargetLimits

#: The targets that a claim is for, and the most that builders of each have.
SERVED: LiteralString = """
    unnest(%(targets)s::text[], %(largest_memory)s::bigint[], %(second_memory)s::bigint[],
           %(largest_disk)s::bigint[], %(second_disk)s::bigint[])
        AS served (target, largest_memory, second_memory, largest_disk, second_disk)
"""
#: The other builders, those that suit most jobs first.
_OTHERS: LiteralString = """
    unnest(%(other_targets)s::text[], %(other_labels)s::text[], %(other_memory)s::bigint[],
           %(other_disk)s::bigint[], %(other_speeds)s::float8[], %(other_adds)s::boolean[])
        AS other (target, label, memory_bytes, disk_bytes, speed, adds_packages)
"""
#: A job that was never tried may need as much disk as two builders have, whatever the builds of its
#: project told: otherwise one builder that lies could get all jobs of a project.
_NEEDED_DISK: LiteralString = """
    least(min_disk_bytes, CASE WHEN attempts = 0 THEN second_disk ELSE largest_disk END)
"""
#: What no single builder has: as much memory as a job needs, and the packages.
_MOST_MEMORY: LiteralString = """
    CASE WHEN required_packages = '{}' THEN largest_memory
         ELSE coalesce((
             SELECT supplied.memory_bytes
               FROM unnest(%(package_targets)s::text[], %(packages)s::text[],
                           %(package_memory)s::bigint[])
                        AS supplied (target, packages, memory_bytes)
              WHERE supplied.target = jobs.target
                AND supplied.packages = array_to_string(required_packages, ' ')), largest_memory)
     END
"""
_OVER_MEMORY: LiteralString = f"least(memory_over_bytes, {_MOST_MEMORY} - 1)"
#: Of `jobs` and `served`.
SUITS_JOB: LiteralString = f"""(
    hold_reason IS NULL
    AND (memory_over_bytes = 0 OR {_OVER_MEMORY} < %(memory_bytes)s)
    AND (required_packages = '{{}}' OR jobs.target = ANY (%(layer_targets)s::text[])
         OR required_packages <@ %(available_packages)s::text[])
    AND ((avoid_builder <> %(builder)s AND {_NEEDED_DISK} <= %(disk_bytes)s
          AND min_speed <= %(speed)s)
         OR NOT EXISTS (
             SELECT FROM {_OTHERS}
              WHERE other.target = jobs.target AND other.label <> avoid_builder
                AND (memory_over_bytes = 0 OR {_OVER_MEMORY} < other.memory_bytes)
                AND {_NEEDED_DISK} <= other.disk_bytes AND min_speed <= other.speed
                AND (required_packages = '{{}}' OR other.adds_packages)))
)"""
#: Whether another builder serves the target of a reproduction `x`.
HAS_OTHER: LiteralString = """(
    x.target = ANY (%(other_targets)s::text[])
)"""
#: Of a reproduction `x` of a build `b` of a project `p`, and `served`. What one builder alone has
#: is not required: it can be the one whose wheel is to be compared.
SUITS_REPRODUCTION: LiteralString = f"""(
    (least(p.min_memory_bytes, second_memory) <= %(memory_bytes)s
     AND least(p.min_disk_bytes, second_disk) <= %(disk_bytes)s)
    OR NOT EXISTS (
        SELECT FROM {_OTHERS}
         WHERE other.target = x.target AND other.label <> b.builder
           AND least(p.min_memory_bytes, second_memory) <= other.memory_bytes
           AND least(p.min_disk_bytes, second_disk) <= other.disk_bytes)
)"""

_NOTHING_KNOWN = TargetLimits()


def suitability_parameters(
    builder: str, targets: Sequence[str], capability: BuilderCapability
) -> dict[str, Any]:
    """What the conditions need to know of a builder that claims something for these targets."""
    limits = [capability.limits.get(target, _NOTHING_KNOWN) for target in targets]
    others = capability.others
    supplied = [
        (target, " ".join(packages), memory)
        for target, known in zip(targets, limits, strict=True)
        for packages, memory in known.memory_with_packages.items()
    ]
    return {
        "builder": builder,
        "memory_bytes": capability.memory_bytes,
        "disk_bytes": capability.disk_bytes,
        "speed": capability.speed,
        "layer_targets": list(capability.layer_targets),
        "available_packages": list(capability.available_packages),
        "targets": list(targets),
        "largest_memory": [each.largest_memory_bytes for each in limits],
        "second_memory": [each.second_memory_bytes for each in limits],
        "largest_disk": [each.largest_disk_bytes for each in limits],
        "second_disk": [each.second_disk_bytes for each in limits],
        "package_targets": [target for target, _, _ in supplied],
        "packages": [packages for _, packages, _ in supplied],
        "package_memory": [memory for _, _, memory in supplied],
        "other_targets": [each.target for each in others],
        "other_labels": [each.label for each in others],
        "other_memory": [each.memory_bytes for each in others],
        "other_disk": [each.disk_bytes for each in others],
        "other_speeds": [each.speed for each in others],
        "other_adds": [each.adds_packages for each in others],
    }
