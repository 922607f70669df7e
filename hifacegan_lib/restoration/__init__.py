"""Photographs and films: find faces, restore them, bring them back."""
