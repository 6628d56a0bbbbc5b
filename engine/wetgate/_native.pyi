"""Hot loops of wetgate (see native/)."""
