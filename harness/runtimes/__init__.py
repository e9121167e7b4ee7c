"""One file a model format, with `inspect_model` and `load_model`; imported only in the child."""
