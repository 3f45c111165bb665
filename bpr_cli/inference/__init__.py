"""The inference engine: ``Predictor`` runs a ``PatchModel`` on a backend, in passes of one size."""
