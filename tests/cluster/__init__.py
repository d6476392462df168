"""Runs on real clusters of Ray and Dask, several nodes on this machine."""
