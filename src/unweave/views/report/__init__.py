"""The report: one HTML file that says what was found, and whether it is true."""
