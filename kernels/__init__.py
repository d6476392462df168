"""Pure arithmetic on NumPy arrays, compiled by Numba. Imports nothing of the other folders."""
