"""Long measurements. Run as modules: `python -m benchmarks.subarchitectures resnet20`."""
