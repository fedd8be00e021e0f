"""Questions to a DNA foundation model without training it, one module each."""
