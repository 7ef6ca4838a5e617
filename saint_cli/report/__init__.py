"""Pictures for people who decide whether to trust a result."""
