"""The `model` operator: networks that were made elsewhere, kept from harming the range."""
