"""The models that come with saint, and weights files: find, check, load, save."""
