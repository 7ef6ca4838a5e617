"""Files at URLs: listed, fetched, uploaded, described from their first bytes."""
