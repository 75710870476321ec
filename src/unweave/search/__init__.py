"""Finding paths: objectives, the solver, the elbow."""
