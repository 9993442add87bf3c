"""One row a fault: a run is held at a moment, something breaks, and nothing may be lost. `docs/faults.md` is its result."""
