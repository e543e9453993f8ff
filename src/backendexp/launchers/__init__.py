"""Runs jobs in other processes: on this machine, on a Slurm cluster, or on a Ray cluster.

tasks.py says what a job is and what its process does. waiting.py is the parent's part: it waits for every
job, and cancels them all if it is interrupted. local.py, slurm.py and ray_cluster.py each have a class that
hands jobs to one kind of scheduler, see `waiting.Scheduler`. The classes that Hydra finds are in
src/hydra_plugins.
"""
