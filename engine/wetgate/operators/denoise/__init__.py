"""Denoise: measure the noise of a shot, then average along motion what only noise tells apart."""
