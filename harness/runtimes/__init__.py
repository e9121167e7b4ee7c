"""One file a model format, with `inspect_model`, `count_multiply_adds` and `load_model`; imported only in the child."""
