"""The chain of custody: a journal of fixes, undoing and replaying them, and decisions on them."""

from wetgate.render.fixes.journal import FixJournal as FixJournal
