"""The review page: an output shown, judged and rendered again in a browser on this machine."""
