"""What crosses a boundary: every name, unit and layout that two parts of turnwatch have to agree on, declared once."""
