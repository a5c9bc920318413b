"""Networks that several algorithms use: small functions that build a `Sequential`."""
