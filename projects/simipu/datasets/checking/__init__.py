"""Checks of a data set before a training is spent on it."""
from .checker import check_config, check_dataset
from .report import Finding, Report

__all__ = ['Finding', 'Report', 'check_config', 'check_dataset']
