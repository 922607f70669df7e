"""Damage: operations, recipes that draw them, and traces that replay them."""
