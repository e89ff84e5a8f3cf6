"""Lines that come with any failure: they never tell why a build failed."""

import re

#: The start of the lines that the builder itself adds to a log.
BUILDER_PREFIX = "--- piwheels: "

_UNINFORMATIVE = re.compile(
    r"subprocess-exited-with-error|metadata-generation-failed|legacy-install-failure"
    r"|Failed to build |Failed building wheel|Could not build wheels|exited with \d"
    r"|failed-wheel-build|installing-build-dependencies|See above for output"
    r"|command '?\S+'? failed with exit (?:code|status)"
    r"|did not run successfully"
    r"|finished with status '|Encountered error while generating|compilation terminated"
    r"|Configuring incomplete, errors occurred|some warnings being treated as errors"
    r"|^ERROR: Exception:$|^ERROR: Could not install packages due to an OSError:?$"
    r"|_COMPILER not set, after EnableLanguage|errors? generated\.|exit code: |end of output"
    r"|aborting due to |: no input files|^For more information about this error"
    r"|^error: could not compile `|^error: build failed$|^warning: build failed, waiting"
    r"|^make(?:\[\d+\])?: (?:Leaving|Entering|\*\*\* \[|\*\*\* Waiting)"
    r"|^ninja: (?:build stopped|error: loading)|^FAILED: |^See also "
    r"|^ERROR: ResolutionImpossible|^A full log can be found|^Call Stack \(most recent"
    r"|^Traceback \(most recent|^During handling of the above|^The above exception was"
    r"|^(?:note|hint|full command|cwd|Complete output from command|╰─>|│|×|├─▶|╰─▶):? "
    r"|: note: |^note: |^hint: |^collect2:|^file \"[^\"]*\", line \d"
    r"|^[\W_]*$|^\d*\s*\||^https?://\S*$|^\[notice\]|^WARNING: |^DEPRECATION: "
    r"|^Cleaning up|^Removed file://|^Removed build tracker|^Exception information:$"
    r"|(?-i:^ERROR: Failed to |^ERROR: Could not build)|^  ?error: subprocess|^removing |^rolling back",
    re.IGNORECASE,
)


def is_uninformative(text: str) -> bool:
    """Whether a line comes with any failure, or only quotes source or points into it."""
    return _UNINFORMATIVE.search(text) is not None
