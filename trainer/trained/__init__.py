"""Finished runs restored: weights, features, teachers, predictions."""
