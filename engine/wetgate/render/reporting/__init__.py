"""The report of a job: one page that opens anywhere, and what stands in it."""
