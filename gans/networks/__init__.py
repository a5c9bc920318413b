"""The networks of the algorithms: small functions that put layers together."""
