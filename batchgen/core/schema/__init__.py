"""A model's input schema: what its parameters are, and whether a value fits.

    Schema         reads any published schema, names parameters, checks a whole input
    Property       one parameter in this program's words; `coerce` brings a value to its type
    Written        a scalar of a YAML file: its text, and the value that YAML reads in it
    InvalidValue   raised for a value that cannot become what the schema wants

Published schemas are not strict JSON Schema: types are called `float` or `str`, `required` names
properties that do not exist, limits are missing. None of that may stop a batch, so whatever is not
understood is left out and the rest is still checked.
"""

from __future__ import annotations

from batchgen.core.schema.coercion import coerce
from batchgen.core.schema.inputs import InputFault, Schema
from batchgen.core.schema.properties import Kind, Property
from batchgen.core.schema.values import Given, InvalidValue, Written, plain, shown, text_of

__all__ = [
    "Given",
    "InputFault",
    "InvalidValue",
    "Kind",
    "Property",
    "Schema",
    "Written",
    "coerce",
    "plain",
    "shown",
    "text_of",
]
