"""The matrix of cancels: every way in which a run is ended, in each of its steps. `docs/cancelling.md` is its result."""
