"""Everything that WhyCAM is measured on; each module is one table, `python -m benchmarks NAME...` runs them."""
