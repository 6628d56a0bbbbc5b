"""Training of the shipped networks: pictures, damage, loop and export. Needs the torch extra."""
