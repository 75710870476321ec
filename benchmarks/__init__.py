"""Long measurements. Run as modules: `python -m benchmarks.studies resnet20`."""
