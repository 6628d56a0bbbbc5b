"""Find dirt that lies on one frame only, and repair it from the frames beside it."""
