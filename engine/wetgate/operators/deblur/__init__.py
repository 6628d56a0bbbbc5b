"""The deblur operator: small lens and defocus blur, measured from the shot itself."""
