"""One run: its plan, its worker process, its events, its record on disk and in the store."""
