"""Screens: one score for each component, taken one component at a time. Each file of this package has one."""

from hc_interp.search.screens.attribution_patching import attribution_patching
from hc_interp.search.screens.gradient_importance import gradient_importance
from hc_interp.search.screens.leave_one_out import leave_one_out
from hc_interp.search.screens.screen import SCREENS, Screen, screen

__all__ = ["SCREENS", "Screen", "attribution_patching", "gradient_importance", "leave_one_out", "screen"]
