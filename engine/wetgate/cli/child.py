"""The command line as a child of the service: its standard input is the service's hold on it."""

from __future__ import annotations

import os
import signal
import sys
import threading

from wetgate.service.walls import raise_walls

_INTERRUPTED = 130


def _stop_when_input_ends() -> None:
    """Interrupt this process once its standard input ends: cancelled, or the service is dead."""
    while os.read(0, 4096):
        pass
    main_thread = threading.main_thread()
    if not main_thread.is_alive():
        return
    if hasattr(signal, "pthread_kill"):
        # To the main thread itself, so that it wakes from whatever it waits for.
        signal.pthread_kill(main_thread.ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


def _work() -> None:
    # A service that was started with interrupts ignored must not pass that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise_walls()  # before anything starts a thread
    try:
        from wetgate.cli.app import main

        threading.Thread(target=_stop_when_input_ends, daemon=True).start()
        main(sys.argv[1:])
    except KeyboardInterrupt:  # before the command line could turn it into its exit code
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    _work()
