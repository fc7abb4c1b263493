"""Advice on moves that open a topology domain, or make a waiting gang fit."""
