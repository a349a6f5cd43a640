"""How well the graders of this package agree with people or a reference checker: one module for each data set.

The data is not part of the package; ``evalkit graders verify --data DIR`` reads it where it lies.
"""
