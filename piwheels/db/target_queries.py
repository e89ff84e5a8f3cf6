"""Targets, and which wheels and specifiers are compatible with them.

Functions that change targets take their lock exclusively, which lock_projects() takes shared, and
`recompute_jobs` has to follow them.
"""

from collections.abc import Collection, Sequence
from typing import Any

from piwheels.db.database import Database, transactional, transpose_rows
from piwheels.model import CompatibilityRules, Target, WheelCompatibility

#: After this time without a builder a target counts as having none.
ABSENCE_THRESHOLD_S = 86400.0


#: Targets whose has_builder or has_compiler differs from what the absences imply, with that.
_CHANGED_PRESENCE = """
    SELECT t.target, is_now.has_builder, is_now.has_compiler
      FROM targets t
      JOIN target_absences a ON a.target = t.target
     CROSS JOIN LATERAL (
         SELECT a.without_builder_s < %(absence_s)s AS has_builder,
                t.target = ANY (%(equipped)s)
                OR (t.has_compiler AND a.without_compiler_s < %(absence_s)s) AS has_compiler
     ) is_now
     WHERE (t.has_builder, t.has_compiler) <> (is_now.has_builder, is_now.has_compiler)
"""


#: Exclusive here, shared by every other writer: lock_projects() takes it too.
_LOCK_TARGETS = "SELECT pg_advisory_xact_lock(7091)"
_MISSING_COMPATIBILITY = "SELECT tags, glibc FROM wheel_compatibilities WHERE NOT targets_computed"


@transactional
async def add_target(db: Database, target: Target, rules: CompatibilityRules) -> bool:
    """Build for a target from now on, also if it was skipped; `recompute_jobs` has to follow.

    Returns:
        Whether anything changed: the target is new, or was skipped.
    """
    await db.execute(_LOCK_TARGETS)
    known = await db.row(
        "SELECT skip_reason FROM targets WHERE target = %(name)s", {"name": target.name}
    )
    if known is not None and known["skip_reason"] is None:
        return False
    # A target that was skipped becomes active again.
    await db.execute(
        """
        INSERT INTO targets
               (target, sort_order, python, python_full, implementation, abi, arch, os, glibc)
        VALUES (%(name)s, %(position)s, %(python)s, %(python_full)s, %(implementation)s,
                %(abi)s, %(arch)s, %(os)s, %(glibc)s)
            ON CONFLICT (target) DO UPDATE SET skip_reason = NULL, jobs_outdated = true
        """,
        {
            "position": rules.sort_order(target),
            **{field: getattr(target, field) for field in target.__struct_fields__},
        },
    )
    if known is None:
        await _compute_compatibility_of_targets(db, [target], rules)
    return True


async def _compute_compatibility_of_targets(
    db: Database, targets: Sequence[Target], rules: CompatibilityRules
) -> None:
    """Compute which compatibilities and specifiers accept new targets."""
    kinds = await db.rows("SELECT tags, glibc FROM wheel_compatibilities")
    specifiers = await db.rows("SELECT requires_python FROM requires_python_specifiers")
    await _store_compatible_targets(
        db, [WheelCompatibility(**row) for row in kinds], targets, rules
    )
    for target in targets:
        allowing = [
            row["requires_python"]
            for row in specifiers
            if rules.allows_python(row["requires_python"], target)
        ]
        await _store_requires_python_targets(
            db, [(specifier, target.name) for specifier in allowing]
        )


async def _store_compatible_targets(
    db: Database,
    compatibilities: Sequence[WheelCompatibility],
    targets: Sequence[Target],
    rules: CompatibilityRules,
) -> None:
    """Store on which targets installers accept such wheels, their rank, and whether they load."""
    rows = [
        {
            "kind": kind.identifier,
            "target": target.name,
            "preference": preference,
            "loads": rules.is_loadable(kind, target),
        }
        for kind in compatibilities
        for target in targets
        if (preference := rules.tag_rank(kind, target)) is not None
    ]
    if not rows:
        return
    await db.execute(
        """
        INSERT INTO compatible_targets (compatibility_id, target, tag_rank, is_loadable)
        SELECT * FROM unnest(%(kind)s::text[], %(target)s::text[],
                             %(preference)s::integer[], %(loads)s::boolean[])
            ON CONFLICT (compatibility_id, target) DO UPDATE
           SET tag_rank = excluded.tag_rank, is_loadable = excluded.is_loadable
        """,
        transpose_rows(rows),
    )


async def _store_requires_python_targets(db: Database, pairs: Sequence[tuple[str, str]]) -> None:
    await db.execute(
        """
        INSERT INTO requires_python_targets (requires_python, target)
        SELECT * FROM unnest(%(specifiers)s::text[], %(targets)s::text[]) ON CONFLICT DO NOTHING
        """,
        {
            "specifiers": [specifier for specifier, _ in pairs],
            "targets": [target for _, target in pairs],
        },
    )


async def targets(db: Database, *, include_skipped: bool = False) -> list[Target]:
    """The active targets in numeric order, or with `include_skipped` all of them."""
    rows = await db.rows(
        """
        SELECT target AS name, python, python_full, implementation, abi, arch, os, glibc
          FROM targets
         WHERE skip_reason IS NULL OR %(skipped)s
         ORDER BY sort_order, target
        """,
        {"skipped": include_skipped},
    )
    return [Target(**row) for row in rows]


