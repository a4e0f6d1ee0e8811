"""How well sets of features tell treatments apart."""
