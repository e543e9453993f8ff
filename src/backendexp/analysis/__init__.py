"""What the runs of a store say about their backends: medians, ratios with intervals, verdicts.

store → tracked_runs.py (what was tracked) → pipeline.py → findings.py → backendexp.reporting
pipeline.py: sides.py (who with whom), guards.py (what must hold), statistics.py, verdicts.py, notes.py
"""
