"""One module a task: how clean pictures become inputs and targets of a network."""
