"""How good a result is: against the truth, or against acquired slices that were left out."""