async def record_presence(
    db: Database,
    served_targets: Collection[str],
    targets_with_compiler: Collection[str],
    elapsed_s: float,
) -> bool:
    """Record which targets have builders, and for how long others have had none.

    A target without a builder for longer than ABSENCE_THRESHOLD_S delays no other target; without
    one that has a compiler for that long, its wheels that were built without one count again. Only
    time during which the master runs counts, whatever the clock does.

    Args:
        db: the connection.
        served_targets: the targets that connected builders serve.
        targets_with_compiler: those that some of them have a C compiler for.
        elapsed_s: since the last such note.

    Returns:
        Whether anything changed for a target; `recompute_jobs` has to follow.
    """
    facts = {
        "served": list(served_targets),
        "equipped": list(targets_with_compiler),
        "elapsed_s": elapsed_s,
        "absence_s": ABSENCE_THRESHOLD_S,
    }
    await db.execute(
        """
        INSERT INTO target_absences AS a (target, without_builder_s, without_compiler_s)
        SELECT t.target,
               CASE WHEN t.target = ANY (%(served)s) THEN 0 ELSE %(elapsed_s)s END,
               CASE WHEN t.target = ANY (%(equipped)s) THEN 0 ELSE %(elapsed_s)s END
          FROM targets t
            ON CONFLICT (target) DO UPDATE
           SET without_builder_s = CASE WHEN a.target = ANY (%(served)s) THEN 0
                            ELSE a.without_builder_s + %(elapsed_s)s END,
               without_compiler_s = CASE WHEN a.target = ANY (%(equipped)s) THEN 0
                              ELSE a.without_compiler_s + %(elapsed_s)s END
        """,
        facts,
    )
    changed = await db.rows(_CHANGED_PRESENCE, facts)
    if not changed:
        return False
    await _store_presence(db, changed)
    return True


@transactional
async def _store_presence(db: Database, changed: Sequence[dict[str, Any]]) -> None:
    await db.execute(_LOCK_TARGETS)
    await db.execute(
        """
        UPDATE targets
           SET has_builder = now_is.has_builder, has_compiler = now_is.has_compiler,
               jobs_outdated = true
          FROM unnest(%(target)s::text[], %(has_builder)s::boolean[], %(has_compiler)s::boolean[])
               AS now_is (target, has_builder, has_compiler)
         WHERE now_is.target = targets.target
        """,
        transpose_rows(changed),
    )


@transactional
async def skip_target(db: Database, target: str, reason: str | None) -> bool:
    """Stop building for a target, or resume if the reason is None.

    `recompute_jobs` has to follow.
    """
    await db.execute(_LOCK_TARGETS)
    changed = await db.execute(
        """
        UPDATE targets SET skip_reason = %(reason)s, jobs_outdated = true
         WHERE target = %(target)s AND skip_reason IS DISTINCT FROM %(reason)s
        """,
        {"target": target, "reason": reason},
    )
    return changed > 0


async def recompute_jobs(db: Database) -> bool:
    """Recompute the jobs of all projects for changed targets; False if none changed."""
    if not await db.value("SELECT count(*) FROM targets WHERE jobs_outdated"):
        return False
    await db.execute("CALL recompute_all_jobs()")
    return True


async def add_compatibility(
    db: Database, compatibility: WheelCompatibility, rules: CompatibilityRules
) -> None:
    """Store a compatibility with its targets; needs the writer's locks."""
    added = await db.execute(
        """
        INSERT INTO wheel_compatibilities (compatibility_id, tags, glibc, targets_computed)
        VALUES (%(compatibility_id)s, %(tags)s, %(glibc)s, true)
            ON CONFLICT DO NOTHING
        """,
        {
            "compatibility_id": compatibility.identifier,
            "tags": compatibility.tags,
            "glibc": compatibility.glibc,
        },
    )
    if added:
        await _store_compatible_targets(
            db, [compatibility], await targets(db, include_skipped=True), rules
        )


async def compute_missing_compatibility(db: Database, rules: CompatibilityRules) -> bool:
    """Compute what a database upgrade left out: targets of compatibilities, specifiers of files.

    Returns:
        Whether there was anything; `recompute_jobs` has to follow.
    """
    # Without the lock, for which a start would wait: nothing but an upgrade leaves any out.
    if not await db.rows(_MISSING_COMPATIBILITY):
        return False
    return await _compute_missing_compatibility(db, rules)


@transactional
async def _compute_missing_compatibility(db: Database, rules: CompatibilityRules) -> bool:
    await db.execute(_LOCK_TARGETS)
    kinds = await db.rows(_MISSING_COMPATIBILITY)
    if not kinds:
        return False
    specifiers = await db.rows(
        """
        SELECT DISTINCT f.requires_python
          FROM files f
         WHERE NOT EXISTS (
             SELECT FROM requires_python_specifiers s WHERE s.requires_python = f.requires_python)
        """
    )
    every = await targets(db, include_skipped=True)
    await _store_compatible_targets(db, [WheelCompatibility(**row) for row in kinds], every, rules)
    await add_specifiers(db, [row["requires_python"] for row in specifiers], rules)
    await db.execute(
        "UPDATE wheel_compatibilities SET targets_computed = true WHERE NOT targets_computed"
    )
    await db.execute("UPDATE targets SET jobs_outdated = true")
    return True


async def add_specifiers(
    db: Database, specifiers: Sequence[str], rules: CompatibilityRules
) -> None:
    """Store specifiers with the targets that they allow; needs the writer's locks."""
    added = await db.rows(
        """
        INSERT INTO requires_python_specifiers (requires_python)
        SELECT * FROM unnest(%(specifiers)s::text[]) ON CONFLICT DO NOTHING
        RETURNING requires_python
        """,
        {"specifiers": list(specifiers)},
    )
    if not added:
        return
    every = await targets(db, include_skipped=True)
    pairs = [
        (row["requires_python"], target.name)
        for row in added
        for target in every
        if rules.allows_python(row["requires_python"], target)
    ]
    await _store_requires_python_targets(db, pairs)
