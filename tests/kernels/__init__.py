"""Each kernel beside a slow NumPy twin."""
