"""The paper's method as one function, a volume in, a volume out; no files."""
