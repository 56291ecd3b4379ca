"""Figures: computed data in, Matplotlib artists out; `save_figures` writes all those of a run."""

from digitlab.showing.figures.mosaics import draw_mistakes, draw_pictures, draw_predictions, draw_samples
from digitlab.showing.figures.plots import draw_confusion, draw_curves, draw_reliability
from digitlab.showing.figures.save import (
    FIGURES,
    OF_DATA,
    OF_RESULT,
    OF_TRAINING,
    FigureContent,
    draw_all,
    save_figures,
    warm_up,
)

__all__ = [
    "FIGURES",
    "OF_DATA",
    "OF_RESULT",
    "OF_TRAINING",
    "FigureContent",
    "draw_all",
    "draw_confusion",
    "draw_curves",
    "draw_mistakes",
    "draw_pictures",
    "draw_predictions",
    "draw_reliability",
    "draw_samples",
    "save_figures",
    "warm_up",
]
