"""Data, models, Ray and Dask: the engine that turns scenes into a cube and a cube into a map."""
