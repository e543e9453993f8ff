"""What the runs of a store say about their backends: medians, ratios with intervals, verdicts.

store → runs.py (what was tracked) → analysis.py → findings.py → text.py, figures.py, report.py → artifacts.py
analysis.py: sides.py (who with whom), guards.py (what must hold), statistics.py, verdicts.py, notes.py
"""
