"""The rules: kinds of lines that tell why a build failed, a file for each subject.

Where several rules match a line, the first one counts.
"""

from piwheels.causes.rule import Rule
from piwheels.causes.rules import (
    build_systems,
    compilers,
    general,
    linkers,
    network,
    pip,
    pkg_config,
    programs,
    prose,
    python,
    resources,
    rust,
    setuptools,
)

RULES: tuple[Rule, ...] = (
    *resources.RULES,
    *pkg_config.RULES,
    *pip.RULES,
    *network.RULES,
    *rust.RULES,
    *compilers.RULES,
    *linkers.RULES,
    *programs.RULES,
    *build_systems.RULES,
    *setuptools.RULES,
    *python.RULES,
    *prose.RULES,
    *general.RULES,
)
