"""Take the traces of block coding out of a clip; see README.md."""
