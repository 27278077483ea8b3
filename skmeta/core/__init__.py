"""What is computed for one task: pure functions and plain modules, parameters in, parameters out."""
