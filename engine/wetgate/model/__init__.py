"""Core types: boxes, frames, clips, errors. Imports the standard library and numpy only."""
