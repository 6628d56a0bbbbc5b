"""Scratches: lines that stay with the film, found over a whole shot and taken off."""
