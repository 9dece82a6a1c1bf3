"""Tests of moving threads between savers."""
