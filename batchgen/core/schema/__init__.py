"""A model's input schema: what its parameters are, and whether a value fits.

Published schemas are not strict JSON Schema: types are called `float` or `str`, `required` names
properties that do not exist, limits are missing. None of that may stop a batch, so whatever is not
understood is left out and the rest is still checked.
"""
