"""Sets up a master or a builder on this machine, and undoes that: `piw setup`.

`steps` says what a step is, and what it is as shell; `master`, `builder` and `removal` list the
steps of each role; none of these looks at the machine. `machine` reads it, `run` carries steps out.
The dry run, the printed script and the real run have the same list.
"""
