"""What tracked runs show about their backends: medians, ratios with intervals, and verdicts.

Data flows in this order: tracking store → tracked_runs.py → pipeline.py → findings.py → backendexp.reporting.
pipeline.py uses sides.py (which runs are compared with which), guards.py (what must hold before a number is
believed), statistics.py, verdicts.py and notes.py.
"""
