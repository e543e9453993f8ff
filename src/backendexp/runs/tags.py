"""Tags that experiments put on their runs, so that the analysis knows what each run is for."""

# The names of the tags. ROLE: what a run is for; a run without it counts as timed. BLOCK, POSITION: its place
# in the design. PARALLEL: whether it ran while another run did. BASELINE: the backend that the others are
# compared with, according to the plan of the comparison.
ROLE, BLOCK, POSITION, PARALLEL, BASELINE = "role", "block", "position", "parallel", "baseline"
# Values of ROLE.
TIMED, PARITY = "timed", "parity"
