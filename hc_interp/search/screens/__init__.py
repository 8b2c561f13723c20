"""Screens. A screen scores each component by itself, while all others are kept. Each file here has one screen."""

from hc_interp.search.screens.attribution_patching import attribution_patching
from hc_interp.search.screens.gradient_importance import gradient_importance
from hc_interp.search.screens.leave_one_out import leave_one_out
from hc_interp.search.screens.screen import SCREENS, Screen, screen

__all__ = ["SCREENS", "Screen", "attribution_patching", "gradient_importance", "leave_one_out", "screen"]
