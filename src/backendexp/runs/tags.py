"""Tags that experiments put on their runs, and that tell the analysis what each run is for."""

# The names of the tags. ROLE: what a run is for; a run without it counts as timed. BASELINE: the backend that
# the others are compared with, by the plan of their comparison.
ROLE, BLOCK, POSITION, PARALLEL, BASELINE = "role", "block", "position", "parallel", "baseline"
# Values of ROLE.
TIMED, PARITY = "timed", "parity"
