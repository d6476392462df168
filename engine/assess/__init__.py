"""Measuring a model on samples it never saw: intervals, calibration, timing, what it looks at, and sample design."""
